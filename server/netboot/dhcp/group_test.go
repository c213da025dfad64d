package dhcp

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/diskcast/diskcast/server/store"
)

// slow is a store that writes when it is let, and counts how often.
type slow struct {
	*store.Memory
	mu      sync.Mutex // held: nothing is written
	updates int
}

func (s *slow) Update(ctx context.Context, f func(store.WriteTx) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.updates++
	return s.Memory.Update(ctx, f)
}

// TestManyLeasesAtOnce has a whole lab ask while the disk is busy: all are stored, each once, in few transactions, and
// a restart knows them. Where the disk takes none, all are told so, and all may ask again.
func TestManyLeasesAtOnce(t *testing.T) {
	const machines = 200
	db := &slow{Memory: store.NewMemory()}
	p := testPool(t, db, "10.0.0.2-10.0.0.254", time.Now)
	p.cfg.Known = func(string) bool { return true }
	ask := func(name string) (errs int) {
		var all sync.WaitGroup
		var mu sync.Mutex
		db.mu.Lock()
		for i := range machines {
			all.Go(func() {
				mac := fmt.Sprintf("%s%d", name, i)
				a, err := propose(p, mac)
				if err == nil {
					_, err = p.Commit(t.Context(), mac, a)
				}
				if err != nil {
					mu.Lock()
					errs++
					mu.Unlock()
				}
			})
		}
		waitFor(t, p, machines)
		db.mu.Unlock()
		all.Wait()
		return errs
	}
	db.SetFail(errors.New("disk is full"))
	if n := ask("m"); n != machines || len(p.giving) != 0 || len(p.given) != 0 || len(p.stored) != 0 {
		t.Errorf("on a full disk %d of %d are told so; left behind: %d, %d, %d", n, machines, len(p.giving),
			len(p.given), len(p.stored))
	}
	db.SetFail(nil)
	db.updates = 0
	if n := ask("m"); n != 0 || db.updates > 3 {
		t.Errorf("%d failed, %d transactions for %d leases", n, db.updates, machines)
	}
	seen := map[netip.Addr]string{}
	again := testPool(t, db, "10.0.0.2-10.0.0.254", time.Now)
	for mac, l := range p.byMAC {
		if other, twice := seen[l.Addr]; twice {
			t.Errorf("%v is given to %s and %s", l.Addr, mac, other)
		}
		if seen[l.Addr] = mac; again.byMAC[mac].Addr != l.Addr {
			t.Errorf("%s has %v, and after a restart %v", mac, l.Addr, again.byMAC[mac].Addr)
		}
	}
	if len(seen) != machines || len(again.byMAC) != machines {
		t.Errorf("%d leases, %d after a restart", len(seen), len(again.byMAC))
	}
}

// waitFor waits until so many leases wait to be stored.
func waitFor(t *testing.T, p *Pool, n int) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); ; <-tick.C {
		p.mu.Lock()
		waiting := len(p.giving)
		p.mu.Unlock()
		if waiting == n {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d leases wait to be stored, want %d", waiting, n)
		}
	}
}

// TestALeaseThatMoves has a machine get another address, and another machine get its old one, by one transaction: the
// record of neither is lost.
func TestALeaseThatMoves(t *testing.T) {
	db := &slow{Memory: store.NewMemory()}
	p := testPool(t, db, "10.0.0.10-10.0.0.12", time.Now)
	ctx := t.Context()
	old, next := netip.MustParseAddr("10.0.0.10"), netip.MustParseAddr("10.0.0.11")
	give := func(mac string, a netip.Addr) chan error {
		if _, err := p.Reserve(mac, a); err != nil {
			t.Fatal(err)
		}
		if err := p.Confirm(mac, a); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { _, err := p.Commit(ctx, mac, a); done <- err }()
		return done
	}
	if err := <-give("a", old); err != nil {
		t.Fatal(err)
	}
	if err := p.Release(ctx, "a", old); err != nil {
		t.Fatal(err)
	}
	db.mu.Lock()
	first := give("x", netip.MustParseAddr("10.0.0.12")) // is being stored while the others wait
	waitFor(t, p, 1)
	moves := give("a", next)
	waitFor(t, p, 2)
	if p.free(next, "b") {
		t.Error("an address that is being given is free for another")
	}
	takes := give("b", old)
	waitFor(t, p, 3)
	declined := make(chan error, 1)
	go func() { _, err := p.Decline(ctx, "x", netip.MustParseAddr("10.0.0.12")); declined <- err }()
	db.mu.Unlock()
	if err := errors.Join(<-first, <-moves, <-takes, <-declined); err != nil {
		t.Fatal(err)
	}
	again := testPool(t, db, "10.0.0.10-10.0.0.12", time.Now)
	if len(again.byMAC) != 2 || again.byMAC["a"].Addr != next || again.byMAC["b"].Addr != old {
		t.Errorf("after a restart: %+v", again.byMAC)
	}
}
