// Package network brings a node onto the network it booted from: it finds the interface, makes a bond or a VLAN of it
// where the site says so, gets a DHCP lease for it or gives it the site's address, sets address, routes, MTU and name
// servers, and keeps the lease.
//
// It never gives up, because a node without a network has nobody to tell; it says on the console what it tries and why
// that did not work.
package network

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/diskcast/diskcast/internal/wiring"
)

// Interface is one network interface.
type Interface struct {
	Name    string
	MAC     net.HardwareAddr
	Carrier bool
}

// System is what Up needs of the operating system; Linux is the real one, Fake the tests'.
type System interface {
	// Interfaces lists the Ethernet interfaces.
	Interfaces() ([]Interface, error)
	// SetUp switches an interface on. It may be called again.
	SetUp(name string) error
	// Changed returns a channel that gets a value whenever an interface came, went or changed its state, until ctx
	// ends.
	Changed(ctx context.Context) (<-chan struct{}, error)
	// Lease asks for a lease until there is one, ctx ends, or the servers refuse.
	Lease(ctx context.Context, name string) (*Lease, error)
	// Renew asks for more time, and returns the lease as it is from now on.
	Renew(ctx context.Context, name string, l *Lease) (*Lease, error)
	// Configure gives the interface what the lease says, and replaces what an earlier lease gave.
	Configure(name string, l *Lease) error
	// Deconfigure takes away what Configure gave.
	Deconfigure(name string, l *Lease) error
	// Carrier tells whether an interface has a link.
	Carrier(name string) bool
	// AddVLAN makes the interface of a VLAN on another, and returns its name. One that is there is taken.
	AddVLAN(parent string, id int) (string, error)
	// AddBond makes one interface of several, with the address of the first of them, and returns its name.
	AddBond(mode string, members []Interface) (string, error)
	// Remove takes away what AddVLAN made.
	Remove(name string) error
	// Taken asks the network whether somebody has the address already, and returns the one who says so.
	Taken(ctx context.Context, name string, addr netip.Addr) (net.HardwareAddr, error)
}

// Options of Up.
type Options struct {
	System System
	// Drivers is closed when the drivers of all NICs are loaded; nil: they are. Until then the boot NIC is waited for.
	Drivers <-chan struct{}
	// BootMAC is the NIC that the node booted from; nil when nobody said.
	BootMAC net.HardwareAddr
	// Wiring is what the site says of VLANs, bonds and addresses.
	Wiring wiring.Settings
	// Reach tells, when an interface has its lease, whether the server can be reached through it. It is asked only
	// where several interfaces compete. nil is always content.
	Reach func(ctx context.Context) error
	Log   *slog.Logger

	// The waits, 0 for the defaults: for the boot NIC to show up (its driver may still be loading), for carrier on any
	// NIC (a switch port without portfast takes 30 s after link up to forward), for a lease on one of several NICs.
	WaitNIC, WaitCarrier, WaitLease time.Duration

	bond *candidate // once it is made
}

func (o *Options) defaults() {
	if o.WaitNIC <= 0 {
		o.WaitNIC = 20 * time.Second
	}
	if o.WaitCarrier <= 0 {
		o.WaitCarrier = 10 * time.Second
	}
	if o.WaitLease <= 0 {
		o.WaitLease = 12 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}

// Link is an interface with a lease.
type Link struct {
	Name  string
	MAC   net.HardwareAddr
	Lease *Lease
	// NIC is the network card below it, of a bond the first: Name, where there is neither bond nor VLAN.
	NIC string
	// Waited is from the carrier to the lease; 0 when the carrier was not seen.
	Waited time.Duration

	o Options
}

// quick is a round that nothing was waited for in.
const quick = 5 * time.Second

// Up returns as soon as one interface has a lease, or when ctx ends.
func Up(ctx context.Context, o Options) (*Link, error) {
	o.defaults()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	changed, err := o.System.Changed(ctx)
	if err != nil {
		return nil, fmt.Errorf("watching the network interfaces: %w", err)
	}
	seen, err := watchLinks(ctx, o.System)
	if err != nil {
		return nil, fmt.Errorf("watching the network interfaces: %w", err)
	}
	for round := 1; ; round++ {
		began := time.Now()
		nics, err := choose(ctx, &o, changed, round)
		if err == nil && o.Wiring.Bond != nil {
			nics, err = bonded(&o, nics)
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err != nil && o.Wiring.Bond == nil {
			return nil, err
		}
		if err != nil {
			o.Log.Error("the bond cannot be made; trying on", "bond", o.Wiring.Bond, "err", err)
		}
		for _, nic := range nics {
			link, err := try(ctx, &o, nic, len(nics) > 1)
			if err == nil {
				link.Waited = seen.waited(link.NIC)
				o.Log.Info("network is up", "nic", link.Name, "mac", link.MAC, "lease", link.Lease,
					"after_link", link.Waited.Round(time.Millisecond))
				return link, nil
			}
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			o.Log.Warn("no network on this interface yet; trying on", "nic", nic.Name, "mac", nic.MAC, "carrier",
				nic.Carrier, "round", round, "error", err)
		}
		// What fails at once (an interface that is gone, an address that somebody has) must not make a busy loop.
		wait := time.Second
		if time.Since(began) < quick {
			wait = min(time.Duration(round)*time.Second, 30*time.Second)
		}
		pause := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-changed:
		case <-pause.C:
		}
		pause.Stop()
	}
}

// try gets a lease on one interface, or on a VLAN of it, and configures it.
func try(ctx context.Context, o *Options, nic candidate, rivals bool) (_ *Link, err error) {
	if err := o.System.SetUp(nic.Name); err != nil {
		return nil, err
	}
	name := nic.Name
	if id := o.Wiring.VLAN; id > 0 {
		if name, err = o.System.AddVLAN(nic.Name, id); err != nil {
			return nil, err
		}
		defer func() {
			if err != nil {
				err = errors.Join(err, o.System.Remove(name))
			}
		}()
		if err := o.System.SetUp(name); err != nil {
			return nil, err
		}
	}
	lease, err := ask(ctx, o, name, rivals)
	if err != nil {
		return nil, err
	}
	if err := o.System.Configure(name, lease); err != nil {
		return nil, fmt.Errorf("setting the address: %w", err)
	}
	if rivals && o.Reach != nil {
		reachCtx, cancel := context.WithTimeout(ctx, o.WaitLease)
		defer cancel()
		if err := o.Reach(reachCtx); err != nil {
			err = fmt.Errorf("it has a lease (%v), but the server cannot be reached through it: %w", lease, err)
			return nil, errors.Join(err, o.System.Deconfigure(name, lease))
		}
	}
	return &Link{Name: name, MAC: nic.MAC, Lease: lease, NIC: nic.card, o: *o}, nil
}

// ask gets the lease of an interface: the site's, or one by DHCP.
func ask(ctx context.Context, o *Options, name string, rivals bool) (*Lease, error) {
	if o.Wiring.Static != nil {
		return static(ctx, o, name)
	}
	wait := o.WaitLease
	if !rivals {
		wait *= 3 // nothing else to turn to: fewer, longer rounds make fewer words
	}
	leaseCtx, cancel := context.WithTimeoutCause(ctx, wait,
		fmt.Errorf("no DHCP server answered within %v: is the cable in the right switch port and VLAN?", wait))
	defer cancel()
	lease, err := o.System.Lease(leaseCtx, name)
	if err != nil {
		if cause := context.Cause(leaseCtx); cause != nil && ctx.Err() == nil {
			return nil, cause
		}
		return nil, err
	}
	return lease, nil
}
