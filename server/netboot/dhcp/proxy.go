package dhcp

import (
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"
)

// PXE 2.1, table 2-1: suboption 6 of option 43, bit 3: load the file of this very offer, without discovery of
// boot servers. 255 ends the encapsulated options.
var skipDiscovery = []byte{6, 1, 8, 255}

// proxy answers beside the site's own DHCP server. It gives no address: the client joins the two offers.
func (r *Responder) proxy(m *dhcpv4.DHCPv4, c Client, port int) (*dhcpv4.DHCPv4, error) {
	if c.Kind == Plain {
		if m.MessageType() == dhcpv4.MessageTypeRequest {
			r.cfg.Observe(Seen{Client: c, Addr: addrOf(m.RequestedIPAddress()), Final: true})
		}
		return nil, nil
	}
	var kind dhcpv4.MessageType
	switch {
	case port == ServerPort && m.MessageType() == dhcpv4.MessageTypeDiscover:
		kind = dhcpv4.MessageTypeOffer
	case port == ProxyPort && m.MessageType() == dhcpv4.MessageTypeRequest,
		port == ProxyPort && m.MessageType() == dhcpv4.MessageTypeInform:
		kind = dhcpv4.MessageTypeAck
	default:
		// A REQUEST on port 67 is for the server that gave the address.
		return nil, nil
	}
	reply, err := r.reply(m, kind)
	if err != nil {
		return nil, err
	}
	reply.Options.Del(dhcpv4.OptionClientIdentifier)
	seen := Seen{Client: c, Addr: addrOf(m.ClientIPAddr), Final: true}
	seen.Given, err = r.putBoot(reply, c)
	if err != nil {
		// An offer without a file would make the firmware wait for a file that never comes.
		seen.Problem = err.Error()
		r.cfg.Observe(seen)
		return nil, nil
	}
	if c.Kind != HTTP {
		reply.UpdateOption(dhcpv4.OptClassIdentifier("PXEClient"))
	}
	// RFC 4578 2.3: the machine identifier is echoed; some ROMs drop an offer without it.
	if id := m.Options.Get(dhcpv4.OptionClientMachineIdentifier); id != nil {
		reply.UpdateOption(dhcpv4.OptGeneric(dhcpv4.OptionClientMachineIdentifier, id))
	}
	if c.Kind == PXE && c.Arch == iana.INTEL_X86PC {
		reply.UpdateOption(dhcpv4.OptGeneric(dhcpv4.OptionVendorSpecificInformation, skipDiscovery))
	}
	// UEFI firmware gets no option 43: several ignore an offer that switches discovery off, and all that were heard of
	// come to port 4011 of the offer's sender when the option is missing.
	if c.Kind == PXE && c.UEFI() && port == ServerPort {
		seen.Final = false
	}
	r.cfg.Observe(seen)
	return reply, nil
}
