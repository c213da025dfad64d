package dhcp

import (
	"context"
	"fmt"
	"time"

	"github.com/diskcast/diskcast/server/store"
)

// distrust ends all leases of a state that was restored from a copy: who got which address since then is not known.
// Each address is then looked for on the LAN before it is given, and stays the favourite of the machine that had it.
func (p *Pool) distrust(ctx context.Context) error {
	var at time.Time
	ended := 0
	err := p.cfg.Store.Update(ctx, func(tx store.WriteTx) (err error) {
		if at, err = store.Copied(tx, store.OfLeases); err != nil || at.IsZero() {
			return err
		}
		now := p.cfg.Now()
		old := map[string]lease{}
		err = tx.Walk(leasePrefix, func(key string, _ []byte) error {
			var l lease
			if err := store.GetJSON(tx, key, &l); err != nil {
				return err
			}
			if l.Until.After(now) {
				old[key] = l
			}
			return nil
		})
		ended = len(old)
		for key, l := range old {
			if l.From.IsZero() { // written before leases had terms: load reckons with the end
				l.Term, l.From = p.cfg.Term, l.Until.Add(-p.cfg.Term)
			}
			l.Until = now
			if err := store.PutJSON(tx, key, l); err != nil {
				return err
			}
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("DHCP leases of a copied state: %w", err)
	}
	if !at.IsZero() {
		p.cfg.Log.Warn("the DHCP leases are a copy: who got which address since then is not known, and each is "+
			"looked for on the LAN before it is given",
			"copied", at.Format(time.RFC3339), "leases", ended)
	}
	return nil
}
