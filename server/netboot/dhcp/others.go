package dhcp

import (
	"bytes"
	"cmp"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/server/doc"
)

// What another server gives, in the words of doc.DHCPServer.
const (
	givesAddresses = "addresses"
	givesBoot      = "boot files"
	givesUnknown   = "unknown"
)

const maxOthers = 64 // servers that are remembered: whoever forges answers can make any number

// OtherFor is how long another server counts after it was heard last.
const OtherFor = 15 * time.Minute

// others are the DHCP servers that were heard besides this one.
type others struct {
	log   *slog.Logger
	now   func() time.Time
	found chan struct{} // closed when one gives addresses

	mu   sync.Mutex
	list map[netip.Addr]*doc.DHCPServer
}

func newOthers(log *slog.Logger) *others {
	return &others{log: log, now: time.Now, found: make(chan struct{}), list: map[netip.Addr]*doc.DHCPServer{}}
}

// note remembers a server; the first time, the log hears of it.
func (o *others) note(id netip.Addr, mac net.HardwareAddr, gives string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := o.now()
	s := o.list[id]
	if s == nil {
		if len(o.list) >= maxOthers {
			return
		}
		s = &doc.DHCPServer{Server: id.String(), First: now, Gives: gives}
		o.list[id] = s
		o.log.Warn("another DHCP server is on this LAN", "server", id, "mac", mac.String(), "gives", gives)
	}
	s.Last = now
	if mac != nil {
		s.MAC = mac.String()
	}
	if gives != givesUnknown && s.Gives != givesAddresses {
		s.Gives = gives
	}
	if s.Gives == givesAddresses {
		select {
		case <-o.found:
		default:
			close(o.found)
		}
	}
}

// heard looks at a packet that came to the port of DHCP clients, in a frame of the given sender: it is another server's
// answer.
func (o *others) heard(packet []byte, from net.HardwareAddr, source netip.Addr) {
	m, err := decode(packet)
	if err != nil || m.OpCode != dhcpv4.OpcodeBootReply {
		return
	}
	id := addrOf(m.ServerIdentifier())
	if !id.IsValid() {
		id = source
	}
	if !id.IsValid() {
		return
	}
	given := addrOf(m.YourIPAddr).IsValid()
	switch m.MessageType() {
	case dhcpv4.MessageTypeOffer:
		if given {
			o.note(id, from, givesAddresses)
			o.names(id, m)
		} else {
			o.note(id, from, givesBoot)
		}
	case dhcpv4.MessageTypeAck:
		if given {
			o.note(id, from, givesAddresses)
		}
	case dhcpv4.MessageTypeNak:
		o.note(id, from, givesAddresses)
	}
}

// names remembers the boot file that a server's offer of an address names.
func (o *others) names(id netip.Addr, m *dhcpv4.DHCPv4) {
	file, next := cmp.Or(m.BootFileName, m.BootFileNameOption()), m.TFTPServerName()
	if a := addrOf(m.ServerIPAddr); a.IsValid() {
		next = a.String()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if s := o.list[id]; s != nil && file != "" {
		s.BootFile, s.NextServer = plain.Line(file, 128), plain.Line(next, 64)
	}
}

// giving lists the servers that give addresses.
func (o *others) giving() []doc.DHCPServer {
	var out []doc.DHCPServer
	for _, s := range o.all() {
		if s.Gives == givesAddresses {
			out = append(out, s)
		}
	}
	return out
}

// all lists the servers by address.
func (o *others) all() []doc.DHCPServer {
	o.mu.Lock()
	defer o.mu.Unlock()
	out := []doc.DHCPServer{}
	for _, s := range o.list {
		out = append(out, *s)
	}
	slices.SortFunc(out, func(a, b doc.DHCPServer) int { return cmp.Compare(a.Server, b.Server) })
	return out
}

// view fills in what the operator sees.
func (o *others) view(v *doc.DHCP) {
	v.Others = o.all()
	now := o.now()
	for _, s := range v.Others {
		if now.Sub(s.Last) >= OtherFor {
			continue
		}
		switch s.Gives {
		case givesAddresses:
			v.Warnings = append(v.Warnings, fmt.Sprintf("Another DHCP server, %s, gives addresses on this LAN: "+
				"two servers give one address to two machines, and machines boot from whichever is quicker. Stop one "+
				"of them, or serve with --dhcp proxy.", words(s)))
		case givesBoot:
			v.Warnings = append(v.Warnings,
				fmt.Sprintf("Another server, %s, offers boot files on this LAN: machines may boot from it.", words(s)))
		default:
			v.Warnings = append(v.Warnings,
				fmt.Sprintf("A machine took the offer of another DHCP server, %s, which this one does not hear.",
					words(s)))
		}
	}
}

// words names a server.
func words(s doc.DHCPServer) string {
	if s.MAC == "" {
		return s.Server
	}
	return s.Server + " (MAC address " + s.MAC + ")"
}

// otherError refuses to give addresses beside other servers.
func otherError(iface string, list []doc.DHCPServer) error {
	var b bytes.Buffer
	for i, s := range list {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(words(s))
	}
	return fmt.Errorf("another DHCP server gives addresses on the LAN of %s: %s; two of them give one address to two "+
		"machines. "+
		"Let it give the addresses and serve with --dhcp proxy, or stop it, or insist with --allow-other-dhcp", iface,
		&b)
}
