package dhcp

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/store"
)

// TestFloodCannotTakeTheRange is random MAC addresses that take all the range, as the tools that do it do.
func TestFloodCannotTakeTheRange(t *testing.T) {
	c := newCrowd(t)
	got := 0
	for i := range 1000 {
		if a, term := c.take(stranger(i)); a.IsValid() {
			got++
			if term != firstTerm {
				t.Fatalf("a stranger's lease is for %v, want %v", term, firstTerm)
			}
		}
	}
	if got != 20 {
		t.Fatalf("the flood got %d addresses of 20", got)
	}
	v := c.view()
	if v.Free != 0 || len(v.Warnings) != 1 ||
		!strings.Contains(v.Warnings[0], "of its 20 addresses 20 are held by machines that never booted") {
		t.Errorf("the operator sees %d free and %q", v.Free, v.Warnings)
	}
	if n := strings.Count(c.log.String(), "the DHCP range runs out"); n != 1 {
		t.Errorf("the log says %d times that the range runs out:\n%s", n, &c.log)
	}
	if a, _ := c.take("52:54:00:00:00:01"); a.IsValid() {
		t.Error("a stranger's lease is taken from it at once for another stranger")
	}
	// A machine that booted from this server does not wait.
	c.known[labMachine] = true
	mine, term := c.take(labMachine)
	if !mine.IsValid() || term != 12*time.Hour {
		t.Fatalf("the known machine got %v for %v", mine, term)
	}
	// One that is seen for the first time waits a minute. The flood goes on, and takes nothing from the known machine.
	c.now = c.now.Add(leasePatience)
	if a, _ := c.take("52:54:00:00:00:01"); !a.IsValid() {
		t.Error("a new machine got no address a minute after the flood")
	}
	for i := range 1000 {
		c.take(stranger(1000 + i))
	}
	if mac, _ := c.pool.MAC(mine); mac != labMachine {
		t.Errorf("the known machine's address is %s's", mac)
	}
	c.now = c.now.Add(firstTerm)
	if v := c.view(); v.Free != 19 {
		t.Errorf("%d addresses are free after the flood, want all but the known machine's", v.Free)
	}
}

// TestOffersAreNotHeld is a flood that takes no offer up.
func TestOffersAreNotHeld(t *testing.T) {
	c := newCrowd(t)
	for i := range 100 {
		c.send(request(t, stranger(i)))
	}
	if v := c.view(); len(v.Leases) != 20 || v.Leases[0].State != doc.LeaseOffered {
		t.Fatalf("%+v", v.Leases)
	}
	c.known[labMachine] = true
	if a, _ := c.take(labMachine); !a.IsValid() {
		t.Error("the known machine got no address")
	}
	c.now = c.now.Add(offerPatience)
	if a, _ := c.take("52:54:00:00:00:01"); !a.IsValid() {
		t.Error("a new machine got none of the offers that nobody took up")
	}
	c.now = c.now.Add(offerHold)
	if v := c.view(); v.Free != 18 {
		t.Errorf("%d addresses are free a minute later", v.Free)
	}
}

// TestReclaim is what is taken, in which order, and what is not.
func TestReclaim(t *testing.T) {
	c := newCrowd(t)
	var held []netip.Addr
	for i := range 20 {
		a, _ := c.take(stranger(i))
		held = append(held, a)
		c.now = c.now.Add(time.Second)
	}
	c.now = c.now.Add(firstTerm / 2)
	for i := range 18 { // all but two use theirs
		if term, ok := c.renew(stranger(i), held[i]); !ok || term != 2*firstTerm {
			t.Fatalf("renewal: %v for %v", ok, term)
		}
		c.now = c.now.Add(time.Second)
	}
	// The older of the two answers: it is in use, and the other is taken.
	c.lan[held[18]] = stranger(18)
	if a, _ := c.take("52:54:00:00:00:01"); a != held[19] {
		t.Errorf("reclaimed %v, want %v, which nobody uses", a, held[19])
	}
	if _, ok := c.renew(stranger(19), held[19]); ok {
		t.Error("the one that it was taken from may still use it")
	}
	if a, _ := c.take("52:54:00:00:00:02"); a.IsValid() {
		t.Errorf("a stranger got %v, which is in use or was renewed", a)
	}
	// For a known machine a renewed one is taken that does not answer: the oldest, which is the second here.
	c.known[labMachine] = true
	c.lan[held[0]] = stranger(0)
	first, _ := c.take(labMachine) // the offer to :01 was taken up a moment ago: its first lease goes before
	if first != held[19] {
		t.Errorf("got %v, want the first lease at %v", first, held[19])
	}
	c.known["52:54:00:00:00:78"] = true
	if a, _ := c.take("52:54:00:00:00:78"); a != held[1] {
		t.Errorf("got %v, want %v", a, held[1])
	}
	// After a restart the addresses are those of the new owners, whatever their records' order.
	c.restart()
	for mac, a := range map[string]netip.Addr{labMachine: held[19], "52:54:00:00:00:78": held[1]} {
		if owner, _ := c.pool.MAC(a); owner != mac {
			t.Errorf("%v is %s's after a restart, want %s", a, owner, mac)
		}
	}
}

// TestLeaseGrows is a machine of the LAN that does not boot from here, and one that begins to.
func TestLeaseGrows(t *testing.T) {
	c := newCrowd(t)
	a, term := c.take(labMachine)
	for _, want := range []time.Duration{20, 40, 80, 160, 320, 640, 720, 720} {
		c.now = c.now.Add(term / 2)
		var ok bool
		if term, ok = c.renew(labMachine, a); !ok || term != want*time.Minute {
			t.Fatalf("renewal: %v for %v, want %v", ok, term, want*time.Minute)
		}
	}
	b, term := c.take("52:54:00:00:00:01")
	if again, ok := c.renew("52:54:00:00:00:01", b); !ok || again != term {
		t.Errorf("a second exchange at once: %v for %v, want %v", ok, again, term)
	}
	c.known["52:54:00:00:00:01"] = true
	if term, ok := c.renew("52:54:00:00:00:01", b); !ok || term != 12*time.Hour {
		t.Errorf("the machine is known now: %v for %v", ok, term)
	}
	// What the machine is told is never more than what is kept.
	c.now = c.now.Add(time.Hour)
	term, _ = c.renew("52:54:00:00:00:01", b)
	for _, l := range c.view().Leases {
		if l.MAC == "52:54:00:00:00:01" && l.Until.Before(c.now.Add(term)) {
			t.Errorf("told %v, kept until %v at %v", term, l.Until, c.now)
		}
	}
}

// TestAddressInUse is a range half of which is used by machines that nobody knows of.
func TestAddressInUse(t *testing.T) {
	c := newCrowd(t)
	for i := range 7 {
		c.lan[netip.AddrFrom4([4]byte{10, 0, 0, byte(100 + i)})] = "52:54:00:ee:00:01"
	}
	given := map[netip.Addr]bool{}
	for i := range 13 {
		a, _ := c.take(stranger(i))
		if !a.IsValid() {
			a, _ = c.take(stranger(i)) // more than a few in a row were in use: firmware asks again
		}
		if !a.IsValid() || given[a] || c.lan[a] != "" {
			t.Fatalf("given %v", a)
		}
		given[a] = true
	}
	asked := c.asked
	c.take(stranger(0))
	if c.asked != asked {
		t.Error("the LAN is asked for a lease that is the machine's already")
	}
	aside := 0
	for _, l := range c.view().Leases {
		if c.lan[netip.MustParseAddr(l.Addr)] == "" {
			continue
		}
		aside++
		if l.State != doc.LeaseConflict || l.MAC != "52:54:00:ee:00:01" {
			t.Errorf("%+v", l)
		}
	}
	if n := strings.Count(c.log.String(), "is in use by a machine that it was not given to"); n == 0 || n != aside {
		t.Errorf("the log names %d addresses in use, %d are set aside:\n%s", n, aside, &c.log)
	}
	// A machine that says it has such an address is refused it, and its own may be in use by itself.
	if _, ok := c.renew("52:54:00:00:00:01", netip.MustParseAddr("10.0.0.100")); ok {
		t.Error("a machine was given an address that another uses")
	}
	if _, ok := c.renew("52:54:00:ee:00:01", netip.MustParseAddr("10.0.0.101")); ok {
		t.Error("an address is set aside, and yet given")
	}
	c.now = c.now.Add(conflictHold)
	if _, ok := c.renew("52:54:00:ee:00:01", netip.MustParseAddr("10.0.0.101")); !ok {
		t.Error("the machine that uses the address is refused it")
	}
}

// TestDecline is a machine that finds its address in use, and a flood of such.
func TestDecline(t *testing.T) {
	c := newCrowd(t)
	decline := func(mac string, a netip.Addr) {
		c.send(request(t, mac, dhcpv4.WithMessageType(dhcpv4.MessageTypeDecline), requested(a.String())))
	}
	a, _ := c.take(labMachine)
	decline("52:54:00:00:00:01", a)
	if mac, _ := c.pool.MAC(a); mac != labMachine {
		t.Fatal("another machine's address can be declined")
	}
	decline(labMachine, a)
	if v := c.view(); len(v.Leases) != 1 || v.Leases[0].State != doc.LeaseConflict || v.Free != 19 {
		t.Errorf("%+v", v)
	}
	if b, _ := c.take(labMachine); b == a || !b.IsValid() {
		t.Errorf("given %v after declining %v", b, a)
	}
	for i := range 100 {
		if a, _ := c.take(stranger(i)); a.IsValid() {
			decline(stranger(i), a)
		}
	}
	if a, _ := c.take("52:54:00:00:00:01"); !a.IsValid() {
		t.Error("a flood of declines took the range: no address is looked at again")
	}
	if v := c.view(); len(v.Warnings) != 1 || !strings.Contains(v.Warnings[0], "18 are set aside") {
		t.Errorf("%q", v.Warnings)
	}
}

// TestProbesAreBounded is a flood that arrives while the LAN is being asked.
func TestProbesAreBounded(t *testing.T) {
	server := netip.MustParsePrefix("10.0.0.1/16")
	rng, err := ParseRange("10.0.1.0-10.0.4.255", server)
	if err != nil {
		t.Fatal(err)
	}
	p, err := NewPool(t.Context(),
		PoolConfig{Store: store.NewMemory(), Range: rng, Server: server, Term: time.Hour, Known: known})
	if err != nil {
		t.Fatal(err)
	}
	for i := range maxProbes {
		if _, ask, err := p.Propose(stranger(i), netip.Addr{}); err != nil || !ask {
			t.Fatal(ask, err)
		}
	}
	if _, _, err := p.Propose("52:54:00:00:00:01", netip.Addr{}); !errors.Is(err, errBusy) {
		t.Errorf("one more: %v", err)
	}
	if _, err := p.Reserve("52:54:00:00:00:01", netip.MustParseAddr("10.0.4.9")); !errors.Is(err, errBusy) {
		t.Errorf("one more, by request: %v", err)
	}
	if _, ask, err := p.Propose("52:54:00:12:00:01", netip.Addr{}); err != nil || !ask {
		t.Errorf("a known machine: %v", err)
	}
	a, _, err := p.Propose(stranger(0), netip.Addr{}) // asks again while the first look lasts
	if err != nil && !errors.Is(err, errBusy) {
		t.Fatal(a, err)
	}
}

// TestHolderSpeaksUp has the holder of a lease come back while the LAN is asked whether it is there.
func TestHolderSpeaksUp(t *testing.T) {
	for _, c := range []struct {
		name  string
		after time.Duration // the lease was given
		speak func(c *crowd, mac string, a netip.Addr)
	}{
		{"renews", firstTerm / 2, func(c *crowd, mac string, a netip.Addr) { c.renew(mac, a) }},
		{"asks again soon after it got the lease", leasePatience,
			func(c *crowd, mac string, a netip.Addr) { c.renew(mac, a) }},
		{"boots anew", firstTerm / 2, func(c *crowd, mac string, a netip.Addr) {
			if got, _ := c.take(mac); got != a {
				c.t.Errorf("given %v, had %v", got, a)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newCrowd(t)
			holder := map[netip.Addr]string{}
			for i := range 20 {
				a, _ := r.take(stranger(i))
				holder[a] = stranger(i)
			}
			r.now = r.now.Add(c.after)
			a, ask, err := r.pool.Propose(labMachine, netip.Addr{})
			if err != nil || !ask {
				t.Fatal(ask, err)
			}
			c.speak(r, holder[a], a)
			if err := r.pool.Confirm(labMachine, a); err == nil {
				t.Error("it was taken from its holder")
			}
			if mac, _ := r.pool.MAC(a); mac != holder[a] {
				t.Errorf("it is %q's", mac)
			}
		})
	}
}

// TestWritesAreBounded is one machine that makes the server write to its disk as fast as it can.
func TestWritesAreBounded(t *testing.T) {
	c := newCrowd(t)
	cycle := func(mac string) bool {
		a, _, err := c.pool.Propose(mac, netip.Addr{})
		if err == nil {
			err = c.pool.Confirm(mac, a)
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err = c.pool.Commit(t.Context(), mac, a); err == nil {
			err = c.pool.Release(t.Context(), mac, a)
		}
		if err != nil && !errors.Is(err, errBusy) {
			t.Fatal(err)
		}
		return err == nil
	}
	n := 0
	for cycle(stranger(1)) && n < 10_000 {
		n++
	}
	if n != writesAtOnce/2 {
		t.Errorf("%d leases were given and released, want %d", n, writesAtOnce/2)
	}
	c.known[labMachine] = true
	if !cycle(labMachine) {
		t.Error("a known machine has to wait")
	}
	c.now = c.now.Add(time.Second)
	if !cycle(stranger(2)) {
		t.Error("a second later a new machine has to wait")
	}
}

// TestLANCannotBeAsked is the server's own trouble: no machine hears "no" for it.
func TestLANCannotBeAsked(t *testing.T) {
	c := newCrowd(t)
	c.r.cfg.Ask = func(context.Context, netip.Addr, net.HardwareAddr) (net.HardwareAddr, error) {
		return nil, errors.New("network is down")
	}
	for _, m := range []*dhcpv4.DHCPv4{request(t, labMachine),
		request(t, labMachine, dhcpv4.WithMessageType(dhcpv4.MessageTypeRequest), requested("10.0.0.105"))} {
		if reply, err := c.r.Answer(t.Context(), m, ServerPort); reply != nil || err == nil ||
			!strings.Contains(err.Error(), "network is down") {
			t.Errorf("%v: answered %v, %v", m.MessageType(), reply, err)
		}
	}
	if v := c.view(); v.Free != 20 || len(c.pool.pending) != 0 {
		t.Errorf("%d addresses are free, %d are still chosen", v.Free, len(c.pool.pending))
	}
}

// TestFree is what the operator frees.
func TestFree(t *testing.T) {
	c := newCrowd(t)
	a, _ := c.take(labMachine)
	b, _ := c.take("52:54:00:00:00:02")
	d, _ := c.take("52:54:00:00:00:03")
	c.send(request(t, "52:54:00:00:00:03", dhcpv4.WithMessageType(dhcpv4.MessageTypeDecline), requested(d.String())))
	for _, what := range []string{a.String(), "52-54-00-00-00-02", d.String()} {
		if err := c.pool.Free(t.Context(), what); err != nil {
			t.Errorf("free %s: %v", what, err)
		}
		if err := c.pool.Free(t.Context(), what); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("free %s again: %v", what, err)
		}
	}
	if err := c.pool.Free(t.Context(), "nonsense"); err == nil {
		t.Error("nonsense was freed")
	}
	c.restart()
	if v := c.view(); len(v.Leases) != 0 || v.Free != 20 {
		t.Errorf("after a restart: %+v", v)
	}
	if _, ok := c.pool.MAC(b); ok {
		t.Error("the lease is still there")
	}
	a, _ = c.take(labMachine)
	c.store.SetFail(errors.New("disk is full"))
	if err := c.pool.Free(t.Context(), a.String()); err == nil || !strings.Contains(err.Error(), "disk is full") {
		t.Errorf("free that is not stored: %v", err)
	}
	if mac, _ := c.pool.MAC(a); mac != labMachine {
		t.Error("a lease that could not be freed is gone until the next restart")
	}
}

// TestOldRecords reads leases as they were stored before they had terms.
func TestOldRecords(t *testing.T) {
	c := newCrowd(t)
	err := c.store.Update(t.Context(), func(tx store.WriteTx) error {
		for mac, v := range map[string]string{
			"lease/52:54:00:00:00:01": `{"addr":"10.0.0.105","until":"2026-01-01T10:00:00Z"}`,
			"lease/52:54:00:00:00:09": `{"addr":"10.0.0.105","until":"2025-12-01T10:00:00Z"}`, // its owner before
		} {
			if err := tx.Put(mac, []byte(v)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	c.restart()
	a := netip.MustParseAddr("10.0.0.105")
	if mac, _ := c.pool.MAC(a); mac != "52:54:00:00:00:01" {
		t.Errorf("the address is %q's", mac)
	}
	if term, ok := c.renew("52:54:00:00:00:01", a); !ok || term != 12*time.Hour {
		t.Errorf("%v for %v", ok, term)
	}
}

func requested(a string) dhcpv4.Modifier {
	return dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(net.ParseIP(a)))
}
