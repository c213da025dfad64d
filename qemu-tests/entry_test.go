package qemutests

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/qemu-tests/lab"
	"github.com/diskcast/diskcast/qemu-tests/osimage"
	"github.com/diskcast/diskcast/qemu-tests/site"
	"github.com/diskcast/diskcast/server/doc"
)

// bootOnly skips tests of how other disks start outside of `make test-boot`: each switches a whole machine on three
// times.
func bootOnly(t *testing.T) {
	t.Helper()
	if os.Getenv("DISKCAST_BOOT") == "" {
		t.Skip("make test-boot runs this (DISKCAST_BOOT=1)")
	}
}

// variant imports a variant of the Debian under its name.
func (b *bench) variant(kind string) (string, *osimage.Image) {
	b.Helper()
	im, err := osimage.Variant(b.ctx, osimage.Cache(), kind, nil)
	if err != nil {
		b.Fatal(err)
	}
	return b.add(kind, im), im
}

// TestBootNext restarts a UEFI machine after its restore, with the network first in its boot order: the firmware comes
// to the disk without asking the network, and by its order at the start after that.
func TestBootNext(t *testing.T) {
	bootOnly(t)
	if _, err := os.Stat(uefi.Code); err != nil {
		need.Skip(t, "%v: .ci/packages test", err)
	}
	b := setup(t, 12*time.Minute, lab.Options{})
	image, _ := b.variant("efi-debian")
	n := b.node("a", site.Hardware{Memory: 768, Firmware: uefi})
	se := b.create(image, []*site.Node{n}, "--then", "reboot")
	b.on(n)
	said := b.done(se).Parts[n.ID].Steps[session.StepBoot].Message
	if !regexp.MustCompile(`^reboot: as the session asks; the firmware starts Boot[0-9A-F]{4} next`).MatchString(said) {
		t.Errorf("it leaves with %q", said)
	}
	for _, network := range []bool{false, true} {
		b.login(n)
		var node doc.Node
		if err := b.Ask(b.ctx, &node, "node", "show", n.MAC); err != nil {
			t.Fatal(err)
		}
		if _, asked := node.Trace[doc.StepLocal]; asked != network {
			t.Errorf("the machine asked the network first: %v, want %v: %v", asked, network, node.Trace)
		}
		if !network {
			b.on(n)
		}
	}
}

// TestBootEntry images a UEFI machine with fresh variables from a disk that has EFI/debian and no fallback, as Debian's
// installer makes it. It is started by kexec, switched off, and switched on without the network: the boot entry is all
// that can start it. Then it is switched on with the network.
func TestBootEntry(t *testing.T) {
	bootOnly(t)
	if _, err := os.Stat(uefi.Code); err != nil {
		need.Skip(t, "%v: .ci/packages test", err)
	}
	b := setup(t, 12*time.Minute, lab.Options{})
	image, im := b.variant("efi-debian")
	n := b.node("a", site.Hardware{Memory: 768, Firmware: uefi})
	se := b.create(image, []*site.Node{n})
	if notes := se.View().Session.Notes; len(notes) != 1 || !strings.Contains(notes[0], "no EFI/BOOT/BOOT*.EFI") {
		t.Errorf("the session's notes are %q, want that the image has no fallback", notes)
	}
	b.on(n)
	v := b.done(se)
	said := v.Parts[n.ID].Steps[session.StepEntry].Message
	t.Log(said)
	form := regexp.MustCompile(`^boot entry Boot[0-9A-F]{4} "debian \(diskcast\)" was made: it starts ` +
		`EFI/debian/shimx64\.efi on partition 1 .*, the network before it as it was$`)
	if !form.MatchString(said) || v.Parts[n.ID].Warning != "" || v.Session.Unbootable != 0 {
		t.Errorf("the node says of its boot entry: %q, warning %q; %d unbootable", said, v.Parts[n.ID].Warning,
			v.Session.Unbootable)
	}
	b.login(n)

	b.on(n)
	if err := n.Cable(b.ctx, false); err != nil {
		t.Fatal(err)
	}
	b.login(n)
	b.on(n)
	b.login(n)
	var node doc.Node
	if err := b.Ask(b.ctx, &node, "node", "show", n.MAC); err != nil {
		t.Fatal(err)
	}
	if _, ok := node.Trace[doc.StepLocal]; !ok {
		t.Errorf("the machine did not ask the network first: %v", node.Trace)
	}
	b.same(n, im, osimage.BootWrites...)
}

// login waits for the login prompt, logs in, and switches the machine off.
func (b *bench) login(n *site.Node) {
	b.Helper()
	if _, err := n.Expect(b.ctx, osimage.LoginPrompt); err != nil {
		b.Fatal(err)
	}
	b.Logf("login prompt %v after power-on", time.Since(n.SwitchedOn()).Round(time.Second))
	if err := osimage.Login(b.ctx, n.VM); err != nil {
		b.Fatal(err)
	}
	if err := n.Console().Send(osimage.PowerOff); err != nil {
		b.Fatal(err)
	}
	b.off(n)
}
