package dhcp

import (
	"context"
	"net/netip"

	"github.com/diskcast/diskcast/server/store"
)

// group is leases that are stored by one transaction: a disk makes some hundred of those a second, and a lab that is
// switched on asks for thousands of leases.
type group struct {
	ops    []func(store.WriteTx) error // in order
	finish []func(error)               // called with the lock when it is stored, or is not
	done   chan struct{}               // closed behind that
	err    error
}

// store stores a machine's lease of an address in place of the one whose it was, and returns when that is durable. The
// lock is held before and after, and not meanwhile: nobody else is given the address, and who asks something else of
// the same machine's lease waits (settled).
func (p *Pool) store(mac string, l lease) error {
	before, old := p.stored[l.Addr], p.storedAt[mac]
	p.isStored(mac, netip.Addr{}) // its record is written anew: who gets the old address has nothing to take out
	if p.next == nil {
		p.next = &group{done: make(chan struct{})}
	}
	g := p.next
	g.ops = append(g.ops, func(tx store.WriteTx) error {
		if before != "" && before != mac {
			if err := tx.Delete(leasePrefix + before); err != nil {
				return err
			}
		}
		return store.PutJSON(tx, leasePrefix+mac, l)
	})
	g.finish = append(g.finish, func(err error) {
		delete(p.giving, mac)
		delete(p.given, l.Addr)
		delete(p.pending, l.Addr)
		if err == nil {
			p.keep(mac, l)
			delete(p.conflict, l.Addr)
		} else if _, taken := p.stored[old]; !taken {
			p.isStored(mac, old)
		}
	})
	p.giving[mac], p.given[l.Addr] = g, mac
	if !p.storing {
		p.storing = true
		go p.storeAll() // ends when nothing is left to store; who waits for it keeps the store open
	}
	p.mu.Unlock()
	<-g.done
	p.mu.Lock()
	return g.err
}

// storeAll stores one group after another, until there is none.
func (p *Pool) storeAll() {
	for {
		p.mu.Lock()
		g := p.next
		p.next, p.storing = nil, g != nil
		p.mu.Unlock()
		if g == nil {
			return
		}
		g.err = p.cfg.Store.Update(context.Background(), func(tx store.WriteTx) error {
			for _, op := range g.ops {
				if err := op(tx); err != nil {
					return err
				}
			}
			return nil
		})
		p.mu.Lock()
		for _, f := range g.finish {
			f(g.err)
		}
		p.mu.Unlock()
		close(g.done)
	}
}

// settled waits until no lease of the machine is being stored. The lock is held before and after.
func (p *Pool) settled(mac string) {
	for p.giving[mac] != nil {
		g := p.giving[mac]
		p.mu.Unlock()
		<-g.done
		p.mu.Lock()
	}
}
