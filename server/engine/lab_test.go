package engine_test

import (
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/engine"
	"github.com/diskcast/diskcast/server/store"
)

func (h *house) change(c doc.LabChange) *doc.LabResult {
	h.t.Helper()
	c.V = 1
	r, err := h.e.ChangeLab(h.t.Context(), c)
	if err != nil {
		h.t.Fatal(err)
	}
	return r
}

// asked makes a session of a spec as it is sent.
func (h *house) asked(text string) (*doc.Session, error) {
	h.t.Helper()
	var read doc.Spec
	if err := json.Unmarshal([]byte(text), &read); err != nil {
		h.t.Fatal(err)
	}
	spec, err := h.e.Spec([]byte(text), &read)
	if err != nil {
		return nil, err
	}
	return h.e.Create(h.t.Context(), spec)
}

func refused(t *testing.T, what string, err error, want string) {
	t.Helper()
	if !errors.Is(err, engine.ErrSpec) || !strings.Contains(err.Error(), want) {
		t.Errorf("%s: %v; want %q", what, err, want)
	}
}

// TestSessionOnSelector: what the selector fits when the session is made is meant, machines that never came among it:
// they are waited for by NIC, by any of several, or by their board.
func TestSessionOnSelector(t *testing.T) {
	h := newHouse(t)
	a, b, c, d := h.machine(1), h.machine(2), h.machine(3), h.machine(4)
	a.powerOn()
	d.powerOn()
	room := map[string]*string{"room": ptr("210")}
	h.change(doc.LabChange{Machines: []doc.MachineEntry{
		{Name: "lab-01", MACs: []string{a.mac}, Labels: room},
		{Name: "lab-02", MACs: []string{"52-54-00-00-00-02", "52:54:00:00:00:22"}, Labels: room},
		{Name: "lab-03", UUID: "4c4c4544-0000-2010-8020-000000000003", Labels: room},
		{Name: "lab-04", MACs: []string{d.mac}, Labels: map[string]*string{"room": ptr("210"), "spare": ptr("")}},
	}, Groups: []doc.Group{{Name: "usable", Select: "room=210,!spare"}}})
	if _, err := h.e.Create(t.Context(), doc.Spec{V: 1, Image: "debian", On: "@usable", All: true}); err == nil {
		t.Error("a selector and all are taken together")
	}
	for on, want := range map[string]string{"@usble": "did you mean @usable?", "room=211": "did you mean room=210?",
		"lab-05": "did you mean lab-01, lab-02 or lab-03?"} {
		_, err := h.e.Create(t.Context(), doc.Spec{V: 1, Image: "debian", On: on})
		refused(t, on, err, want)
	}
	s := h.create(doc.Spec{On: " @usable "})
	if s.Spec.On != "@usable" || len(s.Parts) != 3 || s.Parts[2].Node != "m4" {
		t.Fatalf("session: %+v", s)
	}
	h.restart()
	b.mac, b.others = "52:54:00:00:00:22", []string{"52:54:00:00:00:02"}
	c.mac, c.uuid = "52:54:00:00:00:99", "4C4C4544-0000-2010-8020-000000000003"
	for _, m := range []*machine{a, b, c} {
		m.powerOn()
		if got := m.told(); got != "restore "+s.ID {
			t.Errorf("%s is told %s", m.mac, got)
		}
	}
	if got := d.told(); got != "nothing" {
		t.Errorf("the spare one is told %s", got)
	}
	if m := h.known(c.mac); m.Name != "lab-03" || len(m.Boots) != 1 {
		t.Errorf("the machine that was known by its board: %+v", m)
	}
	for _, m := range []*machine{a, b, c} {
		m.say(s.ID, goodRestore...)
	}
	h.expect(s.ID, "done done done done")
	got, err := h.e.Session(s.ID)
	if err != nil || got.Spec.On != "@usable" {
		t.Errorf("the session keeps its selector: %+v, %v", got.Spec, err)
	}
}

// TestNewCardIsAwaited: a part that waits by a NIC goes to its machine when that boots from another card.
func TestNewCardIsAwaited(t *testing.T) {
	h := newHouse(t)
	a := h.machine(1)
	a.uuid, a.serial = "4c4c4544-0000-2010-8020-000000000001", "SN1"
	a.powerOn()
	h.call("m1", "lab-01")
	if err := h.e.Forget(t.Context(), a.id, false); err != nil {
		t.Fatal(err)
	}
	s := h.create(doc.Spec{On: "lab-01"})
	h.pass(10 * time.Minute)
	a.mac = "52:54:00:00:00:07"
	a.powerOn()
	if got := a.told(); got != "restore "+s.ID {
		t.Errorf("told %s", got)
	}
}

// TestStrangersAreTold: a typing error in a MAC address is told when the session is made.
func TestStrangersAreTold(t *testing.T) {
	h := newHouse(t)
	h.machine(1).powerOn()
	s := h.create(doc.Spec{Nodes: []string{"52-54-00-00-00-10"}})
	says(t, "Nearly 52-54-00-00-00-10 is: 52-54-00-00-00-01.", s.Warnings...)
	_, err := h.e.Create(t.Context(), doc.Spec{V: 1, Image: "debian", Nodes: []string{"lab-09"}})
	refused(t, "a name", err, "neither a machine's name")
}

// TestProfiles: a session takes what it does not say from the profile, and keeps it.
func TestProfiles(t *testing.T) {
	h := newHouse(t)
	a := h.machine(1)
	a.powerOn()
	profile := func(spec string) []doc.Profile {
		return []doc.Profile{{Name: "lab", Spec: json.RawMessage(spec)}}
	}
	r := h.change(doc.LabChange{Profiles: profile(`{"image":"debian","verify":true,"no_grow":true,` +
		`"boot":{"method":"kexec","append":"quiet"},"target":{"type":"ssd"}}`)})
	if !r.Applied || len(r.Changes) != 1 || r.Changes[0].Does != doc.Adds {
		t.Errorf("%+v", r)
	}
	s, err := h.asked(`{"v":1,"profile":"lab","nodes":["52:54:00:00:00:05"],"verify":false,"boot":{"method":"reboot"}}`)
	if err != nil {
		t.Fatal(err)
	}
	sp := s.Spec
	if sp.Profile != "lab" || sp.ProfileRevision != 1 || sp.Image != "debian" || sp.Verify || !sp.NoGrow ||
		sp.Boot.Method != "reboot" || sp.Boot.Append != "quiet" || sp.Target.Type != "ssd" {
		t.Errorf("spec: %+v, %+v", sp, sp.Boot)
	}
	r = h.change(doc.LabChange{Profiles: profile(`{ "no_grow":true, "image":"debian" }`)})
	if r.Changes[0].Does != doc.Alters {
		t.Errorf("%+v", r)
	}
	if r = h.change(doc.LabChange{Profiles: profile(`{"image":"debian","no_grow":true}`)}); len(r.Changes) != 0 {
		t.Errorf("the same again: %+v", r)
	}
	h.restart()
	if got, err := h.e.Session(s.ID); err != nil || got.Spec.Target.Type != "ssd" || got.Spec.ProfileRevision != 1 {
		t.Errorf("the session after its profile changed: %+v, %v", got, err)
	}
	if _, err := h.asked(`{"v":1,"profile":"lab","profile_revision":1,"count":1}`); err == nil ||
		!strings.Contains(err.Error(), "was changed meanwhile") {
		t.Errorf("an old revision: %v", err)
	}

	// Of its machines.
	_, err = h.asked(`{"v":1,"on":"m1"}`)
	refused(t, "no profile", err, "machine m1 has no profile")
	if _, err := h.e.ChangeMachines(t.Context(), doc.MachinesChange{V: 1, On: "m1", Profile: ptr("lba")}); err == nil ||
		!strings.Contains(err.Error(), "did you mean lab?") {
		t.Errorf("a profile that is not there: %v", err)
	}
	if ms, err := h.e.ChangeMachines(t.Context(),
		doc.MachinesChange{V: 1, On: "m1", Profile: ptr("lab")}); err != nil ||
		ms[0].Profile != "lab" {
		t.Errorf("%+v, %v", ms, err)
	}
	if s, err = h.asked(`{"v":1,"on":"m1"}`); err != nil || s.Spec.Profile != "lab" || s.Spec.ProfileRevision != 2 ||
		!s.Spec.NoGrow || s.Spec.Boot.Append != "" {
		t.Errorf("%+v, %v", s, err)
	}
	remove := doc.LabChange{V: 1, Remove: []doc.LabName{{Kind: doc.KindProfile, Name: "lab"}}}
	_, err = h.e.ChangeLab(t.Context(), remove)
	refused(t, "one in use", err, "is that of 1 machines (m1)")
	for spec, want := range map[string]string{
		`{"imgae":"x"}`:              "did you mean image?",
		`{"nodes":["x"]}`:            `"nodes" is no field of a profile`,
		`{}`:                         "it says nothing",
		`{"image":null}`:             "it says nothing",
		`[]`:                         "not an object",
		`{"mode":"quick"}`:           "mode",
		`{"verify":"yes"}`:           "verify",
		`{"boot":{"method":"fly"}}`:  "fly",
		`{"image":"x","kind":"wow"}`: "wow",
	} {
		_, err := h.e.ChangeLab(t.Context(), doc.LabChange{V: 1, Profiles: profile(spec)})
		refused(t, spec, err, want)
		var entry *engine.EntryError
		if !errors.As(err, &entry) || entry.Entry != "profiles[0]" {
			t.Errorf("%s: of no entry: %v", spec, err)
		}
	}
	if _, err := h.e.ChangeMachines(t.Context(), doc.MachinesChange{V: 1, On: "m1", Profile: ptr("")}); err != nil {
		t.Error(err)
	}
	if r, err := h.e.ChangeLab(t.Context(), remove); err != nil || len(r.Changes) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	h.restart()
	if l := h.e.Lab(); len(l.Profiles) != 0 {
		t.Errorf("after it was removed: %+v", l)
	}
}

// TestLabIsAllOrNothing: what is refused, is a dry run or cannot be stored has not happened, also after a restart.
func TestLabIsAllOrNothing(t *testing.T) {
	h := newHouse(t)
	disk := h.store.(*store.Memory)
	h.machine(1).powerOn()
	lab := doc.LabChange{V: 1, Machines: []doc.MachineEntry{{Name: "lab-01", MACs: []string{"52:54:00:00:00:01"}},
		{Name: "lab-02", MACs: []string{"52:54:00:00:00:02"}, Notes: ptr("by the door")}},
		Groups: []doc.Group{{Name: "a", Select: "lab-*"}, {Name: "b", Select: "@a"}},
		Rules:  []doc.Rule{{Name: "dell", Vendor: "Dell*"}}}
	nothing := func(what string) {
		t.Helper()
		for range 2 {
			l := h.e.Lab()
			if all := h.e.Machines(); len(all) != 1 || all[0].Name != "" || len(l.Groups)+len(l.Rules) != 0 {
				t.Errorf("after %s: %+v, %+v", what, all, l)
			}
			h.restart()
		}
	}
	dry := lab
	dry.DryRun = true
	if r := h.change(dry); r.Applied || len(r.Changes) != 5 {
		t.Errorf("dry run: %+v", r)
	}
	nothing("a dry run")
	for want, f := range map[string]func(c *doc.LabChange){
		"made of itself": func(c *doc.LabChange) {
			c.Groups = append(c.Groups[:1:1],
				doc.Group{Name: "a2", Select: "@a2"})
		},
		"it is there twice": func(c *doc.LabChange) { c.Groups = append(c.Groups[:1:1], c.Groups[0]) },
		"there is no group @c": func(c *doc.LabChange) {
			c.Groups = append(c.Groups[:1:1],
				doc.Group{Name: "b", Select: "@c"})
		},
		"is at revision 0": func(c *doc.LabChange) {
			c.Machines = []doc.MachineEntry{{ID: "m1", Name: "x",
				Revision: 3}}
		},
		"removed meanwhile": func(c *doc.LabChange) { c.Groups = []doc.Group{{Name: "a", Select: "x", Revision: 2}} },
		"is the same machine as": func(c *doc.LabChange) {
			c.Machines = append(c.Machines[:2:2], doc.MachineEntry{ID: "m1", Notes: ptr("x")})
		},
		"could be a machine's id": func(c *doc.LabChange) { c.Machines = []doc.MachineEntry{{ID: "m1", Name: "m9"}} },
		"no such machine":         func(c *doc.LabChange) { c.Machines = []doc.MachineEntry{{Name: "lab-09"}} },
		"there is no profile": func(c *doc.LabChange) {
			c.Machines = []doc.MachineEntry{{ID: "m1",
				Profile: ptr("x")}}
		},
		"it would fit every machine": func(c *doc.LabChange) { c.Rules = []doc.Rule{{Name: "all"}} },
		"is none of default": func(c *doc.LabChange) {
			c.Rules = []doc.Rule{{Name: "all", MACs: []string{"52"}, WhenIdle: "x"}}
		},
		"is none of default, own-disk, wait": func(c *doc.LabChange) {
			c.Machines = []doc.MachineEntry{{ID: "m1", WhenIdle: ptr("off")}}
		},
		"neither a MAC address": func(c *doc.LabChange) { c.Rules = []doc.Rule{{Name: "all", MACs: []string{"5"}}} },
		"is what makers write": func(c *doc.LabChange) {
			c.Machines = []doc.MachineEntry{{Name: "x", UUID: "00000000-0000-0000-0000-000000000000"}}
		},
		`there is no rule "dlel"`: func(c *doc.LabChange) {
			c.Remove = []doc.LabName{{Kind: doc.KindRule,
				Name: "dlel"}}
		},
		"nothing of the kind \"node": func(c *doc.LabChange) { c.Prune = []string{"node"} },
	} {
		c := lab
		f(&c)
		if _, err := h.e.ChangeLab(t.Context(), c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %q", err, want)
		}
	}
	nothing("what was refused")
	disk.SetFail(errors.New("disk full"))
	if _, err := h.e.ChangeLab(t.Context(), lab); err == nil || !strings.Contains(err.Error(), "nothing was changed") {
		t.Errorf("a full disk: %v", err)
	}
	disk.SetFail(nil)
	nothing("a full disk")

	if r := h.change(lab); !r.Applied || len(r.Changes) != 5 {
		t.Errorf("%+v", r)
	}
	h.restart()
	if r := h.change(lab); len(r.Changes) != 0 {
		t.Errorf("a second time: %+v", r)
	}
	// What is not named stays, unless it is pruned.
	one := doc.LabChange{Machines: lab.Machines[:1], Groups: lab.Groups[:1]}
	if r := h.change(one); len(r.Changes) != 0 {
		t.Errorf("%+v", r)
	}
	one.Prune = []string{doc.KindMachine, doc.KindGroup}
	if r := h.change(one); len(r.Changes) != 2 {
		t.Errorf("%+v", r)
	}
	h.restart()
	l := h.e.Lab()
	if all := h.e.Machines(); len(all) != 1 || all[0].Name != "lab-01" || len(l.Groups) != 1 || len(l.Rules) != 1 ||
		l.Groups[0].Owner != "127.0.0.1" || l.Groups[0].Revision != 1 {
		t.Errorf("%+v, %+v", all, l)
	}
}

// TestApprovalByHand: until the operator approves it, a node is told to wait and no session takes it.
func TestApprovalByHand(t *testing.T) {
	h := newHouse(t)
	h.approve = doc.ApproveHand
	h.restart()
	a, b := h.machine(1), h.machine(2)
	a.uuid, a.serial = "4c4c4544-0000-2010-8020-000000000001", "SN1"
	a.powerOn()
	b.powerOn()
	why := func(m *machine, want string) {
		t.Helper()
		if d := m.descriptor(0); d == nil || d.Action != "idle" || !strings.Contains(d.Why, want) ||
			(want == "") != (d.Why == "") {
			t.Errorf("%s is told %+v; want %q", m.mac, d, want)
		}
	}
	why(a, "its approval: it was not approved; on the server, `diskcast machine approve m1` ends this")
	named := h.create(doc.Spec{Nodes: []string{"m1"}})
	s, err := h.e.Session(named.ID)
	if err != nil || s.State != doc.Waiting || !strings.HasPrefix(s.Parts[0].Waits,
		"for its approval: it was not approved; on the server, `diskcast machine approve m1`") {
		t.Errorf("%+v, %v", s, err)
	}
	all := h.create(doc.Spec{All: true, MinNodes: 2})
	says(t, "2 machines are here and not approved", all.Warnings...)
	approve := func(yes bool, on string) {
		t.Helper()
		if _, err := h.e.ChangeMachines(t.Context(), doc.MachinesChange{V: 1, On: on, Approved: &yes}); err != nil {
			t.Fatal(err)
		}
	}
	approve(true, "m2")
	why(b, "session "+all.ID+" to start")
	h.expect(all.ID, "waiting waiting")
	approve(false, "m2")
	why(b, "its approval was taken away")
	h.expect(all.ID, "waiting")
	approve(true, "m1")
	h.expect(named.ID, "casting offered")
	if got := a.told(); got != "restore "+named.ID {
		t.Errorf("told %s", got)
	}
	h.restart()
	if got := a.told(); got != "restore "+named.ID {
		t.Errorf("after a restart: told %s", got)
	}

	// A hello in its name from another board gets nothing, and the part goes on when the machine itself speaks.
	h.pass(2 * time.Minute)
	forged := h.machine(1)
	forged.boots, forged.boot = 70, "forged"
	forged.hello()
	why(forged, "and what was approved boots from "+a.mac)
	if m := h.known("m1"); m.Approved {
		t.Errorf("the machine while another speaks for it: %+v", m)
	}
	a.hello()
	if got := a.told(); got != "restore "+named.ID {
		t.Errorf("itself again: told %s", got)
	}
	if m := h.known("m1"); !m.Approved || m.ByHand == nil || !*m.ByHand {
		t.Errorf("%+v", m)
	}
	a.say(named.ID, goodRestore...)
	h.pass(2 * time.Minute)
	h.expect(named.ID, "done done")
}

// TestApprovalByRule: a rule holds for what a node says now, and nothing of a hello is kept of it.
func TestApprovalByRule(t *testing.T) {
	h := newHouse(t)
	h.approve = doc.ApproveRules
	h.restart()
	a, b := h.machine(1), h.machine(2)
	a.powerOn()
	b.powerOn()
	s := h.create(doc.Spec{All: true})
	h.expect(s.ID, "waiting")
	h.change(doc.LabChange{Rules: []doc.Rule{{Name: "first", MACs: []string{"52-54-00-00-00-01"}}}})
	h.expect(s.ID, "casting offered")
	if m := h.known(a.mac); !m.Approved || m.ByHand != nil || m.Approval != "by the rule first" {
		t.Errorf("%+v", m)
	}
	if m := h.known(b.mac); m.Approved || !strings.Contains(m.Approval, "no rule fits it") {
		t.Errorf("%+v", m)
	}
	h.change(doc.LabChange{Remove: []doc.LabName{{Kind: doc.KindRule, Name: "first"}}})
	if m := h.known(a.mac); m.Approved {
		t.Errorf("after the rule went: %+v", m)
	}
	h.change(doc.LabChange{Rules: []doc.Rule{{Name: "rack", Port: "SW1/ge-0/0/*"}}})
	if m := h.known(a.mac); m.Approved || m.Port != "" {
		t.Errorf("before the switch spoke: %+v", m)
	}
	a.plugged = [2]string{"sw1", "ge-0/0/7"}
	a.hello() // of the same boot
	if m := h.known(a.mac); m.Approval != "by the rule rack" || m.Switch != "sw1" || m.Port != "ge-0/0/7" {
		t.Errorf("after the switch spoke: %+v", m)
	}
	h.change(doc.LabChange{Remove: []doc.LabName{{Kind: doc.KindRule, Name: "rack"}},
		Rules: []doc.Rule{{Name: "site", Relay: "10.1.0.1/*/p7"}}})
	h.e.Relayed(a.mac, netip.Addr{}, "10.1.0.1/sw1/p7")
	if m := h.known(a.mac); m.Approval != "by the rule site" || m.Relay != "10.1.0.1/sw1/p7" {
		t.Errorf("by the relay's word: %+v", m)
	}
	h.restart()
	if m := h.known(a.mac); m.Approval != "by the rule site" {
		t.Errorf("after a restart: %+v", m)
	}
	h.e.Saw(a.mac, netip.Addr{}, doc.StepDHCP, "another boot, that nobody relays")
	if m := h.known(a.mac); m.Approved || m.Relay != "" {
		t.Errorf("in a boot without the relay: %+v", m)
	}
	a.hello()
	for on, want := range map[string]string{"port=sw1/ge-0/0/7": "m1", "switch=sw1": "m1", "port=*": "m1",
		"port!=sw1/*": "m2"} {
		if got, err := h.e.Select(on); err != nil || len(got) != 1 || got[0].ID != want {
			t.Errorf("%s: %+v, %v", on, got, err)
		}
	}
	no := false
	if _, err := h.e.ChangeMachines(t.Context(), doc.MachinesChange{V: 1, On: "m2", Approved: &no}); err != nil {
		t.Fatal(err)
	}
	h.change(doc.LabChange{Rules: []doc.Rule{{Name: "all", MACs: []string{"52:54:00"}}}})
	if m := h.known(b.mac); m.Approved {
		t.Errorf("a rule gave back what was taken away: %+v", m)
	}
}
