package dhcp

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Range is the addresses that a pool gives, both ends included.
type Range struct{ First, Last netip.Addr }

// maxRange bounds a pool: a /16.
const maxRange = 1 << 16

// ParseRange reads "A-B" and checks it against the server's LAN.
func ParseRange(s string, lan netip.Prefix) (Range, error) {
	first, last, ok := strings.Cut(s, "-")
	if !ok {
		return Range{}, fmt.Errorf("DHCP range %q is not of the form 10.0.0.100-10.0.0.200", s)
	}
	var r Range
	var err error
	if r.First, err = netip.ParseAddr(strings.TrimSpace(first)); err != nil {
		return Range{}, fmt.Errorf("DHCP range %q: %w", s, err)
	}
	if r.Last, err = netip.ParseAddr(strings.TrimSpace(last)); err != nil {
		return Range{}, fmt.Errorf("DHCP range %q: %w", s, err)
	}
	switch {
	case !r.First.Is4() || !r.Last.Is4():
		return Range{}, fmt.Errorf("DHCP range %q is not of IPv4 addresses", s)
	case r.Last.Less(r.First):
		return Range{}, fmt.Errorf("DHCP range %q ends before it begins", s)
	case addrToUint(r.Last)-addrToUint(r.First) >= maxRange:
		return Range{}, fmt.Errorf("DHCP range %q has more than %d addresses", s, maxRange)
	case !lan.Contains(r.First) || !lan.Contains(r.Last):
		return Range{}, fmt.Errorf("DHCP range %q is not within %v, the LAN of the interface", s, lan.Masked())
	}
	return r, nil
}

// CheckRouter refuses a default router that no machine of the LAN reaches; an invalid address is none, and may be.
func CheckRouter(router netip.Addr, lan netip.Prefix) error {
	switch {
	case !router.IsValid():
		return nil
	case !router.Is4():
		return fmt.Errorf("the router %v is no IPv4 address: give --router one of %v", router, lan.Masked())
	case !lan.Contains(router):
		return fmt.Errorf("the router %v is not within %v, the LAN of the interface, and machines would not reach it: "+
			"give --router one that is, or none", router, lan.Masked())
	case slices.Contains(noHosts(lan), router):
		return fmt.Errorf("the router %v is no host's address in %v: give --router one that is, or none", router,
			lan.Masked())
	}
	return nil
}

// noHosts are the addresses of a LAN that are no host's: its first and its last, where it has more than two.
func noHosts(lan netip.Prefix) []netip.Addr {
	if lan.Bits() >= 31 {
		return nil
	}
	first := lan.Masked().Addr()
	return []netip.Addr{first, uintToAddr(addrToUint(first) | (1<<(32-lan.Bits()) - 1))}
}

// String implements fmt.Stringer.
func (r Range) String() string { return r.First.String() + "-" + r.Last.String() }

func (r Range) size() uint32 { return addrToUint(r.Last) - addrToUint(r.First) + 1 }

// Contains reports whether the pool may give the address.
func (r Range) Contains(a netip.Addr) bool { return a.Is4() && !a.Less(r.First) && !r.Last.Less(a) }
