// Package network brings a node onto the network it booted from: it finds the interface, gets a DHCP lease for it, sets
// address, routes, MTU and name servers, and keeps the lease.
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
	"strings"
	"time"
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
}

// Options of Up.
type Options struct {
	System System
	// BootMAC is the NIC that the node booted from; nil when nobody said.
	BootMAC net.HardwareAddr
	// Reach tells, when an interface has its lease, whether the server can be reached through it. It is asked only
	// where several interfaces compete. nil is always content.
	Reach func(ctx context.Context) error
	Log   *slog.Logger

	// The waits, 0 for the defaults: for the boot NIC to show up (its driver may still be loading), for carrier on any
	// NIC (a switch port without portfast takes 30 s after link up to forward), for a lease on one of several NICs.
	WaitNIC, WaitCarrier, WaitLease time.Duration
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
	// Waited is from the carrier to the lease; 0 when the carrier was not seen.
	Waited time.Duration

	o Options
}

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
		nics, err := choose(ctx, &o, changed)
		if err != nil {
			return nil, err
		}
		for _, nic := range nics {
			link, err := try(ctx, &o, nic, len(nics) > 1)
			if err == nil {
				link.Waited = seen.waited(link.Name)
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
		// An interface that fails at once (switched off again, gone) must not make a busy loop.
		pause := time.NewTimer(time.Second)
		select {
		case <-ctx.Done():
		case <-changed:
		case <-pause.C:
		}
		pause.Stop()
	}
}

// try gets a lease on one interface and configures it.
func try(ctx context.Context, o *Options, nic Interface, rivals bool) (*Link, error) {
	if err := o.System.SetUp(nic.Name); err != nil {
		return nil, err
	}
	wait := o.WaitLease
	if !rivals {
		wait *= 3 // nothing else to turn to: fewer, longer rounds make fewer words
	}
	leaseCtx, cancel := context.WithTimeoutCause(ctx, wait,
		fmt.Errorf("no DHCP server answered within %v: is the cable in the right switch port and VLAN?", wait))
	defer cancel()
	lease, err := o.System.Lease(leaseCtx, nic.Name)
	if err != nil {
		if cause := context.Cause(leaseCtx); cause != nil && ctx.Err() == nil {
			return nil, cause
		}
		return nil, err
	}
	if err := o.System.Configure(nic.Name, lease); err != nil {
		return nil, fmt.Errorf("setting the address: %w", err)
	}
	if rivals && o.Reach != nil {
		reachCtx, cancel := context.WithTimeout(ctx, o.WaitLease)
		defer cancel()
		if err := o.Reach(reachCtx); err != nil {
			err = fmt.Errorf("it has a lease (%v), but the server cannot be reached through it: %w", lease, err)
			return nil, errors.Join(err, o.System.Deconfigure(nic.Name, lease))
		}
	}
	return &Link{Name: nic.Name, MAC: nic.MAC, Lease: lease, o: *o}, nil
}

// choose returns the interfaces to try, in order: the boot NIC; else those with carrier; else all.
func choose(ctx context.Context, o *Options, changed <-chan struct{}) ([]Interface, error) {
	if o.BootMAC != nil {
		nic, err := waitBootNIC(ctx, o, changed)
		if err != nil {
			return nil, err
		}
		if nic != nil {
			return []Interface{*nic}, nil
		}
	}
	return waitCarrier(ctx, o, changed)
}

// waitBootNIC waits for the interface with the boot MAC; nil when it does not come.
func waitBootNIC(ctx context.Context, o *Options, changed <-chan struct{}) (*Interface, error) {
	timeout := time.NewTimer(o.WaitNIC)
	defer timeout.Stop()
	said := false
	for {
		nics, err := o.System.Interfaces()
		if err != nil {
			return nil, fmt.Errorf("listing the network interfaces: %w", err)
		}
		for _, n := range nics {
			if n.MAC.String() == o.BootMAC.String() {
				return &n, nil
			}
		}
		if !said {
			o.Log.Info("waiting for the NIC that the node booted from", "mac", o.BootMAC, "there", names(nics))
			said = true
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-changed:
		case <-timeout.C:
			o.Log.Warn("the NIC that the node booted from did not appear; trying every other. Is its driver in the "+
				"boot directory?", "mac", o.BootMAC, "there", names(nics))
			return nil, nil
		}
	}
}

// waitCarrier switches every interface on and waits until one has carrier, then until none has changed for a moment.
func waitCarrier(ctx context.Context, o *Options, changed <-chan struct{}) ([]Interface, error) {
	timeout := time.NewTimer(o.WaitCarrier)
	defer timeout.Stop()
	said := false
	for {
		nics, err := o.System.Interfaces()
		if err != nil {
			return nil, fmt.Errorf("listing the network interfaces: %w", err)
		}
		var live []Interface
		for _, n := range nics {
			if err := o.System.SetUp(n.Name); err != nil {
				o.Log.Warn("this interface cannot be switched on", "nic", n.Name, "error", err)
			}
			if n.Carrier {
				live = append(live, n)
			}
		}
		if len(live) > 0 && len(live) == len(nics) {
			return live, nil
		}
		if !said {
			o.Log.Info("waiting for a link", "nics", names(nics))
			said = true
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-changed:
		case <-timeout.C:
			switch {
			case len(live) > 0:
				return live, nil
			case len(nics) > 0:
				o.Log.Warn("no NIC has a link; trying them all. Is the cable plugged in?", "nics", names(nics))
				return nics, nil
			}
			o.Log.Error("the kernel knows no NIC: its driver is missing in the boot directory (mkimage --modules), " +
				"or it is off in the firmware setup; waiting for one")
			timeout.Reset(time.Minute)
		}
	}
}

func names(nics []Interface) string {
	if len(nics) == 0 {
		return "none"
	}
	var s []string
	for _, n := range nics {
		s = append(s, n.Name+"/"+n.MAC.String())
	}
	return strings.Join(s, " ")
}

// minRenew keeps a server with absurdly short leases from being asked all the time.
const minRenew = 5 * time.Second

// Keep renews the lease until ctx ends. An address that cannot be renewed stays in use: taking it away would only
// break the restore that is under way.
func (l *Link) Keep(ctx context.Context) error {
	lease := l.Lease
	wait := lease.RenewAfter
	for {
		if lease.Time == 0 { // infinite
			<-ctx.Done()
			return ctx.Err()
		}
		t := time.NewTimer(max(wait, minRenew))
		select {
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		case <-t.C:
		}
		attempt, cancel := context.WithTimeout(ctx, l.o.WaitLease)
		next, err := l.o.System.Renew(attempt, l.Name, lease)
		cancel()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			l.o.Log.Warn("the DHCP lease was not renewed; keeping the address and asking again", "nic", l.Name,
				"address", lease.Addr, "error", err)
			wait = max(wait/2, 10*time.Second)
			continue
		}
		if next.Addr != lease.Addr {
			l.o.Log.Warn("the DHCP server gave another address", "nic", l.Name, "was", lease.Addr, "is", next.Addr)
			if err := l.o.System.Deconfigure(l.Name, lease); err != nil {
				l.o.Log.Warn("the old address stays", "nic", l.Name, "error", err)
			}
		}
		if err := l.o.System.Configure(l.Name, next); err != nil {
			l.o.Log.Warn("the renewed lease could not be set", "nic", l.Name, "error", err)
		}
		lease, wait = next, next.RenewAfter
	}
}
