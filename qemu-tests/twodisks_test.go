package qemutests

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/qemu-tests/osimage"
	"github.com/diskcast/diskcast/qemu-tests/site"
	"github.com/diskcast/diskcast/server/doc"
)

// TestTwoDisks gives the two disks of a machine their images in one session. The system goes to the disk that comes
// second to kernel and firmware, and has no fallback loader: what starts the machine are kexec, the boot entry that the
// agent made for it, and GRUB by the agent's word. A third disk is in no rule, and stays as it was.
func TestTwoDisks(t *testing.T) {
	disksOnly(t)
	installed(t, uefi)
	b := setupSite(t, 15*time.Minute, withLoaders(""))
	system, debian := b.variant("efi-debian")
	data, small := b.small(1)
	n := b.node("a", site.Hardware{Memory: 1024, Firmware: uefi, Disks: []int64{3 << 30, 2 << 30, 1 << 30}})
	other := n.Disks[2]
	if err := osimage.Junk(other, 64<<20); err != nil {
		t.Fatal(err)
	}
	before := sum(t, other)
	se, err := b.Create(b.ctx, "--nodes", n.MAC, "--disk", "serial=a-1="+system, "--disk", "largest="+data, "--verify")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(se.Stop)
	b.on(n)
	v := b.done(se)
	p := v.Parts[n.ID]
	if p.Disk == nil || p.Disk.Serial != "a-1" || len(p.MoreDisks) != 1 || p.MoreDisks[0].Disk == nil ||
		p.MoreDisks[0].Disk.Serial != "a-0" {
		t.Errorf("the disks are %+v and %+v, want a-1 and a-0", p.Disk, p.MoreDisks)
	}
	for _, step := range []string{"written", "verified", "2/written", "2/verified", "entry"} {
		if !reached(v, n, step) {
			t.Errorf("the node did not report %s", step)
		}
	}
	if p.Warning != "" || p.Unbootable != "" {
		t.Errorf("warning %q, unbootable %q", p.Warning, p.Unbootable)
	}
	b.login(n)

	b.on(n) // over the network, which sends it to its own disk
	b.login(n)
	var node doc.Node
	if err := b.Ask(b.ctx, &node, "node", "show", n.MAC); err != nil {
		t.Fatal(err)
	}
	if m, ok := node.Trace[doc.StepLocal]; !ok {
		t.Errorf("the machine was not told to boot its own disk: %v", node.Trace)
	} else {
		t.Log(m.Message)
	}
	b.on(n)
	if err := n.Cable(b.ctx, false); err != nil {
		t.Fatal(err)
	}
	b.login(n)

	b.sameDisk(n.Disks[1], debian, osimage.BootWrites...)
	b.sameDisk(n.Disks[0], small)
	if after := sum(t, other); after != before {
		t.Errorf("the third disk was written to: SHA-256 %s, before %s", after, before)
	}
	var files []string
	if err := b.Ask(b.ctx, &files, "receipt", "get", se.ID, "--out", filepath.Join(b.dir, "receipts")); err != nil ||
		len(files) != 1 {
		t.Errorf("the receipts %q: %v", files, err)
	}
	out, err := b.Operate(b.ctx, "session", "show", se.ID)
	if err != nil || !strings.Contains(out, "a-0") || !strings.Contains(out, "a-1") {
		t.Errorf("session show does not name both disks: %v\n%s", err, out)
	}
}
