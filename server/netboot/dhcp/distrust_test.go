package dhcp

import (
	"net/netip"
	"testing"
	"time"

	"github.com/diskcast/diskcast/server/store"
)

// TestCopiedLeases: nobody gets or keeps an address on the word of a copy without a look at the LAN.
func TestCopiedLeases(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	db := store.NewMemory()
	p := testPool(t, db, "10.0.0.10-10.0.0.20", clock)
	had, err := propose(p, "a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Commit(t.Context(), "a", had); err != nil {
		t.Fatal(err)
	}
	if err := db.Update(t.Context(), func(tx store.WriteTx) error { return store.MarkCopied(tx, now) }); err != nil {
		t.Fatal(err)
	}
	for _, copied := range []bool{true, false} {
		p = testPool(t, db, "10.0.0.10-10.0.0.20", clock)
		a, ask, err := p.Propose("a", netip.Addr{})
		if err != nil || a != had || ask != copied {
			t.Errorf("copied %v: the machine is given %v (it had %v) after a look at the LAN: %v, %v", copied, a, had,
				ask, err)
		}
		p.Cancel("a", a)
		if ask, err := p.Reserve("a", had); err != nil || ask != copied {
			t.Errorf("copied %v: a renewal is looked at: %v, %v", copied, ask, err)
		}
		if err := p.Confirm("a", had); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Commit(t.Context(), "a", had); err != nil {
			t.Fatal(err)
		}
	}
}
