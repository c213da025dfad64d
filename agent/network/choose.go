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

// waitNIC waits for the interface that the site names, or that the node booted from; nil when it does not come.
func waitNIC(ctx context.Context, o *Options, changed <-chan struct{}) (*Interface, error) {
	timeout := time.NewTimer(o.WaitNIC)
	defer timeout.Stop()
	said := false
	for {
		nics, err := o.System.Interfaces()
		if err != nil {
			return nil, fmt.Errorf("listing the network interfaces: %w", err)
		}
		for _, n := range nics {
			if o.Wiring.NIC != "" && wiring.Is(o.Wiring.NIC, n.Name, n.MAC) ||
				o.Wiring.NIC == "" && n.MAC.String() == o.BootMAC.String() {
				return &n, nil
			}
		}
		if !said && o.Wiring.NIC != "" {
			o.Log.Info("waiting for the NIC that the settings name", "wanted", o.Wiring.NIC, "there", names(nics))
		} else if !said {
			o.Log.Info("waiting for the NIC that the node booted from", "mac", o.BootMAC, "there", names(nics))
		}
		said = true
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-changed:
		case <-timeout.C:
			if o.Wiring.NIC != "" {
				o.Log.Error("the NIC that the settings name is not there; waiting for it, and using no other. Is its "+
					"driver in the boot directory?", "wanted", o.Wiring.NIC, "there", names(nics))
				timeout.Reset(time.Minute)
				continue
			}
			o.Log.Warn("the NIC that the node booted from did not appear; trying every other. Is its driver in the "+
				"boot directory?", "mac", o.BootMAC, "there", names(nics))
			return nil, nil
		}
	}
}

// waitCarrier switches every interface on and waits until one has carrier, then until none has changed for a moment.
func waitCarrier(ctx context.Context, o *Options, changed <-chan struct{}) ([]candidate, error) {
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
			return candidates(live), nil
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
				return candidates(live), nil
			case len(nics) > 0:
				o.Log.Warn("no NIC has a link; trying them all. Is the cable plugged in?", "nics", names(nics))
				return candidates(nics), nil
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
