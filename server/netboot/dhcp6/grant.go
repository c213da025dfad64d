package dhcp6

import (
	"crypto/sha256"
	"fmt"
	"net"
	"net/netip"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"

	"github.com/diskcast/diskcast/server/netboot/dhcp"
)

// maxIAs bounds how many addresses one message may ask for, and maxDeclined how many declines are remembered.
const (
	maxIAs      = 8
	maxDeclined = 4096
)

// owner is whose address an identity association's is: the NIC's, or where that is not known, the client's.
func owner(m *dhcpv6.Message, c dhcp.Client, ia *dhcpv6.OptIANA) string {
	if c.MAC != nil {
		return "mac " + string(c.MAC)
	}
	return "duid " + string(m.Options.ClientID().ToBytes()) + string(ia.IaId[:])
}

// address works an owner's address on a LAN out. The first 16 bits of its interface identifier say that it is one of
// these, and are no MAC address's; 48 bits of a hash keep a lab's machines apart.
func (r *Responder) address(owner string, link netip.Prefix) netip.Addr {
	r.mu.Lock()
	again := r.declined[owner]
	r.mu.Unlock()
	sum := sha256.Sum256(fmt.Append(nil, "diskcast address ", again, " ", owner))
	b := link.Addr().As16()
	copy(b[8:], []byte{0xd1, 0xc5})
	copy(b[10:], sum[:6])
	return netip.AddrFrom16(b)
}

// grant is an Advertise or a Reply with addresses and boot files.
func (r *Responder) grant(m *dhcpv6.Message, c dhcp.Client, o *origin, kind dhcpv6.MessageType) (*dhcpv6.Message,
	error) {
	reply := r.frame(m, kind)
	seen := dhcp.Seen{Client: c, Final: kind == dhcpv6.MessageTypeReply}
	if m.MessageType != dhcpv6.MessageTypeInformationRequest {
		for i, ia := range m.Options.IANA() {
			if i == maxIAs {
				break
			}
			a := r.address(owner(m, c, ia), o.link)
			if !seen.Addr.IsValid() {
				seen.Addr = a
			}
			reply.AddOption(r.lease(ia, a))
		}
	}
	if len(r.cfg.DNS) > 0 {
		var ips []net.IP
		for _, a := range r.cfg.DNS {
			ips = append(ips, a.AsSlice())
		}
		reply.AddOption(dhcpv6.OptDNS(ips...))
	}
	if kind == dhcpv6.MessageTypeReply && m.MessageType == dhcpv6.MessageTypeSolicit {
		reply.AddOption(&dhcpv6.OptionGeneric{OptionCode: dhcpv6.OptionRapidCommit})
	}
	if c.Kind != dhcp.Plain {
		url, err := r.bootURL(c)
		if err != nil {
			seen.Problem = err.Error()
		} else {
			seen.Given = url
			r.putBoot(reply, m, c, url)
		}
	}
	r.cfg.Boot.Observe(seen)
	return reply, nil
}

// lease is the answer to an identity association: its address, and no time left for others that the client had.
func (r *Responder) lease(ia *dhcpv6.OptIANA, a netip.Addr) *dhcpv6.OptIANA {
	valid, preferred := r.cfg.Term, r.cfg.Term*3/4
	out := &dhcpv6.OptIANA{IaId: ia.IaId, T1: preferred / 2, T2: preferred / 5 * 4}
	out.Options.Add(&dhcpv6.OptIAAddress{IPv6Addr: a.AsSlice(), PreferredLifetime: preferred, ValidLifetime: valid})
	for i, old := range ia.Options.Addresses() {
		if was, ok := netip.AddrFromSlice(old.IPv6Addr); i < maxIAs && ok && was != a && !was.IsUnspecified() {
			out.Options.Add(&dhcpv6.OptIAAddress{IPv6Addr: old.IPv6Addr})
		}
	}
	return out
}

// bootURL is what a client is to load: firmware and iPXE know nothing but URLs here.
func (r *Responder) bootURL(c dhcp.Client) (string, error) {
	file, err := dhcp.BootFile(c, &r.cfg.Boot)
	if err != nil || c.Kind != dhcp.PXE {
		return file, err
	}
	if !r.cfg.Boot.TFTP {
		return "", fmt.Errorf("it boots by PXE, and this server hands out nothing by TFTP (--tftp=false): have it " +
			"boot by " +
			"UEFI HTTP")
	}
	return "tftp://[" + r.cfg.Boot.Server.Addr().String() + "]/" + file, nil
}

// putBoot writes the URL into an answer.
func (r *Responder) putBoot(reply, m *dhcpv6.Message, c dhcp.Client, url string) {
	reply.AddOption(dhcpv6.OptBootFileURL(url))
	if c.Kind != dhcp.HTTP {
		return
	}
	// UEFI 2.10, 24.7.3.1: an offer without this class is not an HTTP boot offer.
	class := &dhcpv6.OptVendorClass{Data: [][]byte{[]byte("HTTPClient")}}
	for _, v := range m.Options.VendorClasses() {
		class.EnterpriseNumber = v.EnterpriseNumber
	}
	reply.AddOption(class)
}

// confirm says whether a client's addresses are of this LAN (RFC 8415, 18.3.3).
func (r *Responder) confirm(m *dhcpv6.Message, o *origin) (*dhcpv6.Message, error) {
	asked := false
	for _, ia := range m.Options.IANA() {
		for _, a := range ia.Options.Addresses() {
			asked = true
			if addr, ok := netip.AddrFromSlice(a.IPv6Addr); !ok || !o.link.Contains(addr) {
				return r.status(m, iana.StatusNotOnLink, "the address is of another LAN")
			}
		}
	}
	if !asked {
		return nil, nil
	}
	return r.status(m, iana.StatusSuccess, "")
}

// decline gives a client another address from now on: it found its own in use.
func (r *Responder) decline(m *dhcpv6.Message, c dhcp.Client, o *origin) {
	for i, ia := range m.Options.IANA() {
		if i == maxIAs {
			return
		}
		who := owner(m, c, ia)
		r.cfg.Boot.Log.Warn("a machine found its address in use by another; it is given the next", "addr",
			r.address(who, o.link), "mac", c.MAC)
		r.mu.Lock()
		if len(r.declined) < maxDeclined || r.declined[who] > 0 {
			r.declined[who]++
		}
		r.mu.Unlock()
	}
}

// frame is the beginning of every answer.
func (r *Responder) frame(m *dhcpv6.Message, kind dhcpv6.MessageType) *dhcpv6.Message {
	reply := &dhcpv6.Message{MessageType: kind, TransactionID: m.TransactionID}
	if id := m.Options.ClientID(); id != nil {
		reply.AddOption(dhcpv6.OptClientID(id))
	}
	reply.AddOption(dhcpv6.OptServerID(r.id))
	return reply
}

func (r *Responder) status(m *dhcpv6.Message, code iana.StatusCode, words string) (*dhcpv6.Message, error) {
	reply := r.frame(m, dhcpv6.MessageTypeReply)
	reply.AddOption(&dhcpv6.OptStatusCode{StatusCode: code, StatusMessage: words})
	return reply, nil
}
