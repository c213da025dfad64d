package qemutests

import (
	"cmp"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/qemu-tests/osimage"
	"github.com/diskcast/diskcast/qemu-tests/site"
	"github.com/diskcast/diskcast/qemu-tests/vm"
	"github.com/diskcast/diskcast/server/doc"
)

// ovmf is where Debian's and Ubuntu's package ovmf has its images.
const ovmf = "/usr/share/OVMF/"

var (
	uefi = vm.Firmware{Code: ovmf + "OVMF_CODE_4M.fd", Vars: ovmf + "OVMF_VARS_4M.fd"}
	// Microsoft's keys are enrolled in these variables, and Secure Boot is on.
	secureBoot = vm.Firmware{Code: ovmf + "OVMF_CODE_4M.ms.fd", Vars: ovmf + "OVMF_VARS_4M.ms.fd", SecureBoot: true}
	// onlyHTTP has OVMF try nothing but UEFI HTTP boot.
	onlyHTTP = []string{"-fw_cfg", "name=opt/org.tianocore/IPv4PXESupport,string=n", "-fw_cfg",
		"name=opt/org.tianocore/IPv6PXESupport,string=n"}
)

// firmwareOnly skips tests of firmware outside of `make test-firmware`: they take long, and what they look at changes
// seldom.
func firmwareOnly(t *testing.T) {
	t.Helper()
	if os.Getenv("DISKCAST_FIRMWARE") == "" {
		t.Skip("make test-firmware runs this (DISKCAST_FIRMWARE=1)")
	}
	installed(t, uefi, secureBoot)
}

// installed wants firmware to be there.
func installed(t *testing.T, firmware ...vm.Firmware) {
	t.Helper()
	for _, f := range firmware {
		for _, name := range []string{f.Code, f.Vars} {
			if _, err := os.Stat(name); err != nil {
				t.Fatalf("%v: .ci/packages firmware", err)
			}
		}
	}
}

// withLoaders is a site whose boot directory has shim and GRUB as well as iPXE; Debian 12's GRUB, or the package named.
func withLoaders(grub string, serve ...string) func(*osimage.Image) site.Options {
	return func(debian *osimage.Image) site.Options {
		return site.Options{Shim: debian.Shim, GRUB: cmp.Or(grub, debian.GRUB), ServeArgs: serve}
	}
}

// TestFirmware brings a node from each kind of firmware to the agent's hello, and looks at the way that it took.
func TestFirmware(t *testing.T) {
	firmwareOnly(t)
	const (
		byHTTP = "UEFI HTTP on UEFI, sent to http://10.77.0.1:8080/boot/"
		byPXE  = "PXE on UEFI, sent to "
	)
	for _, c := range []struct {
		name     string
		firmware vm.Firmware
		extra    []string
		proxy    bool // beside a DHCP server of the site
		grub13   bool // Debian 13's GRUB instead of 12's
		loader   string
		first    string // what the machine's own DHCP request is answered with
		script   string // boot.ipxe or grub.cfg
	}{
		{"bios", vm.Firmware{}, nil, false, false, "auto", "iPXE on BIOS, sent to http://", "boot.ipxe by http"},
		{"uefi-ipxe", uefi, nil, false, false, "ipxe", byPXE + "snponly.efi", "boot.ipxe by http"},
		{"uefi-shim", uefi, nil, false, false, "auto", byPXE + "shimx64.efi", "grub.cfg by tftp"},
		{"uefi-http", uefi, onlyHTTP, false, false, "auto", byHTTP + "snponly.efi", "boot.ipxe by http"},
		{"uefi-proxy", uefi, nil, true, false, "auto", byPXE + "snponly.efi", "boot.ipxe by http"},
		{"secure-boot", secureBoot, nil, false, false, "auto", byPXE + "shimx64.efi", "grub.cfg by tftp"},
		{"secure-boot-proxy", secureBoot, nil, true, true, "auto", byPXE + "shimx64.efi", "grub.cfg by tftp"},
		{"secure-boot-http", secureBoot, onlyHTTP, false, true, "auto", byHTTP + "shimx64.efi",
			"grub/grub.cfg by http"},
	} {
		t.Run(c.name, func(t *testing.T) {
			grub, serve := "", []string{"--uefi-loader", c.loader}
			if c.grub13 {
				if grub = os.Getenv("DISKCAST_GRUB"); grub == "" {
					need.Skip(t, "DISKCAST_GRUB names no package of a GRUB 2.12: .ci/deb13 fetches one")
				}
			}
			if c.proxy {
				serve = append(serve, "--dhcp", "proxy")
			}
			b := setupSite(t, 6*time.Minute, withLoaders(grub, serve...))
			if c.proxy {
				b.siteDHCP()
			}
			image, _ := b.small(0)
			n := b.node("a", site.Hardware{Memory: 1024, Firmware: c.firmware, Extra: c.extra})
			// The second node never comes: the session waits, and the first stays in its agent.
			absent := &site.Node{MAC: "52:54:00:dc:ff:ff"}
			se := b.create(image, []*site.Node{n, absent}, "--min-nodes", "2", "--max-wait", "10m")
			b.on(n)
			v := b.until(se, "the agent's hello", func(v site.View) bool { return reached(v, n, session.StepAgent) })
			b.way(v, n, c.first, c.script)
			b.firmware(n, c.firmware)
		})
	}
}

// firmware holds what a node says of its firmware against what it has.
func (b *bench) firmware(n *site.Node, f vm.Firmware) {
	b.Helper()
	var node doc.Node
	if err := b.Ask(b.ctx, &node, "node", "show", n.MAC); err != nil {
		b.Fatal(err)
	}
	kind, lockdown := session.BIOS, "none"
	if f.Code != "" {
		kind = session.UEFI
	}
	if f.SecureBoot {
		lockdown = "integrity"
	}
	inv := &node.Inventory
	if inv.Firmware != kind || inv.SecureBoot != f.SecureBoot || inv.Lockdown != lockdown {
		b.Errorf("the node says: firmware %s, Secure Boot %v, lockdown %s; want %s, %v, %s", inv.Firmware,
			inv.SecureBoot, inv.Lockdown, kind, f.SecureBoot, lockdown)
	}
}

// TestSecureBoot is the whole line on a machine as it left the factory, with Microsoft's keys and no other: shim, GRUB,
// the signed kernel, the image, kexec under lockdown, and the login prompt. Switched on again it is told to boot its
// own disk, and does.
func TestSecureBoot(t *testing.T) {
	firmwareOnly(t)
	b := setupSite(t, 12*time.Minute, withLoaders(""))
	debian := debianImage(b.ctx, t)
	n := b.node("a", site.Hardware{Memory: 1024, Firmware: secureBoot})
	se := b.create(b.add("debian", debian), []*site.Node{n})
	b.on(n)
	v := b.done(se)
	b.way(v, n, "PXE on UEFI, sent to shimx64.efi", "grub.cfg by tftp")
	b.firmware(n, secureBoot)
	b.lockedLogin(n)
	b.off(n)

	b.on(n)
	b.lockedLogin(n)
	var node doc.Node
	if err := b.Ask(b.ctx, &node, "node", "show", n.MAC); err != nil {
		b.Fatal(err)
	}
	if _, ok := node.Trace[doc.StepLocal]; !ok {
		b.Errorf("the server did not tell the node to boot its own disk: %v", node.Trace)
	}
	b.off(n)
	b.same(n, debian, osimage.BootWrites...)
}

// lockedLogin waits for the login prompt, logs in, sees that the system is locked down as Secure Boot wants, and
// switches it off.
func (b *bench) lockedLogin(n *site.Node) {
	b.Helper()
	if _, err := n.Expect(b.ctx, osimage.LoginPrompt); err != nil {
		b.Fatal(err)
	}
	b.Logf("login prompt %v after power-on", time.Since(n.SwitchedOn()).Round(time.Second))
	if err := osimage.Login(b.ctx, n.VM); err != nil {
		b.Fatal(err)
	}
	if err := n.Console().Send("echo locked-''down: $(cat /sys/kernel/security/lockdown)\n"); err != nil {
		b.Fatal(err)
	}
	m, err := n.Expect(b.ctx, `^locked-down: (.*)\n`)
	if err != nil {
		b.Fatal(err)
	}
	if !strings.Contains(m.Groups[1], "[integrity]") {
		b.Errorf("the restored system's lockdown: %s", m.Groups[1])
	}
	if err := n.Console().Send(osimage.PowerOff); err != nil {
		b.Fatal(err)
	}
}

// way logs when a node took each step to its agent, and holds two of them against what they should be.
func (b *bench) way(v site.View, n *site.Node, first, script string) {
	b.Helper()
	steps(b.T, n, v.Parts[n.ID].Steps, map[string]string{doc.StepDHCP: first, doc.StepScript: script})
}

// steps logs when a node took each step to its agent, and holds some of them against how they should begin.
func steps(t *testing.T, n *site.Node, took map[string]doc.Mark, want map[string]string) {
	t.Helper()
	for _, name := range doc.TimelineSteps {
		if m, ok := took[name]; ok {
			t.Logf("%5.1f s  %-10s %s", m.Time.Sub(n.SwitchedOn()).Seconds(), name, m.Message)
		}
	}
	for step, want := range want {
		if got := took[step].Message; !strings.HasPrefix(got, want) {
			t.Errorf("step %s: %q, want %q", step, got, want)
		}
	}
}

// came waits for the hello of a node's agent, and returns what the server knows of the node.
func (b *bench) came(t *testing.T, n *site.Node) doc.Node {
	t.Helper()
	b.hello(t, n)
	t.Logf("the agent's hello %v after power-on", time.Since(n.SwitchedOn()).Round(time.Second))
	var node doc.Node
	if err := b.Ask(b.ctx, &node, "node", "show", n.MAC); err != nil {
		t.Fatal(err)
	}
	return node
}
