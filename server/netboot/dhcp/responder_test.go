package dhcp

import (
	"context"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"

	"github.com/diskcast/diskcast/internal/bootdir"
	"github.com/diskcast/diskcast/server/netboot"
	"github.com/diskcast/diskcast/server/store"
)

var update = flag.Bool("update", false, "write the golden files")

// files is a boot directory of names; among them are features of GRUB.
type files []string

func (f files) GRUBCan(arch bootdir.Arch, feature string) bool {
	return slices.Contains(f, arch.Prefix()+feature)
}

// Misplaced: files of another architecture than their own are named so.
func (f files) Misplaced(arch bootdir.Arch) string {
	if slices.Contains(f, arch.Prefix()+"misplaced") {
		return "the boot directory of " + string(arch) + " is of another"
	}
	return ""
}

func (f files) Has(name string) bool { return slices.Contains(f, name) }

var allFiles = files{"undionly.kpxe", "snponly.efi", "ipxe.efi"}

func testConfig(t testing.TB, mode Mode) Config {
	cfg := Config{Mode: mode, Server: netip.MustParsePrefix("10.0.0.1/24"),
		HTTP: netip.MustParseAddrPort("10.0.0.1:8080"), Files: allFiles}
	if mode == Full {
		cfg.Pool = testPool(t, store.NewMemory(), "10.0.0.100-10.0.0.110", time.Now)
		cfg.Router = netip.MustParseAddr("10.0.0.254")
		cfg.DNS = []netip.Addr{netip.MustParseAddr("10.0.0.53")}
	}
	return cfg
}

// known says of the test's machines which have booted from the server.
func known(mac string) bool { return strings.HasPrefix(mac, "52:54:00:12") || len(mac) == 1 }

func testPool(t testing.TB, s store.Store, rng string, now func() time.Time) *Pool {
	lan := netip.MustParsePrefix("10.0.0.1/24")
	r, err := ParseRange(rng, lan)
	if err != nil {
		t.Fatal(err)
	}
	p, err := NewPool(t.Context(), PoolConfig{Store: s, Range: r, Server: lan, Term: time.Hour, Known: known, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func testResponder(t testing.TB, cfg Config) *Responder {
	r, err := NewResponder(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// request is what a kind of firmware sends, as seen in captures of it: SeaBIOS with iPXE's ROM, EDK2's PXE and HTTP
// boot, iPXE.
func request(t testing.TB, mac string, mods ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
	hw, err := net.ParseMAC(mac)
	if err != nil {
		t.Fatal(err)
	}
	all := append([]dhcpv4.Modifier{dhcpv4.WithHwAddr(hw), dhcpv4.WithTransactionID(dhcpv4.TransactionID{1, 2, 3, 4}),
		dhcpv4.WithMessageType(dhcpv4.MessageTypeDiscover)}, mods...)
	m, err := dhcpv4.New(all...)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

var machineID = dhcpv4.WithGeneric(dhcpv4.OptionClientMachineIdentifier, []byte("\x00abcdefghijklmnop"))

func firmware(class string, arch iana.Arch) dhcpv4.Modifier {
	return func(d *dhcpv4.DHCPv4) {
		d.UpdateOption(dhcpv4.OptClassIdentifier(class))
		d.UpdateOption(dhcpv4.OptClientArch(arch))
		machineID(d)
	}
}

func ipxe(arch iana.Arch) dhcpv4.Modifier {
	return func(d *dhcpv4.DHCPv4) {
		firmware("PXEClient:Arch:00000:UNDI:002001", arch)(d)
		d.UpdateOption(dhcpv4.OptGeneric(dhcpv4.OptionUserClassInformation, []byte("iPXE")))
	}
}

var clients = []struct {
	name string
	mod  dhcpv4.Modifier
}{
	{"plain", func(*dhcpv4.DHCPv4) {}},
	{"bios", firmware("PXEClient:Arch:00000:UNDI:002001", iana.INTEL_X86PC)},
	{"uefi-7", firmware("PXEClient:Arch:00007:UNDI:003000", iana.EFI_X86_64)},
	{"uefi-9", firmware("PXEClient:Arch:00009:UNDI:003016", iana.EFI_BC)},
	{"uefi-http", firmware("HTTPClient:Arch:00016:UNDI:003001", iana.EFI_X86_64_HTTP)},
	{"ipxe-bios", ipxe(iana.INTEL_X86PC)},
	{"ipxe-uefi", ipxe(iana.EFI_X86_64)},
	{"arm64", firmware("PXEClient:Arch:00011:UNDI:003000", iana.EFI_ARM64)},
}

// describe writes a packet as text: the library's own printing, with options by number.
func describe(m *dhcpv4.DHCPv4) string {
	if m == nil {
		return "no answer\n"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%v xid %v hw %v yiaddr %v siaddr %v sname %q file %q\n", m.MessageType(), m.TransactionID,
		m.ClientHWAddr, m.YourIPAddr, m.ServerIPAddr, m.ServerHostName, m.BootFileName)
	var codes []int
	for c := range m.Options {
		codes = append(codes, int(c))
	}
	slices.Sort(codes)
	for _, c := range codes {
		fmt.Fprintf(&b, "  %d = %q\n", c, m.Options[uint8(c)])
	}
	return b.String()
}

// TestGoldens keeps the whole answer to each kind of client in each mode. The answers go through the wire form.
func TestGoldens(t *testing.T) {
	for _, mode := range []Mode{Full, Proxy} {
		for _, c := range clients {
			t.Run(string(mode)+"-"+c.name, func(t *testing.T) {
				r := testResponder(t, testConfig(t, mode))
				port := ServerPort
				var got strings.Builder
				discover := request(t, "52:54:00:12:34:56", c.mod)
				offer := answer(t, r, discover, port)
				fmt.Fprintf(&got, "DISCOVER on %d\n%s", port, describe(offer))
				req := request(t, "52:54:00:12:34:56", c.mod, dhcpv4.WithMessageType(dhcpv4.MessageTypeRequest))
				if mode == Full {
					req.UpdateOption(dhcpv4.OptRequestedIPAddress(offer.YourIPAddr))
					req.UpdateOption(dhcpv4.OptServerIdentifier(net.IPv4(10, 0, 0, 1)))
				} else {
					port, req.ClientIPAddr = ProxyPort, net.IPv4(10, 0, 0, 77)
				}
				fmt.Fprintf(&got, "REQUEST on %d\n%s", port, describe(answer(t, r, req, port)))
				golden(t, filepath.Join("testdata", string(mode)+"-"+c.name+".txt"), got.String())
			})
		}
	}
}

// answer sends both packets through their wire form.
func answer(t testing.TB, r *Responder, m *dhcpv4.DHCPv4, port int) *dhcpv4.DHCPv4 {
	m, err := dhcpv4.FromBytes(m.ToBytes())
	if err != nil {
		t.Fatal(err)
	}
	reply, err := r.Answer(context.Background(), m, port)
	if err != nil {
		t.Fatal(err)
	}
	if reply == nil {
		return nil
	}
	b := reply.ToBytes()
	if len(b) > 576 { // RFC 2131, 2: what every client takes
		t.Errorf("answer of %d bytes", len(b))
	}
	if reply, err = dhcpv4.FromBytes(b); err != nil {
		t.Fatal(err)
	}
	return reply
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-want +got; -update writes it):\n%s", path, d)
	}
}

func TestRequests(t *testing.T) {
	const mac = "52:54:00:00:00:01"
	requested := func(ip string) dhcpv4.Modifier {
		return dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(net.ParseIP(ip)))
	}
	kind := func(k dhcpv4.MessageType) dhcpv4.Modifier { return dhcpv4.WithMessageType(k) }
	for _, c := range []struct {
		name string
		mods []dhcpv4.Modifier
		want string // message type, or "" for none
		addr string
	}{
		{"wanted address is given", []dhcpv4.Modifier{requested("10.0.0.105")}, "OFFER", "10.0.0.105"},
		{"address after a reboot", []dhcpv4.Modifier{kind(dhcpv4.MessageTypeRequest), requested("10.0.0.105")}, "ACK",
			"10.0.0.105"},
		{"address of another LAN", []dhcpv4.Modifier{kind(dhcpv4.MessageTypeRequest), requested("192.168.1.5")}, "NAK",
			"0.0.0.0"},
		{"the server's own address", []dhcpv4.Modifier{kind(dhcpv4.MessageTypeRequest), requested("10.0.0.1")}, "NAK",
			"0.0.0.0"},
		{"renewal", []dhcpv4.Modifier{kind(dhcpv4.MessageTypeRequest), dhcpv4.WithClientIP(net.IPv4(10, 0, 0, 104))},
			"ACK", "10.0.0.104"},
		{"another server's offer was taken", []dhcpv4.Modifier{kind(dhcpv4.MessageTypeRequest), requested("10.0.0.105"),
			dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IPv4(10, 0, 0, 2)))}, "", ""},
		{"request without any address", []dhcpv4.Modifier{kind(dhcpv4.MessageTypeRequest)}, "", ""},
		{"inform", []dhcpv4.Modifier{kind(dhcpv4.MessageTypeInform), dhcpv4.WithClientIP(net.IPv4(10, 0, 0, 9))}, "ACK",
			"0.0.0.0"},
		{"relay of another LAN", []dhcpv4.Modifier{dhcpv4.WithGatewayIP(net.IPv4(10, 7, 0, 1))}, "", ""},
		{"relay of this LAN", []dhcpv4.Modifier{requested("10.0.0.106"), dhcpv4.WithGatewayIP(net.IPv4(10, 0, 0, 2))},
			"OFFER", "10.0.0.106"},
		{"a reply is not a request", []dhcpv4.Modifier{func(d *dhcpv4.DHCPv4) { d.OpCode = dhcpv4.OpcodeBootReply }},
			"", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := testResponder(t, testConfig(t, Full))
			reply := answer(t, r, request(t, mac, c.mods...), ServerPort)
			if reply == nil {
				if c.want != "" {
					t.Fatal("no answer")
				}
				return
			}
			if reply.MessageType().String() != c.want || reply.YourIPAddr.String() != c.addr {
				t.Errorf("%v %v, want %s %s", reply.MessageType(), reply.YourIPAddr, c.want, c.addr)
			}
		})
	}
}

func TestObserved(t *testing.T) {
	var seen []Seen
	cfg := testConfig(t, Full)
	cfg.Files = files{"undionly.kpxe"}
	cfg.Observe = func(s Seen) { seen = append(seen, s) }
	r := testResponder(t, cfg)
	answer(t, r, request(t, "52:54:00:00:00:01", clients[1].mod), ServerPort)
	answer(t, r, request(t, "52:54:00:00:00:02", clients[2].mod), ServerPort)
	answer(t, r, request(t, "52:54:00:00:00:03", clients[7].mod), ServerPort)
	if len(seen) != 3 || seen[0].Given != "undionly.kpxe" || seen[0].Problem != "" {
		t.Fatalf("%+v", seen)
	}
	if p := seen[1].Problem; !strings.Contains(p, "snponly.efi") || !strings.Contains(p, "mkimage") {
		t.Errorf("problem of a UEFI machine without a boot file: %q", p)
	}
	if p := seen[2].Problem; !strings.Contains(p, "machines of arm64") {
		t.Errorf("problem of an ARM machine: %q", p)
	}
}

// TestARM64 gives machines of 64-bit ARM what is theirs, by each way.
func TestARM64(t *testing.T) {
	arm := func(prefix ...string) files {
		all := slices.Clone(allFiles)
		for _, name := range prefix {
			all = append(all, bootdir.ARM64.Prefix()+name)
		}
		return all
	}
	pxe := firmware("PXEClient:Arch:00011:UNDI:003000", iana.EFI_ARM64)
	byHTTP := firmware("HTTPClient:Arch:00019:UNDI:003001", iana.EFI_ARM64_HTTP)
	const base = "http://10.0.0.1:8080/boot/"
	for _, c := range []struct {
		name  string
		files files
		mod   dhcpv4.Modifier
		want  string
	}{
		{"shim", arm("shimaa64.efi", "grubaa64.efi", "snponly.efi"), pxe, "arm64/shimaa64.efi"},
		{"iPXE", arm("ipxe.efi"), pxe, "arm64/ipxe.efi"},
		{"a loader of the site's", arm("bootaa64.efi"), pxe, "arm64/bootaa64.efi"},
		{"amd64's alone", arm(), pxe, ""},
		{"HTTP", arm("shimaa64.efi", "grubaa64.efi", GRUBHTTP), byHTTP, base + "arm64/shimaa64.efi"},
		{"HTTP, a GRUB without it", arm("shimaa64.efi", "grubaa64.efi", "ipxe.efi"), byHTTP,
			base + "arm64/ipxe.efi"},
		{"iPXE's script", arm("ipxe.efi"), ipxe(iana.EFI_ARM64), base + "arm64/boot.ipxe?mac=52-54-00-00-00-01"},
	} {
		cfg := testConfig(t, Full)
		cfg.Files = c.files
		var given string
		cfg.Observe = func(s Seen) { given = s.Given }
		answer(t, testResponder(t, cfg), request(t, "52:54:00:00:00:01", c.mod), ServerPort)
		if given != c.want {
			t.Errorf("%s: given %q, not %q", c.name, given, c.want)
		}
	}
}

func TestProxyKeepsOut(t *testing.T) {
	r := testResponder(t, testConfig(t, Proxy))
	pxe := clients[1].mod
	for name, m := range map[string]*dhcpv4.DHCPv4{
		"plain client":         request(t, "52:54:00:00:00:01"),
		"request to the site":  request(t, "52:54:00:00:00:01", pxe, dhcpv4.WithMessageType(dhcpv4.MessageTypeRequest)),
		"inform":               request(t, "52:54:00:00:00:01", pxe, dhcpv4.WithMessageType(dhcpv4.MessageTypeInform)),
		"release to the site":  request(t, "52:54:00:00:00:01", pxe, dhcpv4.WithMessageType(dhcpv4.MessageTypeRelease)),
		"machine we cannot do": request(t, "52:54:00:00:00:01", clients[7].mod),
	} {
		if reply := answer(t, r, m, ServerPort); reply != nil {
			t.Errorf("%s: answered %v", name, reply.Summary())
		}
	}
}

func FuzzAnswer(f *testing.F) {
	for _, c := range clients {
		f.Add(request(f, "52:54:00:12:34:56", c.mod).ToBytes(), true)
		f.Add(request(f, "52:54:00:12:34:56", c.mod, dhcpv4.WithMessageType(dhcpv4.MessageTypeRequest),
			dhcpv4.WithClientIP(net.IPv4(10, 0, 0, 101))).ToBytes(), false)
	}
	full := testResponder(f, testConfig(f, Full))
	proxy := testResponder(f, testConfig(f, Proxy))
	f.Fuzz(func(t *testing.T, packet []byte, boot bool) {
		m, err := dhcpv4.FromBytes(packet)
		if err != nil {
			return
		}
		port := ServerPort
		if boot {
			port = ProxyPort
		}
		for _, r := range []*Responder{full, proxy} {
			reply, err := r.Answer(t.Context(), m, port)
			if err == nil && reply != nil {
				if _, err := dhcpv4.FromBytes(reply.ToBytes()); err != nil {
					t.Errorf("answer does not parse: %v", err)
				}
				destination(m, reply, port, &net.UDPAddr{IP: net.IPv4(10, 0, 0, 7), Port: 68})
			}
		}
	})
}

// TestLoader is which first file UEFI machines get, by what the operator chose and what the boot directory has.
func TestLoader(t *testing.T) {
	const snponly, shim = "snponly.efi", "shimx64.efi"
	url := func(name string) string { return "http://10.0.0.1:8080/boot/" + name }
	both := files{"snponly.efi", "ipxe.efi", "shimx64.efi", "grubx64.efi"}
	for _, c := range []struct {
		name      string
		loader    Loader
		files     files
		pxe, http string // the file; else, beginning with "!", a part of the problem
	}{
		{"both", Auto, both, shim, url(snponly)}, // GRUB without HTTP: iPXE for HTTP boot
		{"unset", "", both, shim, url(snponly)},
		{"both, GRUB with HTTP", Auto, append(both, "http"), shim, url(shim)},
		{"iPXE only", Auto, allFiles, snponly, url(snponly)},
		{"shim without GRUB", Auto, files{"shimx64.efi", "ipxe.efi"}, "ipxe.efi", url("ipxe.efi")},
		{"shim only", Auto, both[2:], shim, "!no iPXE, and the boot directory's GRUB cannot load by HTTP"},
		{"iPXE chosen", WithIPXE, append(both, "http"), snponly, url(snponly)},
		{"iPXE chosen and not there", WithIPXE, both[2:], "!none of snponly.efi, ipxe.efi", "!none of"},
		{"shim chosen", WithShim, both, shim, "!cannot load by HTTP"},
		{"shim chosen, GRUB with HTTP", WithShim, append(both, "http"), shim, url(shim)},
		{"shim chosen and not there", WithShim, allFiles, "!--shim and --grub", "!--shim and --grub"},
		{"a unified kernel image", WithUKI, append(both, "node.efi"), "node.efi", url("node.efi")},
		{"a unified kernel image that nobody chose", Auto, append(both, "node.efi"), shim, url(snponly)},
		{"signed iPXE", WithIPXEShim, append(both, "sb/snponly-shim.efi", "sb/ipxe-shim.efi"), "sb/snponly-shim.efi",
			url("sb/snponly-shim.efi")},
		{"signed iPXE with its own drivers alone", WithIPXEShim, files{"sb/ipxe-shim.efi"}, "sb/ipxe-shim.efi",
			url("sb/ipxe-shim.efi")},
		{"signed iPXE that is not there", WithIPXEShim, both, "!--ipxe-shim", "!--ipxe-shim"},
		{"a unified kernel image that is not there", WithUKI, both, "!mkimage --boot-uki", "!mkimage --boot-uki"},
	} {
		for i, want := range []string{c.pxe, c.http} {
			cfg := testConfig(t, Full)
			cfg.Files, cfg.UEFILoader = c.files, c.loader
			var seen Seen
			cfg.Observe = func(s Seen) { seen = s }
			answer(t, testResponder(t, cfg), request(t, "52:54:00:00:00:01", clients[[]int{2, 4}[i]].mod), ServerPort)
			if part, problem := strings.CutPrefix(want, "!"); problem && !strings.Contains(seen.Problem, part) ||
				!problem && (seen.Given != want || seen.Problem != "") {
				t.Errorf("%s: given %q, problem %q; want %q", c.name, seen.Given, seen.Problem, want)
			}
		}
	}
	for _, c := range []struct {
		name   string
		loader Loader
		files  files
		want   string
	}{
		{"old GRUB beside the site's DHCP", Auto, both, snponly},
		{"GRUB that knows proxies", Auto, append(both, "proxy_dhcp"), shim},
		{"old GRUB, and the operator knows better", WithShim, both, shim},
		{"old GRUB alone", Auto, both[2:], ""},
	} {
		cfg := testConfig(t, Proxy)
		var problem string
		cfg.Files, cfg.UEFILoader, cfg.Observe = c.files, c.loader, func(s Seen) { problem = s.Problem }
		if reply := answer(t, testResponder(t, cfg), request(t, "52:54:00:00:00:01", clients[2].mod),
			ServerPort); c.want != "" && (reply == nil || reply.BootFileName != c.want) ||
			c.want == "" && reply != nil && reply.BootFileName != "" {
			t.Errorf("%s: %v, want %s", c.name, reply, c.want)
		}
		if c.want == "" && !strings.Contains(problem, "no iPXE, and another DHCP server gives the addresses") {
			t.Errorf("%s: the operator is told %q", c.name, problem)
		}
	}
	for _, c := range []struct { // GRUB has no TLS: by HTTPS there is iPXE, or one program that has everything
		loader Loader
		want   string
	}{{Auto, snponly}, {WithIPXE, snponly}, {WithUKI, "node.efi"}, {WithShim, "!GRUB knows nothing"}} {
		cfg := testConfig(t, Full)
		cfg.Files, cfg.UEFILoader = append(both, "http", "node.efi"), c.loader
		cfg.HTTPS = netip.MustParseAddrPort("10.0.0.1:8444")
		var seen Seen
		cfg.Observe = func(s Seen) { seen = s }
		answer(t, testResponder(t, cfg), request(t, "52:54:00:00:00:01", clients[4].mod), ServerPort)
		if part, problem := strings.CutPrefix(c.want, "!"); problem && !strings.Contains(seen.Problem, part) ||
			!problem && seen.Given != "https://10.0.0.1:8444/boot/"+c.want {
			t.Errorf("by HTTPS, %s: given %q, problem %q; want %q", c.loader, seen.Given, seen.Problem, c.want)
		}
		answer(t, testResponder(t, cfg), request(t, "52:54:00:00:00:01", clients[2].mod), ServerPort)
		if strings.Contains(seen.Given, "https:") {
			t.Errorf("PXE is sent to %q", seen.Given)
		}
	}
	ownDisks(t, both)
	// What this DHCP does not know it does not turn into something else.
	for _, c := range clients {
		var seen Seen
		cfg := testConfig(t, Full)
		cfg.Files, cfg.Observe = append(both, "undionly.kpxe"), func(s Seen) { seen = s }
		cfg.Decide = func(string) netboot.What { return "rescue" }
		reply := answer(t, testResponder(t, cfg), request(t, "52:54:00:00:00:01", c.mod), ServerPort)
		if reply != nil && reply.BootFileName != "" {
			t.Errorf("%s is to boot rescue, and is sent to %s", c.name, reply.BootFileName)
		}
		if seen.Client.Kind != Plain && !strings.Contains(seen.Problem, `boot "rescue"`) {
			t.Errorf("%s is to boot rescue, and the operator is told %+v", c.name, seen)
		}
	}
	cfg := testConfig(t, Full)
	cfg.UEFILoader = "grub"
	if _, err := NewResponder(cfg); err == nil || !strings.Contains(err.Error(), "auto, ipxe, shim") {
		t.Errorf("unknown loader: %v", err)
	}
}

// ownDisks is which first file machines get that are to boot their own disk: GRUB, which starts it, where it can be
// told so, whatever the way to the agent is.
func ownDisks(t *testing.T, both files) {
	t.Helper()
	const pxe, http, ipxe, bios = 2, 4, "http://10.0.0.1:8080/boot/boot.ipxe?mac=52-54-00-00-00-01", "undionly.kpxe"
	full := func(*Config) {}
	for _, c := range []struct {
		name      string
		cfg       func(*Config)
		files     files
		pxe, http string
	}{
		{"GRUB without HTTP", full, both, "shimx64.efi", OwnDisk},
		{"GRUB with HTTP", full, append(both, "http"), "shimx64.efi", "shimx64.efi"},
		{"iPXE chosen for the agent", func(c *Config) { c.UEFILoader = WithIPXE }, append(both, "http"), "shimx64.efi",
			"shimx64.efi"},
		{"no GRUB", full, both[:2], OwnDisk, OwnDisk},
		{"a key of the site's", func(c *Config) { c.UEFILoader = WithUKI }, append(both, "http", "node.efi"), OwnDisk,
			OwnDisk},
		{"no TFTP of ours: GRUB could not ask", func(c *Config) { c.TFTP = false }, append(both, "http"), OwnDisk,
			"shimx64.efi"},
		{"only the firmware can", func(c *Config) {
			c.Starts = func(string) netboot.Start { return netboot.Start{Firmware: "two systems"} }
		}, append(both, "http"), OwnDisk, OwnDisk},
		{"the disk comes right behind PXE", func(c *Config) {
			c.Starts = func(string) netboot.Start {
				return netboot.Start{Partition: "x", File: "y", AfterPXE: true}
			}
		}, append(both, "http"), OwnDisk, "shimx64.efi"},
		{"the disk comes right behind HTTP", func(c *Config) {
			c.Starts = func(string) netboot.Start {
				return netboot.Start{Partition: "x", File: "y", AfterHTTP: true}
			}
		}, append(both, "http"), "shimx64.efi", OwnDisk},
	} {
		for mod, want := range map[int]string{pxe: c.pxe, http: "http://10.0.0.1:8080/boot/" + c.http} {
			cfg := testConfig(t, Full)
			cfg.Files, cfg.TFTP, cfg.Decide = append(slices.Clone(c.files), bios), true,
				func(mac string) netboot.What { return decided[mac] }
			c.cfg(&cfg)
			if reply := answer(t, testResponder(t, cfg), request(t, "52:54:00:00:00:01", clients[mod].mod),
				ServerPort); reply.BootFileName != want {
				t.Errorf("%s, %s: %q, want %q", c.name, clients[mod].name, reply.BootFileName, want)
			}
		}
	}
	for name, want := range map[string]string{"bios": bios, "ipxe-uefi": ipxe} {
		cfg := testConfig(t, Full)
		cfg.Files, cfg.TFTP = append(both, bios), true
		cfg.Decide = func(mac string) netboot.What { return decided[mac] }
		i := slices.IndexFunc(clients, func(c struct {
			name string
			mod  dhcpv4.Modifier
		}) bool {
			return c.name == name
		})
		if reply := answer(t, testResponder(t, cfg), request(t, "52:54:00:00:00:01", clients[i].mod),
			ServerPort); reply.BootFileName != want {
			t.Errorf("%s with its image: %q, want %q", name, reply.BootFileName, want)
		}
	}
	// Beside the site's DHCP server an old GRUB does not find its configuration.
	for feature, want := range map[string]string{"": OwnDisk, GRUBProxy: "shimx64.efi"} {
		cfg := testConfig(t, Proxy)
		cfg.Files, cfg.TFTP = append(both, feature), true
		cfg.Decide = func(mac string) netboot.What { return decided[mac] }
		if reply := answer(t, testResponder(t, cfg), request(t, "52:54:00:00:00:01", clients[pxe].mod),
			ServerPort); reply == nil || reply.BootFileName != want {
			t.Errorf("own disk beside the site's DHCP, GRUB with %q: %q, want %s", feature, reply.BootFileName, want)
		}
	}
}

// decided is what machines boot: the first its own disk, all others the agent.
var decided = map[string]netboot.What{"52:54:00:00:00:01": netboot.OwnDisk}
