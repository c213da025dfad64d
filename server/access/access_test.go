package access

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/store"
)

const root = "the token of the state directory"

func spec(name, role string, days int) doc.TokenSpec {
	return doc.TokenSpec{V: session.Version, Name: name, Role: role, Days: days}
}

func TestTokensOutliveTheServer(t *testing.T) {
	db := store.NewMemory()
	b, err := New(t.Context(), db, root)
	if err != nil {
		t.Fatal(err)
	}
	ada, err := b.Create(t.Context(), spec("ada", Operator, 1))
	if err != nil {
		t.Fatal(err)
	}
	bot, err := b.Create(t.Context(), spec("bot", Viewer, 0))
	if err != nil {
		t.Fatal(err)
	}
	err = db.View(t.Context(), func(tx store.Tx) error {
		return tx.Walk("", func(key string, v []byte) error {
			if strings.Contains(string(v), ada.Secret) || strings.Contains(string(v), bot.Secret) {
				t.Errorf("%s has the token itself", key)
			}
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	if b, err = New(t.Context(), db, root); err != nil { // the next start
		t.Fatal(err)
	}
	is := func(secret, name, role string) {
		t.Helper()
		h, ok := b.Who(secret)
		if h != (Holder{Name: name, Role: role}) || ok != (name != "") {
			t.Errorf("got %v %v, want %q %q", h, ok, name, role)
		}
	}
	is(ada.Secret, "ada", Operator)
	is(bot.Secret, "bot", Viewer)
	is(root, Root, Admin)
	is("", "", "")
	is(ada.Secret+"x", "", "")
	is(ada.Secret[1:], "", "")

	b.now = func() time.Time { return ada.Until } // it ends
	is(ada.Secret, "", "")
	is(bot.Secret, "bot", Viewer)
	if l := b.List(); len(l) != 2 || !l[0].Ended || l[1].Ended {
		t.Errorf("%+v", l)
	}
	if err := b.Remove(t.Context(), "bot"); err != nil {
		t.Fatal(err)
	}
	is(bot.Secret, "", "")
	if err := b.Remove(t.Context(), "bot"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
	if b, err = New(t.Context(), db, root); err != nil {
		t.Fatal(err)
	}
	is(bot.Secret, "", "")
}

// TestHeldTokens are held to machines after a restart too, and are good for nothing to a server that knows of no such.
func TestHeldTokens(t *testing.T) {
	db := store.NewMemory()
	b, err := New(t.Context(), db, root)
	if err != nil {
		t.Fatal(err)
	}
	in := spec("ada", Operator, 1)
	in.On = "room=210"
	ada, err := b.Create(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if h, ok := b.Who(ada.Secret); !ok || h != (Holder{"ada", Operator, "room=210"}) {
			t.Errorf("got %+v %v", h, ok)
		}
		if l := b.List(); len(l) != 1 || l[0].On != "room=210" || l[0].Role != Operator {
			t.Errorf("got %+v", l)
		}
		if b, err = New(t.Context(), db, root); err != nil {
			t.Fatal(err)
		}
	}
	var old struct{ Role string } // as servers before read it
	err = db.View(t.Context(), func(tx store.Tx) error { return store.GetJSON(tx, prefix+"ada", &old) })
	if err != nil || Covers(old.Role, Viewer) {
		t.Errorf("a server that holds nobody to machines takes it as %q: %v", old.Role, err)
	}
	err = db.Update(t.Context(), func(tx store.WriteTx) error {
		return store.PutJSON(tx, prefix+"ada", &record{Sum: strings.Repeat("00", 32), Held: &held{Role: Operator}})
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(t.Context(), db, root); err == nil {
		t.Error("a token that is held to nothing that can be read is taken")
	}
	in = spec("eve", Admin, 0)
	in.On = "room=210"
	if _, err := b.Create(t.Context(), in); !errors.Is(err, ErrSpec) {
		t.Errorf("an admin who is held to machines: %v", err)
	}
	in = spec("eve", Viewer, 0)
	in.On = strings.Repeat("a", MaxOn+1)
	if _, err := b.Create(t.Context(), in); !errors.Is(err, ErrSpec) {
		t.Errorf("a long selector: %v", err)
	}
}

func TestTokensThatAreNotMade(t *testing.T) {
	db := store.NewMemory()
	b, err := New(t.Context(), db, root)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Create(t.Context(), spec("ada", Viewer, 0)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		in   doc.TokenSpec
		want error
	}{
		{spec("ada", Admin, 0), ErrExists}, {spec("", Viewer, 0), ErrSpec}, {spec("a/b", Viewer, 0), ErrSpec},
		{spec(Root, Viewer, 0), ErrSpec}, {spec("b", "", 0), ErrSpec}, {spec("b", "node", 0), ErrSpec},
		{spec("b", Viewer, -1), ErrSpec}, {spec("b", Viewer, MaxDays+1), ErrSpec},
		{doc.TokenSpec{Name: "b", Role: Viewer}, ErrSpec},
	} {
		if _, err := b.Create(t.Context(), c.in); !errors.Is(err, c.want) {
			t.Errorf("%+v: %v, want %v", c.in, err, c.want)
		}
	}
	if _, err := Only(root).Create(t.Context(), spec("b", Viewer, 0)); !errors.Is(err, ErrSpec) {
		t.Errorf("without a store: %v", err)
	}
	broken := errors.New("disk is full")
	db.SetFail(broken)
	if made, err := b.Create(t.Context(), spec("b", Viewer, 0)); !errors.Is(err, broken) || made != nil {
		t.Errorf("what is not stored is made: %v", err)
	}
	if err := b.Remove(t.Context(), "ada"); !errors.Is(err, broken) || len(b.List()) != 1 {
		t.Errorf("what is not removed from the store is gone: %v", err)
	}
}

func TestADamagedTokenIsSaid(t *testing.T) {
	db := store.NewMemory()
	err := db.Update(t.Context(), func(tx store.WriteTx) error {
		return store.PutJSON(tx, prefix+"ada", &record{Role: Admin, Sum: "00"})
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(t.Context(), db, root); err == nil || !strings.Contains(err.Error(), "ada") {
		t.Errorf("got %v", err)
	}
}

func TestCovers(t *testing.T) {
	for _, c := range []struct {
		has, wanted string
		want        bool
	}{{Admin, Viewer, true}, {Operator, Operator, true}, {Viewer, Operator, false}, {Operator, Admin, false},
		{"", "", false}, {"", Viewer, false}, {Admin, "misspelt", false}, {"king", Viewer, false}} {
		if got := Covers(c.has, c.wanted); got != c.want {
			t.Errorf("%q covers %q: %v", c.has, c.wanted, got)
		}
	}
}

func TestWrongIsBounded(t *testing.T) {
	var w Wrong
	now := time.Unix(1e9, 0)
	over := 0
	one := netip.MustParseAddr("10.0.0.1")
	for range 10000 {
		if w.Over(one, now) {
			over++
		}
	}
	if over != 10000-wrongBurst {
		t.Errorf("%d of 10000 were over", over)
	}
	if now = now.Add(wrongEvery); w.Over(one, now) || !w.Over(one, now) {
		t.Error("one more is let through in its time, and only one")
	}
	for i := range uint32(10000) { // of as many addresses
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], 0x0b000000+i)
		if w.Over(netip.AddrFrom4(a), now) {
			t.Fatalf("the first of address %d is over", i)
		}
		if len(w.from) > wrongKept {
			t.Fatalf("%d addresses are kept", len(w.from))
		}
	}
	for i := range byte(wrongBurst + 1) { // a host has all of a network of 64 bits
		a := netip.MustParseAddr("2001:db8::").As16()
		a[15] = i
		if got := w.Over(netip.AddrFrom16(a), now); got != (i == wrongBurst) {
			t.Errorf("address %d of one network: %v", i, got)
		}
	}
}
