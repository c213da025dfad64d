package qemutests

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/testenv/uml"
	"github.com/diskcast/diskcast/qemu-tests/lab"
	"github.com/diskcast/diskcast/qemu-tests/osimage"
	"github.com/diskcast/diskcast/qemu-tests/site"
	"github.com/diskcast/diskcast/qemu-tests/vm"
)

// TestBootCells takes machines with each loader and each kind of root from power-on to their login, which they show
// three times over: started by the agent, and switched off and on with the network dead. Who logs in is told the entry,
// the root, and the devices that it is in; then each layer's own checker looks at the disks.
func TestBootCells(t *testing.T) {
	if os.Getenv("DISKCAST_CELLS") == "" {
		t.Skip("make test-cells runs this (DISKCAST_CELLS=1)")
	}
	installed(t, uefi)
	need.Tools(t, "grub-install", "grub-mkconfig", "extlinux", "objcopy", "mkfs.xfs", "mkfs.btrfs", "btrfs", "lvm",
		"mdadm", "insmod", uml.Program)
	b := setup(t, 5*time.Hour, lab.Options{})
	for _, loader := range osimage.CellLoaders {
		t.Run(loader, func(t *testing.T) {
			for _, root := range osimage.CellRoots {
				t.Run(root, func(t *testing.T) { b.cell(t, loader, root) })
			}
		})
	}
}

// cellFacts is what a logged-in person is told of the root: its file system and the folder of it, the devices that it
// is in, and how many RAIDs there are and how many of them are whole.
var cellFacts = map[string]struct{ fs, layers string }{
	"ext4":  {"ext4 /", "part disk"},
	"xfs":   {"xfs /", "part disk"},
	"btrfs": {"btrfs /@rootfs", "part disk"},
	"lvm":   {"ext4 /", "lvm part disk"},
	"md":    {"ext4 /", "raid1 part disk part disk"},
}

// cell is one machine.
func (all *bench) cell(t *testing.T, loader, root string) {
	ctx, cancel := context.WithTimeout(all.ctx, patience(12*time.Minute))
	defer cancel()
	b := &bench{T: t, Site: all.Site, ctx: ctx, dir: all.dir}
	c, err := osimage.MakeCell(ctx, osimage.Cache(), loader, root, nil)
	if err != nil {
		t.Fatal(err)
	}
	name := loader + "-" + root
	h := site.Hardware{Memory: 768}
	if loader != "grub-bios" && loader != "extlinux" {
		h.Firmware = uefi
	}
	var rules []string
	for i, disk := range c.Disks {
		fi, err := os.Stat(disk)
		if err != nil {
			t.Fatal(err)
		}
		image := fmt.Sprintf("%s-%d", name, i)
		if err := b.Import(ctx, image, disk); err != nil {
			t.Fatal(err)
		}
		h.Disks = append(h.Disks, fi.Size())
		// A disk's serial is its machine's name and its number.
		rules = append(rules, "--disk", fmt.Sprintf("serial=%s=%s", image, image))
	}
	n := b.node(name, h)
	defer keepConsole(t, n, "cells_"+name)
	defer n.Unplug()
	se, err := b.Create(ctx, append([]string{"--nodes", n.MAC}, rules...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(se.Stop)
	begun := time.Now()
	b.on(n)
	p := b.done(se).Parts[n.ID]
	t.Logf("entry: %s", p.Steps[session.StepEntry].Message)
	t.Logf("boot: %s", p.Steps[session.StepBoot].Message)
	if p.Warning != "" || p.Unbootable != "" || !strings.HasPrefix(p.Steps[session.StepBoot].Message, "kexec: ") {
		t.Errorf("the part has the warning %q, unbootable %q, and it leaves with %q", p.Warning, p.Unbootable,
			p.Steps[session.StepBoot].Message)
	}
	b.cellLogin(n, name, root, h.Firmware)
	b.on(n)
	if err := n.Cable(ctx, false); err != nil {
		t.Fatal(err)
	}
	b.cellLogin(n, name, root, h.Firmware)
	t.Logf("%.0f s from the first power-on to the last", time.Since(begun).Seconds())
	if said, err := c.Check(ctx, b.dir, n.Disks); err != nil {
		t.Error(err)
	} else {
		t.Logf("the checkers say:\n%s", said)
	}
	for _, disk := range n.Disks {
		if err := os.Remove(disk); err != nil {
			t.Error(err)
		}
	}
}

// cellLogin logs in at a cell's console, looks around and switches the machine off.
func (b *bench) cellLogin(n *site.Node, entry, root string, firmware vm.Firmware) {
	b.Helper()
	b.expect(n, osimage.LoginPrompt)
	cpu, err := n.CPU()
	if err != nil {
		b.Error(err)
	}
	b.Logf("login prompt %v after power-on, %v of it the processor's", time.Since(n.SwitchedOn()).Round(time.Second),
		cpu.Round(time.Second))
	if err := osimage.LoginTo(b.ctx, n.VM, osimage.CellUUID, "restored"); err != nil {
		b.Fatal(err)
	}
	want := cellFacts[root]
	raids, esp := "0 0", ""
	if root == "md" {
		raids = "1 1"
	}
	if firmware != (vm.Firmware{}) {
		esp = "vfat"
		if root == "md" {
			raids = "2 2"
		}
	}
	for _, fact := range []struct{ name, command, want string }{
		{"entry", `sed 's/.*` + osimage.Entry + `\([^ ]*\).*/\1/' /proc/cmdline`, entry},
		{"root", "findmnt -no FSTYPE,FSROOT / | tr -s ' '", want.fs},
		{"layers", "echo $(lsblk -snro TYPE $(findmnt -nvo SOURCE /))", want.layers},
		{"raids", "cat /proc/mdstat 2>/dev/null | awk '/^md/{n++} /\\[UU\\]/{u++} END{print n+0, u+0}'", raids},
		{"esp", "findmnt -no FSTYPE /boot/efi", esp},
	} {
		// The marker is assembled by the shell, so that the echo of the command does not match.
		if err := n.Console().Send("echo is-''" + fact.name + ": $(" + fact.command + ")\n"); err != nil {
			b.Fatal(err)
		}
		m, err := n.Expect(b.ctx, `^is-`+fact.name+`:(.*)\n`)
		if err != nil {
			b.Fatal(err)
		}
		if got := strings.TrimSpace(m.Groups[1]); got != fact.want {
			b.Errorf("%s is %q, want %q", fact.name, got, fact.want)
		}
	}
	if err := n.Console().Send(osimage.PowerOff); err != nil {
		b.Fatal(err)
	}
	b.off(n)
}
