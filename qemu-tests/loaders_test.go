package qemutests

import (
	"cmp"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/qemu-tests/lab"
	"github.com/diskcast/diskcast/qemu-tests/osimage"
	"github.com/diskcast/diskcast/qemu-tests/site"
	"github.com/diskcast/diskcast/qemu-tests/vm"
)

// TestBootLoaders images a machine with a disk of each kind of boot loader, lets the agent start it, switches it off
// and on again without the network, and sees that the same entry was started both times: the one that the machine's own
// loader chooses.
func TestBootLoaders(t *testing.T) {
	bootOnly(t)
	for _, c := range []struct {
		kind     string
		firmware vm.Firmware
		entry    string // that must be started; empty: the kernel's command line tells nothing
		banner   string // instead of a login
		root     string // folder of its file system that must be the root; empty: the top
	}{
		{"systemd-boot", uefi, "tries-left", "", ""},
		{"uki", uefi, "uki", "", ""},
		{"mbr-gap", vm.Firmware{}, "", "", ""},
		// The hypervisor's own words show that it was started; its first guest is slow under an emulated processor.
		{"xen", vm.Firmware{}, "", `\(XEN\).*Xen version 4`, ""},
		// The default subvolume was changed. GRUB was told the new one's path; EXTLINUX, which knows none, takes the
		// kernel at the top.
		{"btrfs", vm.Firmware{}, "after", "", "/@/.snapshots/2/snapshot"},
		{"btrfs-extlinux", vm.Firmware{}, "top", "", "/@after"},
		{"btrfs-suse", vm.Firmware{}, "after", "", "/@/.snapshots/2/snapshot"},
	} {
		t.Run(c.kind, func(t *testing.T) {
			b := setup(t, 10*time.Minute, lab.Options{})
			image, _ := b.variant(c.kind)
			n := b.node("a", site.Hardware{Memory: 1024, Firmware: c.firmware})
			se := b.create(image, []*site.Node{n})
			b.on(n)
			v := b.done(se)
			p := v.Parts[n.ID]
			t.Logf("entry: %s", p.Steps[session.StepEntry].Message)
			t.Logf("boot: %s", p.Steps[session.StepBoot].Message)
			if p.Warning != "" || p.Unbootable != "" {
				t.Errorf("the part has the warning %q, unbootable %q", p.Warning, p.Unbootable)
			}
			b.started(n, c.entry, c.banner, c.root)
			if c.kind == "btrfs-suse" {
				return // only openSUSE's own GRUB would start it
			}

			b.on(n)
			if err := n.Cable(b.ctx, false); err != nil {
				t.Fatal(err)
			}
			b.started(n, c.entry, c.banner, c.root)
		})
	}
}

// started waits for the restored system, sees that it is the right entry's with the right root, and switches the
// machine off.
func (b *bench) started(n *site.Node, entry, banner, root string) {
	b.Helper()
	if banner != "" {
		if _, err := n.Expect(b.ctx, banner); err != nil {
			b.Fatal(err)
		}
		b.Logf("%q %v after power-on", banner, time.Since(n.SwitchedOn()).Round(time.Second))
		n.Unplug()
		return
	}
	if _, err := n.Expect(b.ctx, osimage.LoginPrompt); err != nil {
		b.Fatal(err)
	}
	b.Logf("login prompt %v after power-on", time.Since(n.SwitchedOn()).Round(time.Second))
	if err := osimage.Login(b.ctx, n.VM); err != nil {
		b.Fatal(err)
	}
	if err := n.Console().Send("echo started-''by: $(cat /proc/cmdline)\n"); err != nil {
		b.Fatal(err)
	}
	m, err := n.Expect(b.ctx, `^started-by: (.*)\n`)
	if err != nil {
		b.Fatal(err)
	}
	got := ""
	for _, word := range strings.Fields(m.Groups[1]) {
		if value, ok := strings.CutPrefix(word, osimage.Entry); ok {
			got = value
		}
	}
	if got != entry {
		b.Errorf("the entry %q was started, want %q: %s", got, entry, m.Groups[1])
	}
	if err := n.Console().Send("echo root-''folder: $(findmnt -no FSROOT /)\n"); err != nil {
		b.Fatal(err)
	}
	if m, err = n.Expect(b.ctx, `^root-folder: (.*)\n`); err != nil {
		b.Fatal(err)
	}
	if got := strings.TrimSpace(m.Groups[1]); got != cmp.Or(root, "/") {
		b.Errorf("the root is %q of its file system, want %q", got, cmp.Or(root, "/"))
	}
	if err := n.Console().Send(osimage.PowerOff); err != nil {
		b.Fatal(err)
	}
	b.off(n)
}
