package qemutests

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/qemu-tests/site"
	"github.com/diskcast/diskcast/qemu-tests/vm"
	"github.com/diskcast/diskcast/server/doc"
)

// menuOnly skips tests of what somebody at a machine chooses outside of `make test-menu`.
func menuOnly(t *testing.T) {
	t.Helper()
	if os.Getenv("DISKCAST_MENU") == "" {
		t.Skip("make test-menu runs this (DISKCAST_MENU=1)")
	}
	installed(t, uefi, secureBoot)
}

// TestMenu has somebody sit at a machine's serial console: a rescue shell is left, an image is chosen and agreed to,
// and later the machine's own disk, of which nobody else was asked. Nobody chooses at the last start, with the server
// away, and the machine starts its own disk all the same.
func TestMenu(t *testing.T) {
	menuOnly(t)
	b := setupSite(t, 20*time.Minute, withLoaders(""))
	image := b.add("debian", debianImage(b.ctx, t))
	n := b.node("a", site.Hardware{Memory: 1024, Firmware: uefi})
	b.menu(n, "rescue", "image="+image, "own-disk", "wait", "--default", "wait", "--timeout", "10m")
	b.on(n)
	b.types(n, `Type a number and Enter\. In \d+ s: it waits`, "1\r")
	b.expect(n, "a rescue shell")
	b.types(n, `^\$ `, "sleep 2; echo this-''shell\r") // later than its first second
	b.expect(n, "this-shell")
	b.types(n, `^\$ `, "exit\r") // what is typed before is in the shell's hands
	b.types(n, "Type a number and Enter", "2\r")
	if _, err := n.Expect(b.ctx, "ALL THAT IS ON THIS DISK IS LOST"); err != nil {
		t.Fatal(err)
	}
	b.types(n, "Type yes and Enter", "yes\r")
	b.login(n)
	var sessions []doc.Session
	if err := b.Ask(b.ctx, &sessions, "session", "list", "--all"); err != nil {
		t.Fatal(err)
	}
	if len(sessions) != 2 || sessions[1].State != doc.Done || sessions[1].Spec.Menu != "bench" {
		t.Fatalf("the sessions are %+v", sessions)
	}
	if out, err := b.Operate(b.ctx, "node", "log", n.ID); err != nil ||
		!strings.Contains(out, "and agreed to lose what is on") {
		t.Errorf("the node's log does not say who wanted that: %v\n%s", err, out)
	}

	b.on(n)
	b.types(n, "Type a number and Enter", "3\r")
	b.login(n)

	b.menu(n, "own-disk", "wait", "--default", "own-disk", "--timeout", "20s")
	b.on(n)
	b.types(n, "More: the menu bench", "\x1b[B\r")
	if _, err := n.Expect(b.ctx, `In \d+ s: start its own disk`); err != nil {
		t.Fatal(err)
	}
	b.KillServer()
	if _, err := n.Expect(b.ctx, "The server does not answer"); err != nil {
		t.Fatal(err)
	}
	b.login(n)
}

// TestMenuMemtest has somebody choose the test of memory in the agent's menu, on each kind of firmware, and in the
// loader's. The test of Debian must say on the serial console that it tests. Where Secure Boot refuses it, the machine
// comes back to the menu.
func TestMenuMemtest(t *testing.T) {
	menuOnly(t)
	for _, c := range []struct {
		name     string
		firmware vm.Firmware
		loader   string
		grub13   bool
	}{
		{"bios", vm.Firmware{}, "auto", false},
		{"uefi-ipxe", uefi, "ipxe", false},
		{"uefi-grub12", uefi, "shim", false},
		{"uefi-grub13", uefi, "shim", true},
		{"secure-boot", secureBoot, "auto", false},
		{"secure-boot-grub13", secureBoot, "auto", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			grub, memtest := "", os.Getenv("DISKCAST_MEMTEST")
			if memtest == "" {
				need.Skip(t, "DISKCAST_MEMTEST names no package of Memtest86+: .ci/deb13 fetches one")
			}
			if c.grub13 {
				if grub = os.Getenv("DISKCAST_GRUB"); grub == "" {
					need.Skip(t, "DISKCAST_GRUB names no package of a GRUB 2.12: .ci/deb13 fetches one")
				}
			}
			b := setupSite(t, 8*time.Minute, withLoaders(grub, "--uefi-loader", c.loader))
			b.run("", "dpkg-deb", "-x", memtest, filepath.Join(b.dir, "memtest"))
			for name, file := range map[string]string{"memtest.bin": "memtest86+x64.bin",
				"memtest.efi": "memtest86+x64.efi"} {
				b.run("", "cp", filepath.Join(b.dir, "memtest/boot", file), filepath.Join(b.dir, "boot", name))
			}
			// By UEFI it shows nothing without a screen.
			n := b.node("a", site.Hardware{Memory: 1024, Firmware: c.firmware, Extra: []string{"-vga", "std"}})
			b.menu(n, "memtest", "wait", "--default", "wait", "--timeout", "10m")
			b.on(n)
			b.types(n, "Type a number and Enter", "1\r")
			if c.firmware.SecureBoot {
				if _, err := n.Expect(b.ctx, "a test of its memory, as was chosen"); err != nil {
					t.Fatal(err)
				}
				if _, err := n.Expect(b.ctx, "Type a number and Enter"); err != nil {
					t.Fatal(err)
				}
				return
			}
			b.tests(n)

			b.whenIdle(n, doc.IdleMenu)
			b.on(n)
			b.types(n, "Test its memory", "\x1b[B\x1b[B\r")
			b.tests(n)
		})
	}
}

// tests waits until Memtest86+ tests the machine's memory, and switches it off.
func (b *bench) tests(n *site.Node) {
	b.Helper()
	m, err := n.Expect(b.ctx, `Memtest86\+ v\d+\.\d+`)
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("%s %v after power-on", m.Groups[0], m.At.Sub(n.SwitchedOn()).Round(time.Second))
	if _, err := n.Expect(b.ctx, `(?s)#\d+ +\[.*Status: Testing`); err != nil {
		b.Fatal(err)
	}
	n.Unplug()
}

// menu gives the machine a menu with what `diskcast menu set` is told.
func (b *bench) menu(n *site.Node, args ...string) {
	b.Helper()
	for _, args := range [][]string{append([]string{"menu", "set", "bench"}, args...),
		{"rule", "set", "idle", "--mac", n.MAC, "--when-idle", doc.IdleMenuOf + "bench"}} {
		if _, err := b.Operate(b.ctx, args...); err != nil {
			b.Fatal(err)
		}
	}
}

// types waits for what the console says, and types.
func (b *bench) types(n *site.Node, pattern, keys string) {
	b.Helper()
	if _, err := n.Expect(b.ctx, pattern); err != nil {
		b.Fatal(err)
	}
	if err := n.Console().Send(keys); err != nil {
		b.Fatal(err)
	}
}
