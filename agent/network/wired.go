package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/diskcast/diskcast/internal/wiring"
)

// waitMembers waits until the members of the bond are there, the boot NIC first. Those that do not come are named, and
// it is made of the others: a machine with a broken card is to be reached by the one that is left.
func waitMembers(ctx context.Context, o *Options, changed <-chan struct{}) (found []candidate, err error) {
	err = watchNICs(ctx, o, changed, o.WaitNIC, func(nics []Interface) bool {
		there, missing := members(o, nics)
		if len(there) == 0 || len(missing) > 0 {
			return false
		}
		found = there
		return true
	}, func(nics []Interface) bool {
		there, missing := members(o, nics)
		if len(there) == 0 {
			o.Log.Error("no NIC of the bond is there; waiting for one", "bond", o.Wiring.Bond, "there", names(nics))
			return false
		}
		o.Log.Warn("the bond is made without NICs that are not there. Are their drivers in the boot directory?",
			"missing", strings.Join(missing, " "), "there", names(nics))
		found = there
		return true
	})
	return found, err
}

// members are the NICs of the bond that are there, and the words of those that are not.
func members(o *Options, nics []Interface) (there []candidate, missing []string) {
	isBoot := func(n Interface) bool { return o.BootMAC != nil && n.MAC.String() == o.BootMAC.String() }
	if len(o.Wiring.Bond.NICs) == 0 {
		there = candidates(nics)
		if o.BootMAC != nil && !slices.ContainsFunc(nics, isBoot) {
			missing = []string{o.BootMAC.String()}
		}
	}
	for _, word := range o.Wiring.Bond.NICs {
		i := slices.IndexFunc(nics, func(n Interface) bool { return wiring.Is(word, n.Name, n.MAC) })
		if i < 0 {
			missing = append(missing, word)
			continue
		}
		there = append(there, candidate{nics[i], nics[i].Name})
	}
	slices.SortStableFunc(there, func(a, b candidate) int {
		switch {
		case isBoot(a.Interface) && !isBoot(b.Interface):
			return -1
		case isBoot(b.Interface) && !isBoot(a.Interface):
			return 1
		}
		return 0
	})
	return there, missing
}

// bonded makes the bond, once, and returns it as the only interface to try.
func bonded(o *Options, members []candidate) ([]candidate, error) {
	if o.bond != nil {
		return []candidate{*o.bond}, nil
	}
	var nics []Interface
	for _, m := range members {
		nics = append(nics, m.Interface)
	}
	name, err := o.System.AddBond(o.Wiring.Bond.Mode, nics)
	if err != nil {
		return nil, err
	}
	o.Log.Info("the NICs are bonded", "bond", name, "mode", o.Wiring.Bond.Mode, "nics", names(nics))
	o.bond = &candidate{Interface{Name: name, MAC: nics[0].MAC}, nics[0].Name}
	return []candidate{*o.bond}, nil
}

// linkPoll is how often a link is looked at where one is waited for.
const linkPoll = 100 * time.Millisecond

// static is the site's own address, once nobody else is known to have it: two machines with one address are both
// reached now and then, and nothing else says why.
func static(ctx context.Context, o *Options, name string) (*Lease, error) {
	st := o.Wiring.Static
	wait, cancel := context.WithTimeout(ctx, o.WaitCarrier)
	defer cancel()
	for !o.System.Carrier(name) && wait.Err() == nil {
		select {
		case <-wait.Done():
		case <-time.After(linkPoll):
		}
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if wait.Err() != nil {
		return nil, errors.New("it has no link: is the cable plugged in?")
	}
	who, err := o.System.Taken(ctx, name, st.Addr.Addr())
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil:
		o.Log.Warn("whether another machine has this address cannot be asked", "nic", name, "address", st.Addr,
			"err", err)
	case who != nil:
		return nil, fmt.Errorf("the address %v of the settings is used by %v already: give each machine its own, or "+
			"leave it to DHCP", st.Addr.Addr(), who)
	}
	l := &Lease{Addr: st.Addr, DNS: st.DNS}
	if st.Gateway.IsValid() {
		l.Routes = []Route{{To: netip.PrefixFrom(netip.IPv4Unspecified(), 0), Via: st.Gateway}}
	}
	return l, nil
}
