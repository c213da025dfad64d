package dhcp

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/diskcast/diskcast/server/netboot"
)

// Mode is how the server takes part in the LAN's DHCP.
type Mode string

// Modes.
const (
	Full  Mode = "full"  // the LAN's only DHCP server: gives addresses
	Proxy Mode = "proxy" // beside the site's DHCP server: gives boot files only
	Off   Mode = "off"
)

// Config is what a Responder answers with.
type Config struct {
	Mode   Mode
	Server netip.Prefix // the server's address on the interface, with the LAN's prefix length
	HTTP   netip.AddrPort
	HTTPS  netip.AddrPort // where UEFI HTTP boot is sent in HTTP's place; invalid: nowhere
	Files  Files
	// UEFILoader is what machines with UEFI start with; empty is Auto.
	UEFILoader Loader
	Decide     netboot.Decider // what a machine boots; may be nil
	Starts     netboot.Starter // what it starts from its own disk; may be nil
	TFTP       bool            // this server hands out the files by TFTP, so that GRUB asks it what to do
	// The following are for the full mode.
	Pool   *Pool
	Router netip.Addr   // no default route is given when invalid
	DNS    []netip.Addr // none is given when empty
	Log    *slog.Logger
	// Ask returns the hardware address of a machine other than the client that uses the address; nil if nobody answers.
	// An error says that the LAN could not be asked. May be nil: the Server's.
	Ask func(ctx context.Context, a netip.Addr, client net.HardwareAddr) (net.HardwareAddr, error)
	// AllowOther gives addresses although another server does.
	AllowOther bool
	// Observe is called for each request of a machine that boots; it must not block. May be nil; called from several
	// goroutines.
	Observe func(Seen)
}

// Responder answers DHCP requests. It holds no socket. Its methods may be called from several goroutines.
type Responder struct {
	cfg    Config
	others *others
}

// NewResponder checks the configuration.
func NewResponder(cfg Config) (*Responder, error) {
	switch {
	case cfg.Mode != Full && cfg.Mode != Proxy:
		return nil, fmt.Errorf("DHCP mode %q is neither full nor proxy", cfg.Mode)
	case !cfg.Server.Addr().Is4():
		return nil, fmt.Errorf("DHCP needs the server's IPv4 address, got %v", cfg.Server)
	case cfg.Mode == Full && cfg.Pool == nil:
		return nil, fmt.Errorf("DHCP in full mode needs a range of addresses (--dhcp-range)")
	}
	switch cfg.UEFILoader {
	case "":
		cfg.UEFILoader = Auto
	case Auto, WithIPXE, WithShim, WithIPXEShim, WithUKI:
	default:
		return nil, fmt.Errorf("UEFI loader %q is none of auto, ipxe, shim, ipxe-shim, uki", cfg.UEFILoader)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Observe == nil {
		cfg.Observe = func(Seen) {}
	}
	return &Responder{cfg: cfg, others: newOthers(cfg.Log)}, nil
}

// Ports on which requests come.
const (
	ServerPort = 67
	ClientPort = 68
	ProxyPort  = 4011 // PXE 2.1, 2.2: the boot server behind a proxy offer
)

// Answer returns the answer to a request that came on the given port, or nil when there is none to give.
// The error is for the log: the server's own trouble, not the client's.
func (r *Responder) Answer(ctx context.Context, m *dhcpv4.DHCPv4, port int) (*dhcpv4.DHCPv4, error) {
	if m.OpCode != dhcpv4.OpcodeBootRequest || len(m.ClientHWAddr) != 6 || !ofOne(m.ClientHWAddr) {
		return nil, nil
	}
	c := classify(m)
	if c.Kind != Plain && r.cfg.Decide.Of(c.MAC.String()) == netboot.Nothing {
		r.cfg.Observe(Seen{Client: c, Final: true, Silent: true})
		return nil, nil
	}
	if r.cfg.Mode == Proxy {
		return r.proxy(m, c, port)
	}
	if port != ServerPort {
		return nil, nil
	}
	return r.full(ctx, m, c)
}

func (r *Responder) full(ctx context.Context, m *dhcpv4.DHCPv4, c Client) (*dhcpv4.DHCPv4, error) {
	mac := c.MAC.String()
	if relay := c.Relay.Addr; relay.IsValid() && !r.cfg.Server.Contains(relay) {
		if c.Kind != Plain {
			r.cfg.Observe(Seen{Client: c, Problem: fmt.Sprintf("its requests come by the relay %v, and the range of "+
				"addresses here is for %v: let that LAN's DHCP server give the addresses, and serve with --dhcp proxy",
				relay, r.cfg.Server.Masked())})
		}
		return nil, nil // the range has no address for the relay's LAN
	}
	switch m.MessageType() {
	case dhcpv4.MessageTypeDiscover:
		addr, err := r.offer(ctx, c, addrOf(m.RequestedIPAddress()))
		if err != nil {
			if !errors.Is(err, errBusy) {
				r.cfg.Observe(Seen{Client: c, Problem: err.Error()})
			}
			return nil, err
		}
		return r.grant(m, c, dhcpv4.MessageTypeOffer, addr, r.cfg.Pool.Term(mac))
	case dhcpv4.MessageTypeRequest:
		return r.request(ctx, m, c)
	case dhcpv4.MessageTypeInform:
		return r.grant(m, c, dhcpv4.MessageTypeAck, netip.Addr{}, 0)
	case dhcpv4.MessageTypeDecline:
		was, err := r.cfg.Pool.Decline(ctx, mac, addrOf(m.RequestedIPAddress()))
		if was {
			r.cfg.Log.Warn("a machine found its address in use by another; the address is set aside", "addr",
				m.RequestedIPAddress(), "mac", mac, "for", declineHold)
		}
		return nil, err
	case dhcpv4.MessageTypeRelease:
		return nil, r.cfg.Pool.Release(ctx, mac, addrOf(m.ClientIPAddr))
	}
	return nil, nil
}

// tries bounds how many addresses in use one request may come upon: firmware waits 4 s for its answer.
const tries = 8

// offer finds an address that nobody uses.
func (r *Responder) offer(ctx context.Context, c Client, wanted netip.Addr) (netip.Addr, error) {
	for range tries {
		a, ask, err := r.cfg.Pool.Propose(c.MAC.String(), wanted)
		if err != nil || !ask {
			return a, err
		}
		if ok, err := r.settle(ctx, c, a); ok || err != nil {
			return a, err
		}
	}
	return netip.Addr{}, fmt.Errorf("the %d addresses of DHCP range that were tried for %s are %w", tries, c.MAC,
		errUsed)
}

// settle asks the LAN about an address that was chosen for the client, and reports whether it is the client's now.
func (r *Responder) settle(ctx context.Context, c Client, a netip.Addr) (bool, error) {
	pool, mac := r.cfg.Pool, c.MAC.String()
	var by net.HardwareAddr
	if r.cfg.Ask != nil {
		var err error
		if by, err = r.cfg.Ask(ctx, a, c.MAC); err != nil {
			pool.Cancel(mac, a)
			return false, err
		}
	}
	if by != nil {
		pool.InUse(mac, a, by.String())
		return false, nil
	}
	return pool.Confirm(mac, a) == nil, nil
}

// request handles DHCPREQUEST in its three forms (RFC 2131, 4.3.2).
func (r *Responder) request(ctx context.Context, m *dhcpv4.DHCPv4, c Client) (*dhcpv4.DHCPv4, error) {
	pool, mac := r.cfg.Pool, c.MAC.String()
	if id := addrOf(m.ServerIdentifier()); id.IsValid() && id != r.cfg.Server.Addr() {
		pool.Forget(mac)
		r.others.note(id, nil, givesUnknown)
		if c.Kind != Plain {
			r.cfg.Observe(Seen{Client: c,
				Problem: fmt.Sprintf("it took the offer of another DHCP server, %v: this server does not boot it "+
					"then; "+
					"stop that server, or let it give the addresses and serve with --dhcp proxy", id)})
		}
		return nil, nil
	}
	addr := addrOf(m.RequestedIPAddress()) // SELECTING and INIT-REBOOT
	if !addr.IsValid() {
		addr = addrOf(m.ClientIPAddr) // RENEWING and REBINDING
	}
	if !addr.IsValid() {
		return nil, nil
	}
	var term time.Duration
	ask, err := pool.Reserve(mac, addr)
	if err == nil && ask { // the machine was not offered it: it had it once, or says so
		ok, serr := r.settle(ctx, c, addr)
		if serr != nil {
			return nil, serr // the server's trouble is no reason to refuse the machine its address
		}
		if !ok {
			err = notYours(addr)
		}
	}
	if err == nil {
		term, err = pool.Commit(ctx, mac, addr)
	}
	switch {
	case errors.Is(err, errBusy):
		return nil, err
	case err != nil:
		r.cfg.Log.Info("DHCP request refused", "mac", mac, "addr", addr, "err", err)
		nak, nerr := r.reply(m, dhcpv4.MessageTypeNak)
		if nerr != nil {
			return nil, nerr
		}
		nak.UpdateOption(dhcpv4.OptMessage(err.Error()))
		// RFC 2131, 4.3.2: the machine may not have the address that the relay would send to.
		if c.Relay.Addr.IsValid() {
			nak.SetBroadcast()
		}
		return nak, nil
	}
	return r.grant(m, c, dhcpv4.MessageTypeAck, addr, term)
}

// reply makes the frame of every answer.
func (r *Responder) reply(m *dhcpv4.DHCPv4, kind dhcpv4.MessageType) (*dhcpv4.DHCPv4, error) {
	server := net.IP(r.cfg.Server.Addr().AsSlice())
	reply, err := dhcpv4.NewReplyFromRequest(m,
		dhcpv4.WithMessageType(kind),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(server)))
	if err != nil {
		return nil, fmt.Errorf("answer to %s: %w", m.ClientHWAddr, err)
	}
	// RFC 6842: a client identifier is echoed.
	if id := m.Options.Get(dhcpv4.OptionClientIdentifier); id != nil {
		reply.UpdateOption(dhcpv4.OptGeneric(dhcpv4.OptionClientIdentifier, id))
	}
	return reply, nil
}

// grant is an OFFER or ACK of the full mode. An invalid addr is the answer to INFORM: parameters without a lease.
func (r *Responder) grant(m *dhcpv4.DHCPv4, c Client, kind dhcpv4.MessageType, addr netip.Addr,
	lease time.Duration) (*dhcpv4.DHCPv4, error) {
	reply, err := r.reply(m, kind)
	if err != nil {
		return nil, err
	}
	reply.UpdateOption(dhcpv4.OptSubnetMask(net.CIDRMask(r.cfg.Server.Bits(), 32)))
	if addr.IsValid() {
		reply.YourIPAddr = addr.AsSlice()
		reply.UpdateOption(dhcpv4.OptIPAddressLeaseTime(lease))
		reply.UpdateOption(dhcpv4.OptRenewTimeValue(lease / 2))
		reply.UpdateOption(dhcpv4.OptRebindingTimeValue(lease / 8 * 7))
	} else {
		addr = addrOf(m.ClientIPAddr)
	}
	if r.cfg.Router.IsValid() {
		reply.UpdateOption(dhcpv4.OptRouter(r.cfg.Router.AsSlice()))
	}
	if len(r.cfg.DNS) > 0 {
		var ips []net.IP
		for _, a := range r.cfg.DNS {
			ips = append(ips, a.AsSlice())
		}
		reply.UpdateOption(dhcpv4.OptDNS(ips...))
	}
	seen := Seen{Client: c, Addr: addr, Final: kind == dhcpv4.MessageTypeAck}
	if c.Kind != Plain {
		seen.Given, err = r.putBoot(reply, c)
		if err != nil {
			seen.Problem = err.Error()
		}
	}
	r.cfg.Observe(seen)
	return reply, nil
}

// putBoot writes the boot file into an answer, in the header's fields and as options: firmware reads either.
func (r *Responder) putBoot(reply *dhcpv4.DHCPv4, c Client) (string, error) {
	file, err := BootFile(c, &r.cfg)
	if err != nil {
		return "", err
	}
	server := r.cfg.Server.Addr()
	reply.ServerIPAddr = server.AsSlice()
	reply.BootFileName = file
	reply.UpdateOption(dhcpv4.OptBootFileName(file))
	switch c.Kind {
	case PXE:
		reply.ServerHostName = server.String()
		reply.UpdateOption(dhcpv4.OptTFTPServerName(server.String()))
	case HTTP:
		// UEFI 2.10, 24.7.3.1: an offer without this class is not an HTTP boot offer.
		reply.UpdateOption(dhcpv4.OptClassIdentifier("HTTPClient"))
	case IPXE:
		if r.cfg.Mode == Proxy {
			break
		}
		// Option 175 (iPXE's space), suboption 176: do not wait for a proxy offer, which saves some seconds.
		reply.UpdateOption(dhcpv4.OptGeneric(dhcpv4.GenericOptionCode(175), []byte{176, 1, 1}))
	}
	return file, nil
}

func addrOf(ip net.IP) netip.Addr {
	a, ok := netip.AddrFromSlice(ip.To4())
	if !ok || a.IsUnspecified() {
		return netip.Addr{}
	}
	return a
}

// minLease keeps renewals of a whole lab apart.
const minLease = 2 * time.Minute

// hash spreads hardware addresses over the range, the same at every run (FNV-1a).
func hash(mac string) uint32 {
	h := uint32(2166136261)
	for i := range len(mac) {
		h = (h ^ uint32(mac[i])) * 16777619
	}
	return h
}

func addrToUint(a netip.Addr) uint32 { b := a.As4(); return binary.BigEndian.Uint32(b[:]) }

func uintToAddr(v uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], v)
	return netip.AddrFrom4(b)
}

// ofOne reports whether an address is one machine's: not a group's, nor all zeros.
func ofOne(mac net.HardwareAddr) bool {
	return mac[0]&1 == 0 && slices.ContainsFunc(mac, func(b byte) bool { return b != 0 })
}
