package wiring

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// Static is an address of one's own, as far as a node uses what the kernel's ip= can say.
type Static struct {
	Addr    netip.Prefix
	Gateway netip.Addr // invalid: none
	DNS     []netip.Addr
}

// The fields of ip=, Documentation/admin-guide/nfs/nfsroot.rst:
// client:server:gateway:netmask:hostname:device:autoconf:dns0:dns1:ntp0.
const (
	fieldClient = iota
	fieldServer
	fieldGateway
	fieldMask
	fieldHostname
	fieldDevice
	fieldMethod
	fieldDNS0
	fieldDNS1
	fieldNTP
	fields
)

// ParseIP reads the value of ip= as the kernel's documentation has it. The address may have its prefix length behind
// it, 10.0.0.5/24, in place of the netmask. The result has no address where DHCP is asked for, and a NIC where one is
// named.
func ParseIP(s string) (static *Static, nic string, err error) {
	if len(s) > maxWord {
		return nil, "", fmt.Errorf("ip %q is too long", short(s))
	}
	f := strings.Split(s, ":")
	if len(f) > fields {
		return nil, "", fmt.Errorf("ip %q has more than %d fields; %s", short(s), fields, ipForm)
	}
	one := len(f) == 1
	f = append(f, make([]string, fields-len(f))...)
	if one && methods[f[0]] != "" {
		f[fieldMethod], f[fieldClient] = f[0], ""
	}
	if nic = f[fieldDevice]; nic != "" {
		if err := CheckNIC(nic); err != nil {
			return nil, "", fmt.Errorf("ip %q: %w", short(s), err)
		}
	}
	switch m := methods[f[fieldMethod]]; {
	case f[fieldMethod] != "" && m == "":
		return nil, "", fmt.Errorf("ip %q: %q is no way to get an address: off, none, dhcp, on or any; %s", short(s),
			short(f[fieldMethod]), ipForm)
	case m == "dhcp" && f[fieldClient] != "":
		return nil, "", fmt.Errorf("ip %q asks for an address and has one: leave one of both out", short(s))
	case m == "dhcp":
		return nil, nic, nil
	case f[fieldClient] == "":
		return nil, "", fmt.Errorf("ip %q has no address; %s", short(s), ipForm)
	}
	if static, err = parseStatic(f); err != nil {
		return nil, "", fmt.Errorf("ip %q: %w", short(s), err)
	}
	return static, nic, nil
}

const ipForm = "write dhcp, or ADDRESS::GATEWAY:NETMASK::NIC:none:DNS:DNS, of which only the address must be there"

// methods are the kernel's words for where the address comes from.
var methods = map[string]string{"off": "none", "none": "none", "on": "dhcp", "any": "dhcp", "dhcp": "dhcp"}

func parseStatic(f []string) (*Static, error) {
	address, length, hasLength := strings.Cut(f[fieldClient], "/")
	addr, err := netip.ParseAddr(address)
	if err != nil || !addr.Is4() {
		return nil, fmt.Errorf("%q is no IPv4 address", short(address))
	}
	if addr.IsUnspecified() || addr.IsMulticast() || addr.IsLoopback() {
		return nil, fmt.Errorf("%v cannot be the address of a node", addr)
	}
	st := &Static{}
	switch {
	case hasLength && f[fieldMask] != "":
		return nil, fmt.Errorf("the network's size is given twice, as /%s and as netmask", short(length))
	case hasLength:
		st.Addr, err = netip.ParsePrefix(f[fieldClient])
		if err != nil || st.Addr.Bits() == 0 {
			return nil, fmt.Errorf("/%s is no length of a network", short(length))
		}
	default:
		bits, err := maskBits(addr, f[fieldMask])
		if err != nil {
			return nil, err
		}
		st.Addr = netip.PrefixFrom(addr, bits)
	}
	if gw := f[fieldGateway]; gw != "" {
		if st.Gateway, err = netip.ParseAddr(gw); err != nil || !st.Gateway.Is4() || st.Gateway.IsUnspecified() {
			return nil, fmt.Errorf("gateway %q is no IPv4 address", short(gw))
		}
	}
	if st.Gateway == addr {
		return nil, fmt.Errorf("%v is the node's address and its gateway", addr)
	}
	for _, s := range []string{f[fieldDNS0], f[fieldDNS1]} {
		if s == "" {
			continue
		}
		a, err := netip.ParseAddr(s)
		if err != nil || !a.Is4() || a.IsUnspecified() {
			return nil, fmt.Errorf("name server %q is no IPv4 address", short(s))
		}
		st.DNS = append(st.DNS, a)
	}
	return st, nil
}

// maskBits is the length of a netmask; without one the address' class has it, as for the kernel.
func maskBits(addr netip.Addr, mask string) (int, error) {
	if mask == "" {
		ones, _ := net.IP(addr.AsSlice()).DefaultMask().Size()
		if ones == 0 {
			return 0, fmt.Errorf("%v needs a netmask", addr)
		}
		return ones, nil
	}
	m, err := netip.ParseAddr(mask)
	if err != nil || !m.Is4() {
		return 0, fmt.Errorf("netmask %q is not of the form 255.255.255.0", short(mask))
	}
	ones, bits := net.IPMask(m.AsSlice()).Size()
	if bits == 0 || ones == 0 {
		return 0, fmt.Errorf("netmask %q has holes, or no network", short(mask))
	}
	return ones, nil
}
