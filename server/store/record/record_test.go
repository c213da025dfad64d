package record_test

import (
	"encoding/json"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/internal/testenv/golden"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/fleet"
	"github.com/diskcast/diskcast/server/store/record"
)

// stored is v as it comes back from the store.
func stored[T any](t *testing.T, v *T) *T {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	out := new(T)
	if err := json.Unmarshal(b, out); err != nil {
		t.Fatal(err)
	}
	return out
}

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got, cmpopts.EquateComparable(netip.AddrPort{})); d != "" {
		t.Errorf("%s comes back changed (-was +is):\n%s", what, d)
	}
}

// TestNothingIsLost stores what has every field set: a field that a record does not have is missed when it comes back.
// Those that are worked out anew each time are named here.
func TestNothingIsLost(t *testing.T) {
	var s doc.Session
	golden.Fill(&s)
	s.Parts, s.Warnings, s.Unbootable = nil, nil, 0
	s.Waits, s.RetriedBy, s.ETA = "", nil, 0
	var c session.Cast
	golden.Fill(&c)
	var u session.Upload
	golden.Fill(&u)
	r := stored(t, record.OfSession(&s, &c, []byte("secret"), []byte("sealed"), &u))
	same(t, "a session", r.Session(), s)
	same(t, "a cast", r.Cast(), &c)
	same(t, "an upload", r.Uploads(), &u)
	same(t, "a secret", r.Secret, []byte("secret"))
	same(t, "what is sealed", r.Sealed, []byte("sealed"))

	var p doc.Part
	golden.Fill(&p)
	p.Name, p.Waits, p.Alive, p.Phase, p.Rate, p.ETA = "", "", "", "", 0, 0
	same(t, "a part", stored(t, record.OfPart(&p)).Part(), &p)

	var e doc.Event
	golden.Fill(&e)
	same(t, "an event", stored(t, record.OfEvent(&e)).Told(), e)

	var n doc.Node
	golden.Fill(&n)
	n.Warnings, n.Machine, n.Name, n.Waits = nil, "", "", ""
	var d session.Descriptor
	golden.Fill(&d)
	d.Look, d.Menu = nil, nil // who asked is gone after a restart, and a menu is made anew
	rn := stored(t, record.OfNode(&n, &d))
	same(t, "a node", rn.Node(), n)
	same(t, "a descriptor", rn.Told(), &d)

	var m fleet.Machine
	golden.Fill(&m)
	same(t, "a machine", stored(t, record.OfMachine(&m)).Machine(), &m)

	var g doc.Group
	golden.Fill(&g)
	same(t, "a group", stored(t, record.OfGroup(g)).Group(), g)
	var pr doc.Profile
	golden.Fill(&pr)
	same(t, "a profile", stored(t, record.OfProfile(pr, nil)).Profile(), pr)
	same(t, "a profile's secrets", stored(t, record.OfProfile(pr, []byte("box"))).Sealed, []byte("box"))
	var re doc.Repeat
	golden.Fill(&re)
	re.Next, re.Note = time.Time{}, "" // found anew each time it is shown
	same(t, "a repeating session", stored(t, record.OfRepeat(&re, []byte("sealed"), "asked")).Repeat(), re)
	var ru doc.Rule
	golden.Fill(&ru)
	same(t, "a rule", stored(t, record.OfRule(ru)).Rule(), ru)
	var me doc.Menu
	golden.Fill(&me)
	same(t, "a menu", stored(t, record.OfMenu(me)).Menu(), me)
}

// TestRecords holds the form of each record, so that a change of it is seen, and is given a step of Upgrade.
func TestRecords(t *testing.T) {
	for name, r := range map[string]any{
		"session": new(record.Session), "part": new(record.Part), "event": new(record.Event), "node": new(record.Node),
		"seen":  new(record.Seen),
		"owner": new(record.Owner), "machine": new(record.Machine), "group": new(record.Group),
		"profile": new(record.Profile), "rule": new(record.Rule), "repeat": new(record.Repeat),
		"menu": new(record.Menu),
	} {
		golden.Fill(r)
		golden.JSON(t, "testdata/"+name+".json", r)
	}
}
