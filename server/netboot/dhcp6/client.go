package dhcp6

import (
	"bytes"
	"net"
	"net/netip"
	"strings"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"

	"github.com/diskcast/diskcast/server/netboot/dhcp"
)

// classify reads who asks: iPXE by its user class, firmware by its vendor class.
func (r *Responder) classify(m *dhcpv6.Message, o *origin) dhcp.Client {
	id := m.TransactionID
	c := dhcp.Client{MAC: r.hardware(m, o), Arch: iana.INTEL_X86PC, Relay: o.relay,
		Transaction: uint32(id[0])<<16 | uint32(id[1])<<8 | uint32(id[2])}
	if archs := m.Options.ArchTypes(); len(archs) > 0 {
		c.Arch = archs[0]
	}
	for _, class := range m.Options.UserClasses() {
		if string(class) == "iPXE" {
			c.Kind = dhcp.IPXE
			return c
		}
	}
	for _, v := range m.Options.VendorClasses() {
		for _, class := range v.Data {
			switch {
			case strings.HasPrefix(string(class), "HTTPClient"):
				c.Kind = dhcp.HTTP
				return c
			case strings.HasPrefix(string(class), "PXEClient"):
				c.Kind = dhcp.PXE
			}
		}
	}
	return c
}

// hardware is the MAC address of the NIC that asks, by which the server knows machines; nil where nothing tells.
// Firmware's identifiers (DUID) have none in them, and a system's may have that of another NIC: they come last.
func (r *Responder) hardware(m *dhcpv6.Message, o *origin) net.HardwareAddr {
	if mac := interfaceMAC(o.client); mac != nil {
		return mac
	}
	if o.mac != nil {
		return o.mac
	}
	// Of another LAN the kernel knows no neighbours: a link-local address there may be one of a machine here too.
	if o.link == r.cfg.Boot.Server.Masked() {
		if mac, err := net.ParseMAC(r.cfg.Neighbour(o.client)); err == nil && len(mac) == 6 {
			return mac
		}
	}
	var mac net.HardwareAddr
	switch id := m.Options.ClientID().(type) {
	case *dhcpv6.DUIDLL:
		mac = id.LinkLayerAddr
	case *dhcpv6.DUIDLLT:
		mac = id.LinkLayerAddr
	}
	if len(mac) != 6 || mac[0]&1 != 0 {
		return nil
	}
	return mac
}

// neighbour is the MAC address of an address of this LAN; nil where nothing tells.
func (r *Responder) neighbour(a netip.Addr) net.HardwareAddr {
	if mac := interfaceMAC(a); mac != nil {
		return mac
	}
	mac, err := net.ParseMAC(r.cfg.Neighbour(a.WithZone("")))
	if err != nil {
		return nil
	}
	return mac
}

// interfaceMAC is the MAC address that an interface identifier is made of (RFC 4291, appendix A); nil when it is not.
func interfaceMAC(a netip.Addr) net.HardwareAddr {
	if !a.Is6() || a.Is4In6() {
		return nil
	}
	b := a.As16()
	if !bytes.Equal(b[11:13], []byte{0xff, 0xfe}) || (b[8]^2)&1 != 0 {
		return nil
	}
	return net.HardwareAddr{b[8] ^ 2, b[9], b[10], b[13], b[14], b[15]}
}
