package network

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/diskcast/diskcast/internal/wiring"
)

// candidate is an interface to try, and the network card below it.
type candidate struct {
	Interface
	card string
}

// bootRounds is how often the NIC that the node booted from is tried alone: for longer than a switch port takes to
// forward and a DHCP server to start.
const bootRounds = 3

// choose returns the interfaces to try, in order: the one that the site names, and no other; the boot NIC, and after
// some rounds the others with carrier behind it; else those with carrier; else all.
func choose(ctx context.Context, o *Options, changed <-chan struct{}, round int) ([]candidate, error) {
	switch {
	case o.bond != nil:
		return nil, nil // it is made
	case o.Wiring.Bond != nil:
		return waitMembers(ctx, o, changed)
	}
	if o.BootMAC == nil && o.Wiring.NIC == "" {
		return waitCarrier(ctx, o, changed)
	}
	nic, err := waitNIC(ctx, o, changed)
	if err != nil {
		return nil, err
	}
	if nic == nil {
		return waitCarrier(ctx, o, changed)
	}
	first := candidate{*nic, nic.Name}
	if round <= bootRounds || o.Wiring.NIC != "" {
		return []candidate{first}, nil
	}
	others, err := waitCarrier(ctx, o, changed)
	if err != nil {
		return nil, err
	}
	out := []candidate{first}
	for _, c := range others {
		if c.Name != first.Name {
			out = append(out, c)
		}
	}
	return out, nil
}

func candidates(nics []Interface) []candidate {
	var out []candidate
	for _, n := range nics {
		out = append(out, candidate{n, n.Name})
	}
	return out
}

// watchNICs gives the interfaces to look, now and after each change, until it has what it waits for, and to late each
// time that the wait is over, which may be content with what there is. The wait begins when the drivers are loaded.
func watchNICs(ctx context.Context, o *Options, changed <-chan struct{}, wait time.Duration,
	look, late func([]Interface) bool) error {
	timeout := time.NewTimer(wait)
	defer timeout.Stop()
	drivers := o.Drivers
	if drivers != nil {
		timeout.Stop()
	}
	for {
		nics, err := o.System.Interfaces()
		if err != nil {
			return fmt.Errorf("listing the network interfaces: %w", err)
		}
		if look(nics) {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-changed:
		case <-drivers:
			drivers = nil
			timeout.Reset(wait)
		case <-timeout.C:
			if late(nics) {
				return nil
			}
			timeout.Reset(time.Minute)
		}
	}
}

// loaded reports whether the drivers of all NICs are loaded.
func (o *Options) loaded() bool {
	select {
	case <-o.Drivers:
		return true
	default:
		return o.Drivers == nil
	}
}

// waitNIC waits for the interface that the site names, or that the node booted from; nil when it does not come.
func waitNIC(ctx context.Context, o *Options, changed <-chan struct{}) (nic *Interface, err error) {
	said := false
	err = watchNICs(ctx, o, changed, o.WaitNIC, func(nics []Interface) bool {
		for _, n := range nics {
			if o.Wiring.NIC != "" && wiring.Is(o.Wiring.NIC, n.Name, n.MAC) ||
				o.Wiring.NIC == "" && n.MAC.String() == o.BootMAC.String() {
				nic = &n
				return true
			}
		}
		if said || !o.loaded() {
			return false
		}
		said = true
		if o.Wiring.NIC != "" {
			o.Log.Info("waiting for the NIC that the settings name", "wanted", o.Wiring.NIC, "there", names(nics))
		} else {
			o.Log.Info("waiting for the NIC that the node booted from", "mac", o.BootMAC, "there", names(nics))
		}
		return false
	}, func(nics []Interface) bool {
		if o.Wiring.NIC != "" {
			o.Log.Error("the NIC that the settings name is not there; waiting for it, and using no other. Is its "+
				"driver in the boot directory?", "wanted", o.Wiring.NIC, "there", names(nics))
			return false
		}
		o.Log.Warn("the NIC that the node booted from did not appear; trying every other. Is its driver in the "+
			"boot directory?", "mac", o.BootMAC, "there", names(nics))
		return true
	})
	return nic, err
}

// waitCarrier switches every interface on and waits until one has carrier, then until none has changed for a moment.
func waitCarrier(ctx context.Context, o *Options, changed <-chan struct{}) (found []candidate, err error) {
	said := false
	var live []Interface
	err = watchNICs(ctx, o, changed, o.WaitCarrier, func(nics []Interface) bool {
		live = nil
		for _, n := range nics {
			if err := o.System.SetUp(n.Name); err != nil {
				o.Log.Warn("this interface cannot be switched on", "nic", n.Name, "error", err)
			}
			if n.Carrier {
				live = append(live, n)
			}
		}
		if len(live) > 0 && len(live) == len(nics) {
			found = candidates(live)
			return true
		}
		if !said {
			o.Log.Info("waiting for a link", "nics", names(nics))
			said = true
		}
		return false
	}, func(nics []Interface) bool {
		switch {
		case len(live) > 0:
			found = candidates(live)
			return true
		case len(nics) > 0:
			o.Log.Warn("no NIC has a link; trying them all. Is the cable plugged in?", "nics", names(nics))
			found = candidates(nics)
			return true
		}
		o.Log.Error("the kernel knows no NIC: its driver is missing in the boot directory (mkimage --modules), " +
			"or it is off in the firmware setup; waiting for one")
		return false
	})
	return found, err
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
