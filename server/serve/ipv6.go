package serve

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/diskcast/diskcast/internal/cast"
	"github.com/diskcast/diskcast/server/netboot/boot"
	"github.com/diskcast/diskcast/server/netboot/dhcp"
	"github.com/diskcast/diskcast/server/netboot/dhcp6"
)

// byIPv6 takes the settings for a server whose address is of IPv6: all its LAN is then, and what is IPv4's alone is
// refused. A server with an address of IPv4 has nothing to do with IPv6 but to answer machines that ask for a router.
func (cfg *Config) byIPv6(prefix netip.Prefix) error {
	if !prefix.Addr().Is6() {
		if cfg.Advertise {
			return fmt.Errorf("--ra tells hosts of the server's IPv6 network, and its address is %v: name the IPv6 "+
				"one with "+
				"--address", prefix.Addr())
		}
		if !cfg.Groups.Addr().Is4() && cfg.Groups.IsValid() {
			return fmt.Errorf("--groups %v is of IPv6, and the server's address %v is not", cfg.Groups, prefix.Addr())
		}
		return onlyOf(cfg.DNS, netip.Addr.Is4, "an IPv4")
	}
	if cfg.Groups == cast.DefaultGroups {
		cfg.Groups = cast.DefaultGroups6
	}
	switch {
	case cfg.DHCP == dhcp.Proxy:
		return errors.New("--dhcp proxy: DHCPv6 knows no server beside another: serve with --dhcp full, or with " +
			"--dhcp " +
			"off and have the LAN's DHCPv6 server name the boot file URL (option 59)")
	case cfg.Range != "":
		return errors.New("--dhcp-range is IPv4's: by IPv6 each machine's address is worked out from its MAC address")
	case cfg.Router.IsValid():
		return errors.New("--router is IPv4's: by IPv6 routers make themselves known")
	case cfg.Groups.Addr().Is4():
		return fmt.Errorf("--groups %v is of IPv4, and the server's address %v is not: name some such as %v",
			cfg.Groups,
			prefix.Addr(), cast.DefaultGroups6)
	case cfg.Advertise && prefix.Bits() != 64:
		return fmt.Errorf("--ra: %v is no /64, of which hosts could make addresses", prefix)
	}
	return onlyOf(cfg.DNS, func(a netip.Addr) bool { return a.Is6() && !a.Is4In6() }, "an IPv6")
}

func onlyOf(dns []netip.Addr, is func(netip.Addr) bool, what string) error {
	for _, a := range dns {
		if !is(a) {
			return fmt.Errorf("--dns %v is no address that machines here could ask: name %s address", a, what)
		}
	}
	return nil
}

// newDHCP6 is newDHCP on a LAN with IPv6 alone.
func newDHCP6(cfg Config, info *Info, iface *net.Interface, prefix netip.Prefix, dir *boot.Dir,
	see *observer) (*dhcp6.Server, error) {
	log := cfg.Log.With("task", "dhcpv6")
	r, err := dhcp6.NewResponder(dhcp6.Config{
		Boot: dhcp.Config{Mode: dhcp.Full, Server: prefix, HTTP: info.HTTP, HTTPS: info.HTTPS, Files: dir,
			UEFILoader: cfg.UEFI, Decide: see.engine.Boots, Starts: cfg.starts(see.engine), TFTP: cfg.TFTP, Log: log,
			Observe: see.dhcp},
		MAC: iface.HardwareAddr, DNS: cfg.DNS, Term: cfg.LeaseTime, Neighbour: see.neighbour})
	if err != nil {
		return nil, err
	}
	return dhcp6.NewServer(cfg.Interface, r), nil
}
