package inventory

import (
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/diskcast/diskcast/internal/session"
)

// arphrdEther is ARPHRD_ETHER of linux/if_arp.h: the type of interfaces that can boot a machine here.
const arphrdEther = 1

// made reports whether an interface is no card, but a bond or VLAN that the agent made of some.
func (r *Reader) made(at string) bool {
	uevent := "\n" + r.line(at, "uevent") + "\n"
	return strings.Contains(uevent, "\nDEVTYPE=vlan\n") || strings.Contains(uevent, "\nDEVTYPE=bond\n")
}

// NICs lists the Ethernet interfaces, by name.
func (r *Reader) NICs() []session.NIC {
	entries, err := os.ReadDir(r.path("sys/class/net"))
	if err != nil {
		return nil
	}
	var nics []session.NIC
	for _, e := range entries {
		name := e.Name()
		at := filepath.Join("sys/class/net", name)
		if name == "lo" || r.number(at, "type") != arphrdEther || r.made(at) {
			continue
		}
		n := session.NIC{
			Name: name,
			MAC:  r.first(at, "bonding_slave/perm_hwaddr", "address"), // a bond gives all its members one
			// carrier cannot be read (EINVAL) while the interface is down: then it reads as 0.
			Up:   r.line(at, "carrier") == "1",
			MTU:  int(r.number(at, "mtu")),
			Boot: name == r.BootNIC,
		}
		// A driver that does not know its speed says -1, or 2^32-1 in old kernels.
		if s := r.number(at, "speed"); s > 0 && s < 1<<31 {
			n.Mbps = int(s)
		}
		if link, err := os.Readlink(r.path(at, "device/driver")); err == nil {
			n.Driver = filepath.Base(link)
		}
		if r.Addrs != nil {
			has := name
			if n.Boot && r.Above != "" {
				has = r.Above
			}
			n.Addrs = r.Addrs(has)
		}
		if n.MAC != "" {
			nics = append(nics, n)
		}
	}
	sort.Slice(nics, func(i, j int) bool { return nics[i].Name < nics[j].Name })
	return nics
}
