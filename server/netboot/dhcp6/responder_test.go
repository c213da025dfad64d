package dhcp6

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"

	"github.com/diskcast/diskcast/internal/bootdir"
	"github.com/diskcast/diskcast/server/netboot"
	"github.com/diskcast/diskcast/server/netboot/dhcp"
)

// files is a boot directory of names.
type files []string

func (f files) GRUBCan(bootdir.Arch, string) bool { return true }
func (f files) Misplaced(bootdir.Arch) string     { return "" }
func (f files) Has(name string) bool              { return slices.Contains(f, name) }
func (f files) with(more ...string) (all files)   { return append(slices.Clone(f), more...) }
func config(seen *dhcp.Seen) (c Config)           { return configOf("fd00:5::1/64", seen) }
func configOf(lan string, seen *dhcp.Seen) (c Config) {
	c.Boot = dhcp.Config{Mode: dhcp.Full, Server: netip.MustParsePrefix(lan),
		HTTP:  netip.MustParseAddrPort("[fd00:5::1]:8080"),
		Files: files{"snponly.efi", "undionly.kpxe", "arm64/snponly.efi"}, TFTP: true}
	if seen != nil {
		c.Boot.Observe = func(s dhcp.Seen) { *seen = s }
	}
	c.MAC, c.Term = net.HardwareAddr{2, 0, 0, 0, 0, 1}, 10*time.Minute
	return c
}

var (
	mac = net.HardwareAddr{0x52, 0x54, 0, 0x12, 0x34, 0x56}
	// eui is the link-local address that is made of mac, private one that says nothing.
	eui, private = netip.MustParseAddr("fe80::5054:ff:fe12:3456"), netip.MustParseAddr("fe80::77")
	uuid         = &dhcpv6.DUIDUUID{UUID: [16]byte{1, 2, 3}}
)

func responder(t testing.TB, c Config) *Responder {
	t.Helper()
	r, err := NewResponder(c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// ask makes a message as a client of a kind sends it.
func ask(kind dhcpv6.MessageType, mods ...dhcpv6.Modifier) *dhcpv6.Message {
	m := &dhcpv6.Message{MessageType: kind, TransactionID: dhcpv6.TransactionID{1, 2, 3}}
	for _, mod := range append([]dhcpv6.Modifier{dhcpv6.WithClientID(uuid), dhcpv6.WithIAID([4]byte{9})}, mods...) {
		mod(m)
	}
	return m
}

// vendor is a client's vendor class; EDK II's number is Intel's.
func vendor(class string) dhcpv6.Modifier {
	return dhcpv6.WithOption(&dhcpv6.OptVendorClass{EnterpriseNumber: 343, Data: [][]byte{[]byte(class)}})
}

func as(class string, arch iana.Arch) []dhcpv6.Modifier {
	return []dhcpv6.Modifier{vendor(class), dhcpv6.WithArchType(arch)}
}

// addrs are the addresses of an answer that have time left.
func addrs(m *dhcpv6.Message) (out []string) {
	for _, ia := range m.Options.IANA() {
		for _, a := range ia.Options.Addresses() {
			if a.ValidLifetime > 0 {
				out = append(out, a.IPv6Addr.String())
			}
		}
	}
	return out
}

// TestBootFiles is what each kind of client is sent to.
func TestBootFiles(t *testing.T) {
	base := "http://[fd00:5::1]:8080/boot/"
	ipxe := func(arch iana.Arch) []dhcpv6.Modifier {
		return append(as("PXEClient:Arch:00007", arch), dhcpv6.WithUserClass([]byte("iPXE")))
	}
	for _, c := range []struct {
		name  string
		as    []dhcpv6.Modifier
		edit  func(*Config)
		want  string // the URL; else, beginning with "!", a part of the problem
		class string // in the answer
	}{
		{"UEFI HTTP", as("HTTPClient:Arch:00016:UNDI:003000", iana.EFI_X86_64_HTTP), nil, base + "snponly.efi",
			"HTTPClient"},
		{"UEFI PXE", as("PXEClient:Arch:00007:UNDI:003000", iana.EFI_BC), nil, "tftp://[fd00:5::1]/snponly.efi", ""},
		{"UEFI PXE on arm64", as("PXEClient:Arch:00011", iana.EFI_ARM64), nil,
			"tftp://[fd00:5::1]/arm64/snponly.efi", ""},
		{"iPXE on UEFI", ipxe(iana.EFI_X86_64), nil, base + "boot.ipxe?mac=52-54-00-12-34-56", ""},
		{"iPXE on BIOS", ipxe(iana.INTEL_X86PC), nil, base + "boot.ipxe?mac=52-54-00-12-34-56", ""},
		{"a system", nil, nil, "", ""},
		{"one program", as("HTTPClient", iana.EFI_X86_64_HTTP), func(c *Config) {
			c.Boot.UEFILoader, c.Boot.Files = dhcp.WithUKI, files{"node.efi"}
		}, base + "node.efi", "HTTPClient"},
		{"HTTPS", as("HTTPClient", iana.EFI_X86_64_HTTP), func(c *Config) {
			c.Boot.HTTPS = netip.MustParseAddrPort("[fd00:5::1]:8444")
		}, "https://[fd00:5::1]:8444/boot/snponly.efi", "HTTPClient"},
		{"shim and GRUB are there", as("PXEClient", iana.EFI_BC), func(c *Config) {
			c.Boot.Files = c.Boot.Files.(files).with("shimx64.efi", "grubx64.efi")
		}, "tftp://[fd00:5::1]/snponly.efi", ""},
		{"shim is chosen", as("PXEClient", iana.EFI_BC), func(c *Config) {
			c.Boot.UEFILoader, c.Boot.Files = dhcp.WithShim, c.Boot.Files.(files).with("shimx64.efi", "grubx64.efi")
		}, "!not given by IPv6", ""},
		{"without TFTP", as("PXEClient", iana.EFI_BC), func(c *Config) { c.Boot.TFTP = false }, "!--tftp=false", ""},
		{"its own disk", as("PXEClient", iana.EFI_BC), func(c *Config) {
			c.Boot.Decide = func(string) netboot.What { return netboot.OwnDisk }
		}, "tftp://[fd00:5::1]/own-disk", ""},
		{"32 bits", as("PXEClient", iana.EFI_IA32), nil, "!amd64 and arm64 only", ""},
	} {
		var seen dhcp.Seen
		cfg := config(&seen)
		if c.edit != nil {
			c.edit(&cfg)
		}
		reply, err := responder(t, cfg).Answer(ask(dhcpv6.MessageTypeSolicit, c.as...), eui)
		if err != nil || reply == nil || reply.MessageType != dhcpv6.MessageTypeAdvertise {
			t.Fatalf("%s: %v, %v", c.name, reply, err)
		}
		want, problem := strings.CutPrefix(c.want, "!")
		switch got := reply.Options.BootFileURL(); {
		case problem && (got != "" || !strings.Contains(seen.Problem, want)):
			t.Errorf("%s: sent to %q, problem %q, want %q", c.name, got, seen.Problem, want)
		case !problem && (got != want || seen.Given != want || seen.Problem != ""):
			t.Errorf("%s: sent to %q, said %q, problem %q; want %q", c.name, got, seen.Given, seen.Problem, want)
		}
		class := ""
		for _, v := range reply.Options.VendorClasses() {
			class = string(v.Data[0])
			if v.EnterpriseNumber != 343 {
				t.Errorf("%s: the class is of enterprise %d, want the client's", c.name, v.EnterpriseNumber)
			}
		}
		if class != c.class {
			t.Errorf("%s: the answer's class is %q, want %q", c.name, class, c.class)
		}
		if len(addrs(reply)) != 1 {
			t.Errorf("%s: addresses %v, want one", c.name, addrs(reply))
		}
	}
}

// TestOneAddress: firmware, iPXE and systems of one NIC have one address, also after the server started anew; each NIC
// has another.
func TestOneAddress(t *testing.T) {
	r := responder(t, config(nil))
	first, err := r.Answer(ask(dhcpv6.MessageTypeSolicit), eui)
	if err != nil {
		t.Fatal(err)
	}
	want := addrs(first)
	ll := dhcpv6.WithClientID(&dhcpv6.DUIDLL{HWType: iana.HWTypeEthernet, LinkLayerAddr: mac})
	llt := dhcpv6.WithClientID(&dhcpv6.DUIDLLT{HWType: iana.HWTypeEthernet, Time: 7, LinkLayerAddr: mac})
	cfg := config(nil)
	cfg.Neighbour = func(a netip.Addr) string {
		if a == netip.MustParseAddr("fe80::5") {
			return mac.String()
		}
		return ""
	}
	again := responder(t, cfg)
	for name, got := range map[string]*dhcpv6.Message{
		"another identifier": must(t)(again.Answer(ask(dhcpv6.MessageTypeSolicit, ll), private)),
		"one with a time":    must(t)(again.Answer(ask(dhcpv6.MessageTypeSolicit, llt), private)),
		"what the kernel knows": must(t)(again.Answer(ask(dhcpv6.MessageTypeSolicit),
			netip.MustParseAddr("fe80::5"))),
		"another association": must(t)(again.Answer(ask(dhcpv6.MessageTypeSolicit,
			dhcpv6.WithIAID([4]byte{7})), eui)),
		"a rebind, at a new start": must(t)(again.Answer(ask(dhcpv6.MessageTypeRebind), eui)),
	} {
		if !slices.Equal(addrs(got), want) || len(want) != 1 {
			t.Errorf("%s: %v, want %v", name, addrs(got), want)
		}
	}
	all := map[string]bool{}
	for i := range 2000 {
		a := netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 8: 0x50, 9: 0x54, 11: 0xff, 12: 0xfe, 14: byte(i >> 8),
			15: byte(i)})
		all[addrs(must(t)(r.Answer(ask(dhcpv6.MessageTypeSolicit), a)))[0]] = true
	}
	if len(all) != 2000 {
		t.Errorf("2000 NICs have %d addresses", len(all))
	}
}

func must(t *testing.T) func(*dhcpv6.Message, error) *dhcpv6.Message {
	return func(m *dhcpv6.Message, err error) *dhcpv6.Message {
		t.Helper()
		if err != nil || m == nil {
			t.Fatalf("no answer: %v", err)
		}
		return m
	}
}

// TestMessages: which messages are answered, and how.
func TestMessages(t *testing.T) {
	var seen dhcp.Seen
	r := responder(t, config(&seen))
	ours, theirs := dhcpv6.WithServerID(r.id), dhcpv6.WithServerID(uuid)
	firmware := vendor("PXEClient")
	old := dhcpv6.WithIANA(dhcpv6.OptIAAddress{IPv6Addr: net.ParseIP("fd00:5::99"), ValidLifetime: time.Hour})
	foreign := dhcpv6.WithIANA(dhcpv6.OptIAAddress{IPv6Addr: net.ParseIP("fd00:6::99")})
	for _, c := range []struct {
		name    string
		m       *dhcpv6.Message
		want    dhcpv6.MessageType // 0: no answer
		status  int                // -1: none
		problem string
	}{
		{"a solicit", ask(dhcpv6.MessageTypeSolicit), dhcpv6.MessageTypeAdvertise, -1, ""},
		{"a solicit to a server", ask(dhcpv6.MessageTypeSolicit, ours), 0, -1, ""},
		{"in one step", ask(dhcpv6.MessageTypeSolicit, dhcpv6.WithRapidCommit), dhcpv6.MessageTypeReply, -1, ""},
		{"a request", ask(dhcpv6.MessageTypeRequest, ours), dhcpv6.MessageTypeReply, -1, ""},
		{"a request to another server", ask(dhcpv6.MessageTypeRequest, theirs, firmware), 0, -1, "another DHCPv6 " +
			"server"},
		{"a system's request to another server", ask(dhcpv6.MessageTypeRequest, theirs), 0, -1, ""},
		{"a renewal of an old address", ask(dhcpv6.MessageTypeRenew, ours, old), dhcpv6.MessageTypeReply, -1, ""},
		{"a release", ask(dhcpv6.MessageTypeRelease, ours, old), dhcpv6.MessageTypeReply, 0, ""},
		{"another's release", ask(dhcpv6.MessageTypeRelease, theirs, old), 0, -1, ""},
		{"a confirmation", ask(dhcpv6.MessageTypeConfirm, old), dhcpv6.MessageTypeReply, 0, ""},
		{"a confirmation on another LAN", ask(dhcpv6.MessageTypeConfirm, foreign), dhcpv6.MessageTypeReply,
			int(iana.StatusNotOnLink), ""},
		{"a confirmation of nothing", ask(dhcpv6.MessageTypeConfirm), 0, -1, ""},
		{"a question", ask(dhcpv6.MessageTypeInformationRequest), dhcpv6.MessageTypeReply, -1, ""},
		{"a question to another", ask(dhcpv6.MessageTypeInformationRequest, theirs), 0, -1, ""},
		{"nobody's solicit", &dhcpv6.Message{MessageType: dhcpv6.MessageTypeSolicit}, 0, -1, ""},
	} {
		seen = dhcp.Seen{}
		reply, err := r.Answer(c.m, eui)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if reply == nil {
			if c.want != 0 {
				t.Errorf("%s: no answer, want %v", c.name, c.want)
			}
		} else if reply.MessageType != c.want || reply.TransactionID != c.m.TransactionID ||
			!reply.Options.ServerID().Equal(r.id) {
			t.Errorf("%s: %v, want %v", c.name, reply, c.want)
		} else if st := reply.Options.Status(); (st == nil) != (c.status < 0) || st != nil &&
			int(st.StatusCode) != c.status {
			t.Errorf("%s: status %v, want %d", c.name, st, c.status)
		}
		if (c.problem == "") != (seen.Problem == "") || !strings.Contains(seen.Problem, c.problem) {
			t.Errorf("%s: problem %q, want %q", c.name, seen.Problem, c.problem)
		}
	}
	renewed := must(t)(r.Answer(ask(dhcpv6.MessageTypeRenew, ours, old), eui))
	if got := renewed.Options.OneIANA().Options.Addresses(); len(got) != 2 || got[1].ValidLifetime != 0 ||
		got[1].IPv6Addr.String() != "fd00:5::99" {
		t.Errorf("of an address that is none of its: %v, want that its time is over", got)
	}
}

// TestNoLoop: what servers send is not answered; two servers would talk for ever.
func TestNoLoop(t *testing.T) {
	r := responder(t, config(nil))
	for _, kind := range []dhcpv6.MessageType{dhcpv6.MessageTypeReply, dhcpv6.MessageTypeAdvertise,
		dhcpv6.MessageTypeReconfigure} {
		if reply, err := r.Answer(ask(kind, dhcpv6.WithServerID(r.id)), eui); reply != nil || err != nil {
			t.Errorf("%v is answered: %v, %v", kind, reply, err)
		}
	}
}

// TestDecline: a machine that found its address in use has another from then on.
func TestDecline(t *testing.T) {
	r := responder(t, config(nil))
	first := addrs(must(t)(r.Answer(ask(dhcpv6.MessageTypeSolicit), eui)))
	must(t)(r.Answer(ask(dhcpv6.MessageTypeDecline, dhcpv6.WithServerID(r.id)), eui))
	second := addrs(must(t)(r.Answer(ask(dhcpv6.MessageTypeSolicit), eui)))
	if slices.Equal(first, second) {
		t.Errorf("it is given %v again", second)
	}
	if again := addrs(must(t)(r.Answer(ask(dhcpv6.MessageTypeSolicit), eui))); !slices.Equal(again, second) {
		t.Errorf("%v, and then %v", second, again)
	}
}

// TestNever: a machine that this server never boots hears nothing, and the operator hears that.
func TestNever(t *testing.T) {
	var seen dhcp.Seen
	cfg := config(&seen)
	cfg.Boot.Decide = func(string) netboot.What { return netboot.Nothing }
	r := responder(t, cfg)
	if reply, _ := r.Answer(ask(dhcpv6.MessageTypeSolicit, vendor("PXEClient")), eui); reply != nil || !seen.Silent {
		t.Errorf("%v, %+v", reply, seen)
	}
	if reply, _ := r.Answer(ask(dhcpv6.MessageTypeSolicit), eui); len(addrs(reply)) != 1 {
		t.Errorf("its system gets %v, want an address", reply)
	}
}

func TestLANs(t *testing.T) {
	for lan, good := range map[string]bool{"fd00::1/64": true, "2001:db8::1/64": true, "fd00::1/48": false,
		"fd00::1/120": false, "fe80::1/64": false, "10.0.0.1/24": false} {
		if _, err := NewResponder(configOf(lan, nil)); (err == nil) != good {
			t.Errorf("%s: %v, want good: %v", lan, err, good)
		}
	}
}

func FuzzAnswer(f *testing.F) {
	r := responder(f, config(nil))
	f.Add(ask(dhcpv6.MessageTypeSolicit, as("HTTPClient", iana.EFI_X86_64_HTTP)...).ToBytes())
	f.Add(ask(dhcpv6.MessageTypeRequest, dhcpv6.WithServerID(r.id), dhcpv6.WithUserClass([]byte("iPXE"))).ToBytes())
	f.Add(ask(dhcpv6.MessageTypeDecline, dhcpv6.WithServerID(r.id)).ToBytes())
	relayed := passOn(ask(dhcpv6.MessageTypeSolicit), "fd00:6::1", eui.String(), ethernet(mac),
		dhcpv6.OptInterfaceID([]byte("p7")), &dhcpv6.OptRemoteID{EnterpriseNumber: 9, RemoteID: []byte("sw1")})
	f.Add(relayed.ToBytes())
	f.Add(passOn(relayed, "::", "fd00:6::1", dhcpv6.OptRelayPort(0)).ToBytes())
	s := NewServer("none", r)
	f.Fuzz(func(t *testing.T, b []byte) {
		reply, _, err := s.answer(b, netip.AddrPortFrom(eui, ClientPort))
		if err != nil || reply == nil {
			return
		}
		parsed, err := dhcpv6.FromBytes(reply)
		if err != nil {
			t.Fatalf("the answer cannot be read: %v", err)
		}
		lan, relays := r.cfg.Boot.Server.Masked(), 0
		for parsed.IsRelay() {
			m := parsed.(*dhcpv6.RelayMessage)
			if a, ok := netip.AddrFromSlice(m.LinkAddr); ok && !a.IsUnspecified() && !a.IsLinkLocalUnicast() {
				lan = netip.PrefixFrom(a, prefixBits).Masked() // that of the last one, next to the machine, counts
			}
			parsed = m.Options.RelayMessage()
			if relays++; relays > maxRelays || parsed == nil || m.MessageType != dhcpv6.MessageTypeRelayReply {
				t.Fatalf("a relay is given %v", m)
			}
		}
		for _, a := range addrs(parsed.(*dhcpv6.Message)) {
			if !lan.Contains(netip.MustParseAddr(a)) {
				t.Errorf("it gives %s on %v", a, lan)
			}
		}
		if len(reply) > 4*maxPacket {
			t.Errorf("%d bytes make %d", len(b), len(reply))
		}
	})
}
