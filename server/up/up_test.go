package up

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/diskcast/diskcast/internal/bootdir"
	"github.com/diskcast/diskcast/internal/testenv/nettest"
	"github.com/diskcast/diskcast/server/config"
	"github.com/diskcast/diskcast/server/doc"
)

const release = "6.1.0-40-amd64"

// host is a machine whose programs are imitated; its files are below a folder.
type host struct {
	root, arch, release string
	uid                 int
	heard               []doc.DHCPServer
	programs            map[string]func(dir string, args []string) ([]byte, error)
	ran                 []string
}

var _ Host = (*host)(nil)

func (h *host) UID() int                 { return h.uid }
func (h *host) Arch() string             { return h.arch }
func (h *host) Root() string             { return h.root }
func (h *host) Release() (string, error) { return h.release, nil }
func (h *host) MkImage() (string, error) { return "/imitated/mkimage", nil }
func (h *host) Look(context.Context, string, *slog.Logger) ([]doc.DHCPServer, error) {
	return h.heard, nil
}

func (h *host) Output(_ context.Context, dir, program string, args ...string) ([]byte, error) {
	name := filepath.Base(program)
	h.ran = append(h.ran, strings.Join(append([]string{name}, args...), " "))
	if f := h.programs[name]; f != nil {
		return f(dir, args)
	}
	return nil, errors.New(name + " is not here")
}

// mkimage lays out a boot directory with nothing but its manifest.
func mkimage(_ string, args []string) ([]byte, error) {
	get := func(flag string) string { return args[slices.Index(args, flag)+1] }
	m := bootdir.Manifest{V: 1, Kernel: release, Modules: []string{"ext4"}, Cmdline: bootdir.Words,
		Site: bootdir.Site{V: 1, Server: get("--server"), Pin: get("--pin")}}
	if m.Arch = bootdir.Arch(get("--arch")); m.Arch == bootdir.ARM64 {
		m.Kernel = "6.1.0-40-arm64"
	}
	if slices.Contains(args, "--console") {
		m.Site.Console = get("--console")
		m.Cmdline = "console=tty0 console=" + m.Site.Console + " " + m.Cmdline
	}
	if slices.Contains(args, "--vlan") {
		m.Site.VLAN, m.Site.Bond = 120, get("--bond")
		if get("--vlan") != "120" {
			return nil, errors.New("VLAN " + get("--vlan"))
		}
	}
	if slices.Contains(args, "--append") {
		m.Cmdline += " " + get("--append")
	}
	text, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	dir := get("--out")
	var tests []string // with their content: the directory is made anew
	for i, a := range args {
		if a == "--memtest" {
			tests = append(tests, args[i+1])
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, bootdir.ManifestFile), text, 0o644); err != nil {
		return nil, err
	}
	if len(tests) == 1 && !strings.HasPrefix(tests[0], dir) { // a package, or what is installed: both programs
		for _, name := range []string{bootdir.MemtestBIOS, bootdir.MemtestUEFI} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte("test"), 0o644); err != nil {
				return nil, err
			}
		}
	}
	return json.Marshal(map[string]any{"notes": []string{"no iPXE"}, "manifest": m})
}

func newHost(t *testing.T) *host {
	h := &host{root: t.TempDir(), arch: "amd64", release: release, heard: []doc.DHCPServer{{Server: "10.77.0.9",
		Gives: "addresses"}}, programs: map[string]func(string, []string) ([]byte, error){"mkimage": mkimage}}
	for _, d := range []string{"boot", "etc", "lib/modules/" + release + "/kernel"} {
		if err := os.MkdirAll(filepath.Join(h.root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{"boot/vmlinuz-" + release: "kernel", "etc/os-release": "ID=debian\n"} {
		if err := os.WriteFile(filepath.Join(h.root, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

// options are those of an up whose state and settings are in a folder of its own.
func options(t *testing.T, h *host) Options {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return Options{State: filepath.Join(dir, "state"), File: filepath.Join(dir, "etc/diskcast.toml"), Host: h,
		Log: slog.New(slog.DiscardHandler)}
}

// run runs up in the network's server side.
func run(t *testing.T, n *nettest.Net, o Options) (*Result, error) {
	t.Helper()
	var r *Result
	var err error
	n.Do(func() { r, err = Run(t.Context(), o) })
	return r, err
}

// hashes are of all files below a folder, with mode and owner.
func hashes(t *testing.T, dir string) string {
	var b strings.Builder
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		info, err := d.Info()
		fmt.Fprintf(&b, "%s %v %x\n", name, info.Mode(), sha256.Sum256(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestFromNothingAndAgain(t *testing.T) {
	n := nettest.New(t)
	h := newHost(t)
	o := options(t, h)
	o.DryRun = true
	r, err := run(t, n, o)
	if err != nil {
		t.Fatal(err)
	}
	if got := hashes(t, filepath.Dir(o.State)); got != "" || r.Changed {
		t.Errorf("a dry run made\n%s", got)
	}
	o.DryRun = false
	if r, err = run(t, n, o); err != nil {
		t.Fatal(err)
	}
	if r.URL != "https://10.77.0.1:8443" || !r.Changed || r.Serving || r.Settings.DHCP != "proxy" ||
		r.Settings.Interface != nettest.Server {
		t.Errorf("%+v %+v", r, r.Settings)
	}
	if _, err := os.Stat(r.Token); err != nil {
		t.Error(err)
	}
	f, err := config.Read(o.File)
	if err != nil {
		t.Fatal(err)
	}
	if s := f.Settings(); s.Interface != nettest.Server || s.DHCP != "proxy" || s.State != o.State {
		t.Errorf("settings file: %+v", s)
	}
	before := hashes(t, filepath.Dir(o.State))
	if strings.Count(before, "\n") != 4 {
		t.Errorf("want key, token, manifest and settings:\n%s", before)
	}
	h.ran, h.heard = nil, nil // what was decided is not asked again
	if r, err = run(t, n, o); err != nil {
		t.Fatal(err)
	}
	if after := hashes(t, filepath.Dir(o.State)); after != before || r.Changed || len(h.ran) > 0 {
		t.Errorf("run again, it changed something (ran %v):\n%s\n%s", h.ran, before, after)
	}
	o.Kernel = filepath.Join(h.root, "boot")
	if r, err = run(t, n, o); err != nil || r.Changed {
		t.Errorf("the same kernel again: %+v, %v", r, err)
	}
	o.Kernel = ""
	for _, x := range []struct {
		o    func(o *Options)
		want string
	}{
		{func(o *Options) { o.Interface = "eth9" }, o.File + ":"},
		{func(o *Options) { o.DHCP = "full" }, `--dhcp says "full"`},
	} {
		p := o
		x.o(&p)
		if _, err := run(t, n, p); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%v, want %q", err, x.want)
		}
	}
}

// Each refusal names its cause and the next step, and comes before the first file is written.
// TestMemtest: --memtest has the boot directory made with the memory tests, anew where it is there without; run again
// nothing is done, and what is made anew keeps them. What is not there is refused before anything is written.
func TestMemtest(t *testing.T) {
	n := nettest.New(t)
	h := newHost(t)
	o := options(t, h)
	o.Memtest = "auto"
	if _, err := run(t, n, o); err == nil || !strings.Contains(err.Error(), "apt install memtest86+") ||
		len(h.ran) > 0 {
		t.Fatalf("without the package: %v, and it ran %q", err, h.ran)
	}
	o.Memtest = ""
	if _, err := run(t, n, o); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(h.root, "boot/memtest86+x64.efi"), []byte("test"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ memtest, kernel, want string }{
		{"auto", "", "--memtest auto"},
		{"auto", "", ""}, // they are there
		{"", "linux-image-" + release, "boot/memtest.bin --memtest "},
	} {
		o.Memtest, o.Kernel = c.memtest, ""
		h.ran = nil
		if c.kernel != "" {
			o.Kernel = filepath.Join(h.root, "boot/vmlinuz-"+release)
		}
		if _, err := run(t, n, o); err != nil {
			t.Fatal(err)
		}
		ran := strings.Join(h.ran, "\n")
		if c.want == "" && strings.Contains(ran, "mkimage") || !strings.Contains(ran, c.want) {
			t.Errorf("%+v: it ran %q", c, ran)
		}
	}
}

// TestOneAtATime runs up while another one makes the boot directory: it is refused before it looks at anything, and the
// first one is not disturbed. Afterwards nobody is in the way.
func TestOneAtATime(t *testing.T) {
	n := nettest.New(t)
	h := newHost(t)
	o := options(t, h)
	second := 0
	h.programs["mkimage"] = func(dir string, args []string) ([]byte, error) {
		for name, change := range map[string]func(*Options){"the same": func(*Options) {},
			"another settings file": func(o *Options) { o.File += ".other" },
			"another state":         func(o *Options) { o.State += ".other" }} {
			other := o
			change(&other)
			ran := len(h.ran)
			_, err := Run(t.Context(), other)
			if err == nil || !strings.Contains(err.Error(), "another `diskcast up`") ||
				!strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) || len(h.ran) != ran {
				t.Errorf("%s: %v, and it ran %q", name, err, h.ran[ran:])
			}
			second++
		}
		other := o
		other.DryRun = true
		if _, err := Run(t.Context(), other); err != nil {
			t.Errorf("a dry run: %v", err)
		}
		return mkimage(dir, args)
	}
	if _, err := run(t, n, o); err != nil || second != 3 {
		t.Fatalf("the first, with %d beside it: %v", second, err)
	}
	if _, err := run(t, n, o); err != nil {
		t.Error(err)
	}
}

func TestRefusals(t *testing.T) {
	n := nettest.New(t)
	for name, c := range map[string]struct {
		with func(t *testing.T, h *host, o *Options)
		want []string
	}{
		"no root": {func(_ *testing.T, h *host, _ *Options) { h.uid = 1000 }, []string{"sudo"}},
		"no DHCP server": {func(_ *testing.T, h *host, _ *Options) { h.heard = nil },
			[]string{"--dhcp full", "srv0"}},
		"one beside full": {func(_ *testing.T, _ *host, o *Options) { o.DHCP = "full" }, []string{"10.77.0.9"}},
		"no such way":     {func(_ *testing.T, _ *host, o *Options) { o.DHCP = "on" }, []string{"proxy nor full"}},
		"no such interface": {func(_ *testing.T, _ *host, o *Options) { o.Interface = "eth7" },
			[]string{"eth7", "srv0"}},
		"no kernel, no apt's": {func(t *testing.T, h *host, _ *Options) {
			remove(t, filepath.Join(h.root, "lib/modules"))
			remove(t, filepath.Join(h.root, "etc/os-release"))
		}, []string{"no modules in", "--kernel"}},
		"another processor": {func(_ *testing.T, h *host, _ *Options) { h.arch = "arm64" },
			[]string{"arm64", "--kernel"}},
		"no such kernel": {func(_ *testing.T, _ *host, o *Options) { o.Kernel = "/none.deb" }, []string{"/none.deb"}},
		"somebody's state": {func(t *testing.T, _ *host, o *Options) {
			if err := errors.Join(os.Mkdir(o.State, 0o700), os.Chown(o.State, 54321, 54321)); err != nil {
				t.Fatal(err)
			}
		}, []string{"54321", "--state"}},
		"other files in the state": {func(t *testing.T, _ *host, o *Options) {
			if err := errors.Join(os.Mkdir(o.State, 0o700),
				os.WriteFile(filepath.Join(o.State, "thesis.doc"), nil, 0o600)); err != nil {
				t.Fatal(err)
			}
		}, []string{"thesis.doc", "--state"}},
		"a wrong settings file": {func(t *testing.T, _ *host, o *Options) {
			if err := errors.Join(os.Mkdir(filepath.Dir(o.File), 0o755),
				os.WriteFile(o.File, []byte("\ninterfase = \"x\"\n"), 0o644)); err != nil {
				t.Fatal(err)
			}
		}, []string{"diskcast.toml:2:", "did you mean interface"}},
		"not the unit's state": {func(t *testing.T, h *host, _ *Options) {
			if err := os.MkdirAll(filepath.Join(h.root, "run/systemd/system"), 0o755); err != nil {
				t.Fatal(err)
			}
			h.programs["systemctl"] = func(string, []string) ([]byte, error) { return []byte("root\n"), nil }
		}, []string{"diskcast.service", "--foreground"}},
		"an image, and nobody who serves": {func(_ *testing.T, _ *host, o *Options) { o.After = "--image" },
			[]string{"--image is for a server", "does not run systemd", "diskcast image import"}},
		"an image, and the foreground": {func(_ *testing.T, _ *host, o *Options) { o.After, o.Alone = "--file", true },
			[]string{"--file is for a server", "--foreground", "diskcast apply"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			o := options(t, h)
			c.with(t, h, &o)
			before := hashes(t, filepath.Dir(o.State))
			_, err := run(t, n, o)
			for _, w := range c.want {
				if err == nil || !strings.Contains(err.Error(), w) {
					t.Errorf("got %v, want %q", err, w)
				}
			}
			if after := hashes(t, filepath.Dir(o.State)); after != before {
				t.Errorf("it wrote\n%s", after)
			}
		})
	}
	for port, hold := range map[string]func() (interface{ Close() error }, error){
		"TCP :8443":   func() (interface{ Close() error }, error) { return net.Listen("tcp", ":8443") },
		"UDP port 67": func() (interface{ Close() error }, error) { return net.ListenPacket("udp4", ":67") },
		"UDP port 69": func() (interface{ Close() error }, error) { return net.ListenPacket("udp4", ":69") },
	} {
		var c interface{ Close() error }
		var err error
		n.Do(func() { c, err = hold() })
		if err != nil {
			t.Fatal(err)
		}
		_, err = run(t, n, options(t, newHost(t)))
		if self := fmt.Sprintf("(pid %d)", os.Getpid()); err == nil || !strings.Contains(err.Error(), port) ||
			!strings.Contains(err.Error(), self) || !strings.Contains(err.Error(), "stop that program") {
			t.Errorf("%s: %v, want who has it, %s", port, err, self)
		}
		c.Close()
	}
}

func remove(t *testing.T, name string) {
	if err := os.RemoveAll(name); err != nil {
		t.Fatal(err)
	}
}

func TestFull(t *testing.T) {
	n := nettest.New(t)
	h := newHost(t)
	h.heard = nil
	o := options(t, h)
	o.DHCP = "full"
	r, err := run(t, n, o)
	if err != nil || r.Settings.DHCP != "full" || r.Settings.Range != "10.77.0.128-10.77.0.254" {
		t.Errorf("%+v, %v", r, err)
	}
	for lan, want := range map[string]string{"10.0.0.1/29": "10.0.0.4-10.0.0.6",
		"10.1.2.3/16": "10.1.251.255-10.1.255.254",
		"10.0.0.1/30": ""} {
		if got, err := upperHalf(netip.MustParsePrefix(lan)); got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %s, %v, want %s", lan, got, err, want)
		}
	}
}

// TestAnotherLAN: a server that is moved makes its boot directory anew, says why and with which kernel in the place of
// which; settings that do not fit the new LAN are refused before anything is done, in a dry run as well.
func TestAnotherLAN(t *testing.T) {
	for _, mode := range []string{"proxy", "full"} {
		n := nettest.New(t)
		h := newHost(t)
		o := options(t, h)
		if o.DHCP = mode; mode == "full" {
			h.heard = nil
		}
		if _, err := run(t, n, o); err != nil {
			t.Fatal(err)
		}
		move(t, n)
		h.release = "6.12.0-1-amd64"
		for _, d := range []string{"boot/vmlinuz-" + h.release, "lib/modules/" + h.release + "/kernel"} {
			if err := os.MkdirAll(filepath.Join(h.root, d), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		before := hashes(t, filepath.Dir(o.State))
		o.DHCP, o.DryRun = "", true
		r, err := run(t, n, o)
		if mode == "full" {
			if err == nil || !strings.Contains(err.Error(), "diskcast.toml:") ||
				!strings.Contains(err.Error(), "10.88.0.1/24") {
				t.Errorf("a range of another LAN: %v", err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		said := fmt.Sprint(r.Steps)
		for _, want := range []string{"Linux " + release, h.release, "leads nodes to https://10.77.0.1:8443",
			"https://10.88.0.1:8443", "made anew"} {
			if !strings.Contains(said, want) {
				t.Errorf("it says %s, want %q", said, want)
			}
		}
		if after := hashes(t, filepath.Dir(o.State)); after != before {
			t.Errorf("a dry run wrote\n%s", after)
		}
	}
}

// TestKernelWordsAreKept: console and words that an operator gave the boot directory are in it after it was made anew,
// for another kernel or another LAN; what cannot be kept is said, and a run that makes nothing changes nothing.
func TestKernelWordsAreKept(t *testing.T) {
	n := nettest.New(t)
	h := newHost(t)
	o := options(t, h)
	o.Console = "ttyS0,115200"
	if _, err := run(t, n, o); err != nil {
		t.Fatal(err)
	}
	o.Console = ""
	file := filepath.Join(o.State, "boot", bootdir.ManifestFile)
	read := func() (m bootdir.Manifest) {
		t.Helper()
		text, err := os.ReadFile(file)
		if err == nil {
			err = json.Unmarshal(text, &m)
		}
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	write := func(change func(m *bootdir.Manifest)) {
		t.Helper()
		m := read()
		change(&m)
		text, err := json.Marshal(m)
		if err == nil {
			err = os.WriteFile(file, text, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	write(func(m *bootdir.Manifest) { // as mkimage --append, --vlan and --bond do
		m.Cmdline += " nomodeset pci=noaer"
		m.Site.VLAN, m.Site.Bond = 120, "802.3ad"
	})
	before := read()
	check := func(what string, r *Result) {
		t.Helper()
		m := read()
		if m.Cmdline != before.Cmdline || m.Site.Console != before.Site.Console {
			t.Errorf("%s: words %q, console %q; want %q, %q", what, m.Cmdline, m.Site.Console, before.Cmdline,
				before.Site.Console)
		}
		if m.Site != before.Site && what != "another LAN" {
			t.Errorf("%s: the site is %+v; want %+v", what, m.Site, before.Site)
		}
		if m.Site.VLAN != 120 || m.Site.Bond != "802.3ad" {
			t.Errorf("%s: the nodes are wired otherwise: %+v", what, m.Site)
		}
		const kept = `"nomodeset pci=noaer" are kept`
		if said := fmt.Sprint(r.Steps); what != "again" && !strings.Contains(said, kept) {
			t.Errorf("%s: it says %s", what, said)
		}
	}
	again := func(what string) *Result {
		t.Helper()
		r, err := run(t, n, o)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		return r
	}
	check("again", again("again"))
	o.Kernel = filepath.Join(h.root, "boot")
	check("another kernel", again("another kernel"))
	r := again("the same kernel again")
	check("the same kernel again", r)
	if said := fmt.Sprint(r.Steps); !strings.Contains(said, "it was made anew, and each file is as it was") {
		t.Errorf("the same kernel again: it says %s", said)
	}
	o.Kernel = ""
	move(t, n)
	o.DHCP = ""
	check("another LAN", again("another LAN"))
	write(func(m *bootdir.Manifest) { m.Cmdline = "console=tty0 panic=5 nomodeset" })
	o.Kernel = filepath.Join(h.root, "boot")
	said := fmt.Sprint(again("another release").Steps)
	for _, want := range []string{`"console=tty0 panic=5 nomodeset"`, "none is kept"} {
		if !strings.Contains(said, want) {
			t.Errorf("another release's words: it says %s, want %q", said, want)
		}
	}
	if m := read(); m.Site.Console != before.Site.Console {
		t.Errorf("the console is %q", m.Site.Console)
	}
}

// move gives the server's interface an address of another LAN in the place of its own.
func move(t *testing.T, n *nettest.Net) {
	t.Helper()
	n.Do(func() {
		link, err := netlink.LinkByName(nettest.Server)
		if err != nil {
			t.Error(err)
			return
		}
		for cidr, f := range map[string]func(netlink.Link, *netlink.Addr) error{nettest.ServerCIDR: netlink.AddrDel,
			"10.88.0.1/24": netlink.AddrAdd} {
			a, err := netlink.ParseAddr(cidr)
			if err == nil {
				err = f(link, a)
			}
			if err != nil {
				t.Error(err)
			}
		}
	})
}

// TestRelease says that another release made the boot directory which stays.
func TestRelease(t *testing.T) {
	m := &bootdir.Manifest{Kernel: release, Generator: "mkimage 1.0"}
	for version, want := range map[string]bool{"1.1": true, "1.0": false, "dev": false, "": false} {
		w := &work{Options: Options{Version: version}}
		if got := w.release(m, "--kernel linux-image-"+m.Kernel); (got != "") != want ||
			want && !strings.Contains(got, "--kernel linux-image-"+release) {
			t.Errorf("%s: %q", version, got)
		}
	}
}

func TestChoose(t *testing.T) {
	fits := func(name, a string) Candidate { return Candidate{Name: name, Addr: netip.MustParsePrefix(a)} }
	lab, site := fits("eth1", "10.0.0.1/24"), fits("eth0", "192.168.1.2/24")
	bridge := Candidate{Name: "docker0", Why: "is of containers"}
	down := Candidate{Name: "eth2", Why: "is down"}
	for _, c := range []struct {
		all  []Candidate
		want string
		got  string // or the words of the error, all of them
	}{
		{[]Candidate{bridge, lab, down}, "", "eth1"},
		{[]Candidate{site, lab}, "eth1", "eth1"},
		{[]Candidate{lab, bridge}, "docker0", "docker0"},
		{[]Candidate{site, lab, down}, "", "2 interfaces fit|--interface|eth0  192.168.1.2/24  fits|eth2  is down"},
		{[]Candidate{lab, down}, "eth2", "eth2 is down|eth1  10.0.0.1/24  fits"},
		{[]Candidate{lab}, "eth9", "no interface eth9|eth1"},
		{[]Candidate{bridge}, "", "no interface fits|docker0"},
		{nil, "", "no interface fits|loopback"},
	} {
		got, why, err := Choose(c.all, c.want)
		if err == nil {
			if got.Name != c.got || why == "" {
				t.Errorf("%v, %q: %s (%s), want %s", c.all, c.want, got.Name, why, c.got)
			}
			continue
		}
		for w := range strings.SplitSeq(c.got, "|") {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%v, %q: %v, want %q", c.all, c.want, err, w)
			}
		}
	}
	for name, want := range map[string]bool{"docker0": true, "br-0123456789ab": true, "br0": false, "br-lan": false,
		"virbr0": true, "veth12ab": true, "enp3s0": false} {
		if ofContainers().MatchString(name) != want {
			t.Errorf("%s of containers: %v", name, !want)
		}
	}
}
