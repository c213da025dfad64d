package dhcp

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/server/store"
)

func TestParseRange(t *testing.T) {
	lan := netip.MustParsePrefix("10.0.0.1/24")
	for in, want := range map[string]string{
		"10.0.0.10-10.0.0.20":    "",
		" 10.0.0.10 - 10.0.0.10": "",
		"10.0.0.20-10.0.0.10":    "ends before",
		"10.0.1.10-10.0.1.20":    "not within 10.0.0.0/24",
		"10.0.0.10":              "not of the form",
		"::1-::2":                "not of IPv4",
		"x-y":                    "unable to parse",
		"10.0.0.10-10.9.0.10":    "more than",
	} {
		_, err := ParseRange(in, lan)
		if (err == nil) != (want == "") || (err != nil && !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v", in, err)
		}
	}
}

func TestCheckRouter(t *testing.T) {
	for _, c := range []struct{ lan, router, want string }{
		{"10.0.0.1/24", "", ""},
		{"10.0.0.1/24", "10.0.0.254", ""},
		{"10.0.0.1/24", "10.0.0.1", ""}, // the server may be it
		{"10.0.0.1/31", "10.0.0.0", ""},
		{"10.0.0.1/24", "10.99.99.1", "10.99.99.1 is not within 10.0.0.0/24"},
		{"10.0.0.1/24", "10.0.0.0", "no host's address"},
		{"10.0.0.1/24", "10.0.0.255", "no host's address"},
		{"10.0.0.1/24", "2001:db8::1", "no IPv4 address"},
	} {
		router, _ := netip.ParseAddr(c.router)
		err := CheckRouter(router, netip.MustParsePrefix(c.lan))
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// propose chooses an address that nobody uses.
func propose(p *Pool, mac string) (netip.Addr, error) {
	a, ask, err := p.Propose(mac, netip.Addr{})
	if err == nil && ask {
		err = p.Confirm(mac, a)
	}
	return a, err
}

func TestPool(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	db := store.NewMemory()
	p := testPool(t, db, "10.0.0.0-10.0.0.4", clock) // .0 is the network's, .1 the server's: three are left
	ctx := t.Context()
	give := func(mac string) netip.Addr {
		t.Helper()
		a, err := propose(p, mac)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Commit(ctx, mac, a); err != nil {
			t.Fatal(err)
		}
		return a
	}
	a, b, c := give("a"), give("b"), give("c")
	if a == b || b == c || a == c {
		t.Fatalf("%v %v %v", a, b, c)
	}
	if give("a") != a {
		t.Error("the second exchange of a boot gives another address")
	}
	if _, err := propose(p, "d"); err == nil || !strings.Contains(err.Error(), "widen") {
		t.Errorf("full pool: %v", err)
	}
	if _, err := p.Commit(ctx, "d", a); err == nil {
		t.Error("d was given a's address")
	}
	if mac, ok := p.MAC(b); !ok || mac != "b" {
		t.Errorf("MAC(%v) = %q %v", b, mac, ok)
	}

	// After a restart all is as before.
	p = testPool(t, db, "10.0.0.0-10.0.0.4", clock)
	if give("b") != b {
		t.Error("b lost its address in a restart")
	}

	// A released address is given to another, an expired one too, and the old owner loses it for good.
	if err := p.Release(ctx, "c", c); err != nil {
		t.Fatal(err)
	}
	if give("d") != c {
		t.Error("d did not get the released address")
	}
	now = now.Add(2 * time.Hour)
	e := give("e")
	now = now.Add(time.Second)
	p = testPool(t, db, "10.0.0.0-10.0.0.4", clock)
	if mac, _ := p.MAC(e); mac != "e" {
		t.Errorf("%v is %q's after a restart", e, mac)
	}

	// A declined address rests for an hour.
	if was, err := p.Decline(ctx, "e", e); err != nil || !was {
		t.Fatal(was, err)
	}
	if f := give("e"); f == e {
		t.Error("declined address was given again")
	}
	if _, ok := p.MAC(e); ok {
		t.Error("a declined address has an owner")
	}
	if _, err := p.Commit(ctx, "g", e); err == nil {
		t.Error("declined address was committed")
	}
}

func TestOfferIsHeldForAMinute(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	p := testPool(t, store.NewMemory(), "10.0.0.9-10.0.0.9", func() time.Time { return now })
	if _, err := propose(p, "a"); err != nil {
		t.Fatal(err)
	}
	if _, err := propose(p, "b"); err == nil {
		t.Error("offered twice")
	}
	p.Forget("a")
	if _, err := propose(p, "b"); err != nil {
		t.Error(err)
	}
	now = now.Add(offerHold + time.Second)
	if _, err := propose(p, "c"); err != nil {
		t.Error(err)
	}
}

func TestStoreFailureIsNoLease(t *testing.T) {
	db := store.NewMemory()
	p := testPool(t, db, "10.0.0.9-10.0.0.9", time.Now)
	db.SetFail(store.ErrNotFound)
	if _, err := p.Commit(t.Context(), "a", netip.MustParseAddr("10.0.0.9")); err == nil {
		t.Error("a lease that was not stored was given")
	}
}
