package network

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
)

// Fake is a System for tests: interfaces, cables and DHCP servers as its fields say. Set changes them while it is used.
type Fake struct {
	mu      sync.Mutex
	nics    []Interface
	leases  map[string]*Lease // by interface: what a DHCP server there gives; none where there is no server
	renewed map[string]*Lease
	up      map[string]bool
	config  map[string]*Lease
	changed []chan struct{}
	taken   map[netip.Addr]net.HardwareAddr
	above   map[string]string // the interface below one that was made
	Calls   []string          // what was done, in order
}

var _ System = (*Fake)(nil)

// Set replaces the interfaces and the leases that are given on them, and wakes whoever waits for changes.
func (f *Fake) Set(nics []Interface, leases map[string]*Lease) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.nics, f.leases = nics, leases
	for _, c := range f.changed {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// SetRenewed says what a renewal gives.
func (f *Fake) SetRenewed(leases map[string]*Lease) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.renewed = leases
}

// Configured is the lease that an interface is configured with; nil for none.
func (f *Fake) Configured(name string) *Lease {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.config[name]
}

func (f *Fake) note(format string, args ...any) {
	f.Calls = append(f.Calls, fmt.Sprintf(format, args...))
}

// Interfaces lists what Set gave; only an interface that is up shows its carrier.
func (f *Fake) Interfaces() ([]Interface, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([]Interface, len(f.nics))
	for i, n := range f.nics {
		n.Carrier = n.Carrier && f.up[n.Name]
		out[i] = n
	}
	return out, nil
}

// SetUp switches an interface on; its carrier shows at the next look.
func (f *Fake) SetUp(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.up == nil {
		f.up = map[string]bool{}
	}
	if !f.up[name] {
		f.up[name] = true
		f.note("up %s", name)
		for _, c := range f.changed {
			select {
			case c <- struct{}{}:
			default:
			}
		}
	}
	return nil
}

// Changed subscribes to Set.
func (f *Fake) Changed(context.Context) (<-chan struct{}, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := make(chan struct{}, 1)
	f.changed = append(f.changed, c)
	return c, nil
}

// Lease gives the lease of Set, or waits for ctx where there is none.
func (f *Fake) Lease(ctx context.Context, name string) (*Lease, error) {
	f.mu.Lock()
	l := f.leases[name]
	f.note("lease %s", name)
	f.mu.Unlock()
	if l != nil {
		return l, nil
	}
	<-ctx.Done()
	return nil, context.Cause(ctx)
}

// Renew gives the lease of SetRenewed, or an error.
func (f *Fake) Renew(_ context.Context, name string, _ *Lease) (*Lease, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.note("renew %s", name)
	if l := f.renewed[name]; l != nil {
		return l, nil
	}
	return nil, fmt.Errorf("no answer on %s", name)
}

// Configure notes the lease.
func (f *Fake) Configure(name string, l *Lease) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.config == nil {
		f.config = map[string]*Lease{}
	}
	f.config[name] = l
	f.note("configure %s %v", name, l.Addr)
	return nil
}

// Deconfigure forgets the lease.
func (f *Fake) Deconfigure(name string, l *Lease) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.config, name)
	f.note("deconfigure %s %v", name, l.Addr)
	return nil
}

// SetTaken says who has an address.
func (f *Fake) SetTaken(addr netip.Addr, who net.HardwareAddr) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.taken = map[netip.Addr]net.HardwareAddr{addr: who}
}

// Taken says what SetTaken did.
func (f *Fake) Taken(_ context.Context, _ string, addr netip.Addr) (net.HardwareAddr, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.taken[addr], nil
}

// Carrier is that of the interface, or of the one below it.
func (f *Fake) Carrier(name string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.above[name] != "" {
		name = f.above[name]
	}
	for _, n := range f.nics {
		if n.Name == name {
			return n.Carrier
		}
	}
	return false
}

func (f *Fake) put(name, below string) string {
	if f.above == nil {
		f.above = map[string]string{}
	}
	f.above[name] = below
	return name
}

// AddVLAN notes the VLAN.
func (f *Fake) AddVLAN(parent string, id int) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.note("vlan %s %d", parent, id)
	return f.put(fmt.Sprintf("vlan%d", id), parent), nil
}

// AddBond notes the bond.
func (f *Fake) AddBond(mode string, members []Interface) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var names []string
	for _, m := range members {
		names = append(names, m.Name)
	}
	f.note("bond %s %s", mode, strings.Join(names, ","))
	return f.put(bondName, members[0].Name), nil
}

// Remove forgets what was made.
func (f *Fake) Remove(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.note("remove %s", name)
	delete(f.above, name)
	return nil
}
