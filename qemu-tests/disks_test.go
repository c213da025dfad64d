package qemutests

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/qemu-tests/oracle"
	"github.com/diskcast/diskcast/qemu-tests/osimage"
	"github.com/diskcast/diskcast/qemu-tests/site"
	"github.com/diskcast/diskcast/qemu-tests/vm"
	"github.com/diskcast/diskcast/server/doc"
)

// disksOnly skips tests of which disk is written outside of `make test-disks`: one switches a machine on a dozen times.
func disksOnly(t *testing.T) {
	t.Helper()
	if os.Getenv("DISKCAST_DISKS") == "" {
		t.Skip("make test-disks runs this (DISKCAST_DISKS=1)")
	}
}

// resets is odd, so that the last start has the names swapped as well.
const resets = 11

// TestSwappedNames has a machine with two like disks on two controllers. Which controller's disk is there first, and is
// therefore /dev/sda, changes with every start. A session for path=/dev/sda is reset again and again at random moments
// of writing: the disk that its first plan chose has the image in the end, and not one bit of the other has changed.
func TestSwappedNames(t *testing.T) {
	disksOnly(t)
	b := setupSite(t, 15*time.Minute,
		func(*osimage.Image) site.Options { return site.Options{Append: "ignore_loglevel"} })
	image, im := b.small(1)
	n := b.node("twin", site.Hardware{Disks: []int64{1 << 30, 1 << 30}, Buses: []vm.Bus{vm.SCSI, vm.SCSI}})
	other := n.Disks[1]
	if err := osimage.Junk(other, 128<<20); err != nil {
		t.Fatal(err)
	}
	before := sum(t, other)
	seed := uint64(time.Now().UnixNano())
	t.Logf("moments of the resets: seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))

	se := b.create(image, []*site.Node{n}, "--disk", "path=/dev/sda", "--mode", "full", "--rate", "40M", "--then",
		"poweroff")
	for i := range resets {
		b.startWithFirst(n, i%2)
		share := 0.8 * rng.Float64()
		b.until(se, fmt.Sprintf("start %d to have written %.2f", i+1, share), func(v site.View) bool {
			p := v.Parts[n.ID]
			return p.Boots == i+1 && p.State == doc.Running && written(v, n) >= share
		})
		b.named(n, i%2)
		n.Unplug()
		if p := se.View().Parts[n.ID]; p.Over() {
			t.Fatalf("the part was %s before reset %d, which is of no use then", p.State, i+1)
		}
	}
	b.startWithFirst(n, resets%2)
	v := b.done(se)
	b.off(n)
	p := v.Parts[n.ID]
	if p.Boots != resets+1 || p.Disk == nil || p.Disk.Serial != "twin-0" {
		t.Errorf("the part began %d times, on %+v, want %d times on the disk with the serial twin-0", p.Boots, p.Disk,
			resets+1)
	}
	if after := sum(t, other); after != before {
		t.Errorf("%s, which the session did not choose, was written to: SHA-256 %s, before %s", other, after, before)
	}
	b.same(n, im)
}

// startWithFirst switches a machine with two disks on so that the given disk's name is /dev/sda: the other one is
// plugged in when that has its name. Until both are there, the agent is kept from the server.
func (b *bench) startWithFirst(n *site.Node, first int) {
	b.Helper()
	n.Late(1 - first)
	b.on(n)
	b.expect(n, `\[sda\] Attached SCSI disk`)
	b.expect(n, agentStarts)
	if err := n.Cable(b.ctx, false); err != nil {
		b.Fatal(err)
	}
	if err := n.Plug(b.ctx, 1-first); err != nil {
		b.Fatal(err)
	}
	b.expect(n, `\[sdb\] Attached SCSI disk`)
	if err := n.Cable(b.ctx, true); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) expect(n *site.Node, pattern string) {
	b.Helper()
	if _, err := n.Expect(b.ctx, pattern); err != nil {
		b.Fatal(err)
	}
}

// named sees that the names are as the test means them: else it would show nothing.
func (b *bench) named(n *site.Node, first int) {
	b.Helper()
	want := map[string]string{"/dev/sda": fmt.Sprintf("twin-%d", first), "/dev/sdb": fmt.Sprintf("twin-%d", 1-first)}
	for _, d := range b.inventory(n).Disks {
		if d.Serial != want[d.Path] {
			b.Fatalf("%s has the serial %q, want %q", d.Path, d.Serial, want[d.Path])
		}
		delete(want, d.Path)
	}
	if len(want) != 0 {
		b.Fatalf("the inventory lacks %v", want)
	}
}

func (b *bench) inventory(n *site.Node) session.Inventory {
	b.Helper()
	var node doc.Node
	if err := b.Ask(b.ctx, &node, "node", "show", n.MAC); err != nil {
		b.Fatal(err)
	}
	return node.Inventory
}

// TestStick has a machine whose only disk is a USB stick: the session fails and says so, and not one bit of the stick
// has changed. A real disk that comes while the agent runs is told within seconds, and the next session has it.
func TestStick(t *testing.T) {
	disksOnly(t)
	kernel := os.Getenv("DISKCAST_USB_KERNEL")
	if kernel == "" {
		need.Skip(t, "the test's Debian has a kernel without USB: make test-disks fetches one with it "+
			"(DISKCAST_USB_KERNEL)")
	}
	b := setupSite(t, 8*time.Minute, func(*osimage.Image) site.Options { return site.Options{Kernel: kernel} })
	image, im := b.small(1)
	n := b.node("a", site.Hardware{Memory: 1024, Disks: []int64{1 << 30, 1 << 30},
		Buses: []vm.Bus{vm.USB, vm.VirtioBlk}, Junk: true})
	stick := n.Disks[0]
	before := sum(t, stick)
	n.Late(1)

	se := b.create(image, []*site.Node{n}, "--then", "poweroff")
	b.on(n)
	v, err := se.Over(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	p := v.Parts[n.ID]
	t.Logf("the session's reason: %s", v.Session.Reason)
	if v.Session.State != doc.Failed || p.State != doc.Failed ||
		!strings.Contains(p.Reason, "only removable or USB disks") ||
		!strings.Contains(p.Reason, "nothing was written") {
		t.Errorf("session %s, node %s: %q, want both failed for there are only removable or USB disks", v.Session.State,
			p.State, p.Reason)
	}
	const problem = "it has only removable or USB disks"
	if out := b.nodeList(); !strings.Contains(out, problem) {
		t.Errorf("node list does not say %q:\n%s", problem, out)
	}

	if err := n.Plug(b.ctx, 1); err != nil {
		t.Fatal(err)
	}
	plugged := time.Now()
	eventually(t, plugged.Add(patience(15*time.Second)), func() string {
		disks := b.inventory(n).Disks
		for _, d := range disks {
			if d.Path == "/dev/vda" && d.Size == 1<<30 {
				return ""
			}
		}
		return fmt.Sprintf("the disk that was plugged in is not in the inventory: %+v", disks)
	})
	t.Logf("the disk was in the inventory %v after it was plugged in", time.Since(plugged).Round(100*time.Millisecond))
	if out := b.nodeList(); strings.Contains(out, problem) {
		t.Errorf("node list says %q of a node that has a disk:\n%s", problem, out)
	}
	b.done(b.create(image, []*site.Node{n}, "--then", "poweroff"))
	b.off(n)
	if after := sum(t, stick); after != before {
		t.Errorf("the stick was written to: SHA-256 %s, before %s", after, before)
	}
	n.Disk = n.Disks[1]
	b.same(n, im)
}

func (b *bench) nodeList() string {
	b.Helper()
	out, err := b.Operate(b.ctx, "node", "list")
	if err != nil {
		b.Fatal(err)
	}
	return out
}

// sum is the SHA-256 of a file.
func sum(t *testing.T, path string) string {
	t.Helper()
	out, err := oracle.HashFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
