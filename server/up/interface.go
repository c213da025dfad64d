package up

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
)

// Candidate is an interface that could be the nodes'.
type Candidate struct {
	Name  string
	Addr  netip.Prefix // its first IPv4 address
	addrs []netip.Prefix
	Why   string // it does not fit; empty: it does
}

// Interfaces lists the machine's interfaces, but for its own loopback.
func Interfaces() ([]Candidate, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("interfaces of this machine: %w", err)
	}
	var out []Candidate
	for _, i := range all {
		if i.Flags&net.FlagLoopback != 0 {
			continue
		}
		c := Candidate{Name: i.Name}
		addrs, err := i.Addrs()
		if err != nil {
			return nil, fmt.Errorf("addresses of %s: %w", i.Name, err)
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() {
				c.addrs = append(c.addrs, p)
			}
		}
		if len(c.addrs) > 0 {
			c.Addr = c.addrs[0]
		}
		c.Why = unfit(i, c.Addr)
		out = append(out, c)
	}
	return out, nil
}

// ofContainers are the bridges and cables of container and virtual machine managers, which no bare machine is on.
var ofContainers = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(docker\d+|br-[0-9a-f]{12}|virbr\d+|lxcbr\d+|lxdbr\d+|incusbr\d+|podman\d+|` +
		`cni\d+|flannel.*|cali.*|veth.*|vnet\d+)$`)
})

func unfit(i net.Interface, a netip.Prefix) string {
	switch {
	case ofContainers().MatchString(i.Name):
		return "is of containers or virtual machines"
	case i.Flags&net.FlagPointToPoint != 0 || len(i.HardwareAddr) != 6 || i.Flags&net.FlagBroadcast == 0:
		return "is no Ethernet"
	case wireless(i.Name):
		return "is wireless"
	case i.Flags&net.FlagUp == 0:
		return "is down"
	case i.Flags&net.FlagRunning == 0:
		return "has no link: is the cable in?"
	case !a.IsValid():
		return fmt.Sprintf("has no IPv4 address (`ip address add 10.0.0.1/24 dev %s` gives it one until the next "+
			"start)", i.Name)
	case a.Addr().IsLinkLocalUnicast():
		return fmt.Sprintf("has only %v, which is link-local", a)
	case a.Bits() > 30:
		return fmt.Sprintf("has %v, a network without other machines", a)
	}
	return ""
}

func wireless(name string) bool {
	_, err := os.Stat(filepath.Join("/sys/class/net", name, "wireless"))
	return err == nil
}

// Choose takes the interface that was asked for, or the only one that fits, and says why.
func Choose(all []Candidate, want string) (Candidate, string, error) {
	var fit []Candidate
	for _, c := range all {
		if want != "" && c.Name == want {
			// Who names a bridge of containers means it.
			if c.Why != "" && !strings.HasPrefix(c.Why, "is of") {
				return c, "", fmt.Errorf("interface %s %s\n%s", c.Name, c.Why, list(all))
			}
			return c, "asked for", nil
		}
		if c.Why == "" {
			fit = append(fit, c)
		}
	}
	switch {
	case want != "":
		return Candidate{}, "", fmt.Errorf("there is no interface %s here\n%s", want, list(all))
	case len(fit) == 0:
		return Candidate{}, "", fmt.Errorf("no interface fits: nodes need an Ethernet with an IPv4 address\n%s",
			list(all))
	case len(fit) > 1:
		return Candidate{}, "", fmt.Errorf("%d interfaces fit: say with --interface which one the nodes are on\n%s",
			len(fit), list(all))
	}
	return fit[0], "the only one that fits", nil
}

// list is a line for each interface.
func list(all []Candidate) string {
	if len(all) == 0 {
		return "  this machine has no interface but its loopback"
	}
	var b strings.Builder
	for i, c := range all {
		if i > 0 {
			b.WriteByte('\n')
		}
		if c.Why == "" {
			fmt.Fprintf(&b, "  %s  %v  fits", c.Name, c.Addr)
		} else {
			fmt.Fprintf(&b, "  %s  %s", c.Name, c.Why)
		}
	}
	return b.String()
}

// has finds the prefix of one of the interface's addresses.
func (c *Candidate) has(a netip.Addr) (netip.Prefix, error) {
	for _, p := range c.addrs {
		if p.Addr() == a {
			return p, nil
		}
	}
	return netip.Prefix{}, fmt.Errorf("interface %s does not have the address %v", c.Name, a)
}
