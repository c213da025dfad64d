package qemutests

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/testenv/uml"
	"github.com/diskcast/diskcast/qemu-tests/lab"
	"github.com/diskcast/diskcast/qemu-tests/oracle"
	"github.com/diskcast/diskcast/qemu-tests/osimage"
	"github.com/diskcast/diskcast/qemu-tests/site"
)

// grower is a node with a disk of 1 GiB in a session with an image of a disk with a small root.
type grower struct {
	*site.Node
	im   *osimage.Image
	se   *site.Session
	cuts int // of its power
}

// growers makes a node and a session for each of the file systems.
func (b *bench) growers(kinds ...string) (all []*grower) {
	b.Helper()
	need.Tools(b, "mkfs.xfs", "xfs_repair", "xfs_db", "xfs_logprint", "mkfs.btrfs", "btrfs", uml.Program)
	for _, kind := range kinds {
		im, err := osimage.Growable(b.ctx, osimage.Cache(), kind, nil)
		if err != nil {
			b.Fatal(err)
		}
		n := b.node(kind, site.Hardware{Disks: []int64{1 << 30}})
		all = append(all, &grower{Node: n, im: im,
			se: b.create(b.add(kind, im), []*site.Node{n}, "--then", "poweroff")})
	}
	return all
}

// grown holds that the session is done, that the node told once that its root has grown, and that the disk is right.
func (b *bench) grown(g *grower) {
	b.Helper()
	v := b.done(g.se)
	b.off(g.Node)
	if said := v.Messages(session.StepGrown); len(said) != 1 ||
		!strings.Contains(said[0], "its "+g.im.FS+" grew from ") {
		b.Errorf("%s: %q does not say that it grew, once", g.Name(), said)
	}
	if n, boots := v.Parts[g.ID].Boots, g.cuts+1; n != boots {
		b.Errorf("%s took part in %d boots, want %d", g.Name(), n, boots)
	}
	b.same(g.Node, g.im)
}

// TestGrow restores roots with XFS and btrfs to larger disks: the node's kernel has the drivers, partition and file
// system grow to the end of the disk, and every file is there. (ext4: TestTwoNodesToLogin, TestPlugPulledGrowing.)
func TestGrow(t *testing.T) {
	b := setup(t, 4*time.Minute, lab.Options{})
	all := b.growers("xfs", "btrfs")
	for _, g := range all {
		b.on(g.Node)
	}
	for _, g := range all {
		b.grown(g)
	}
}

// TestPlugPulledGrowing cuts the power while the node grows the file system: everything is written, and the kernel is
// at work on the new size. Switched on again, the node makes the disk right, whatever state it was left in.
func TestPlugPulledGrowing(t *testing.T) {
	b := setup(t, 8*time.Minute, lab.Options{})
	all := b.growers("ext4", "xfs")
	// The cuts are aimed by how many times the disk was written to since the node said that everything is written.
	// Debian 12's kernel mounts an ext4 with 2 writes and has the new size in its place after 12 of 90; it grows an XFS
	// with 20 writes to new headers, uses the log from the 22nd to the 36th, and is done after 40. The later ones are
	// for a kernel that writes otherwise: two cuts count, one of them with something in the journal.
	cuts := map[string][]int64{"ext4": {4, 12, 20, 40}, "xfs": {10, 24, 28, 22}}
	var eg errgroup.Group
	for _, g := range all {
		eg.Go(func() error {
			dirty := false
			for _, writes := range cuts[g.im.FS] {
				if g.cuts >= 2 && dirty {
					break
				}
				unclean, err := b.cutGrowing(g, writes)
				if err != nil {
					return fmt.Errorf("%s: %w", g.Name(), err)
				}
				g.cuts++
				dirty = dirty || unclean
			}
			if !dirty {
				return fmt.Errorf("%s: no cut left a journal with something in it: they missed the growing", g.Name())
			}
			return g.PowerOn(b.ctx)
		})
	}
	if err := eg.Wait(); err != nil {
		t.Fatal(err)
	}
	for _, g := range all {
		b.grown(g)
	}
}

// writesPerSecond is how fast a disk is while a cut is aimed: an XFS is done a second and a half after the last cut,
// and a host from which its own hypervisor takes the processors, or that has other work, must not come too late.
const writesPerSecond = 10

// cutGrowing switches a node on and cuts its power when its disk was written to so many times after everything was
// written. It returns whether the file system's journal was in use.
func (b *bench) cutGrowing(g *grower, writes int64) (dirty bool, err error) {
	if err := g.PowerOn(b.ctx); err != nil {
		return false, err
	}
	if _, err := g.Expect(b.ctx, `^diskcast .*`+session.StepWritten+`: `); err != nil {
		return false, err
	}
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	from, err := g.Writes(b.ctx)
	if err == nil {
		err = g.SlowWrites(b.ctx, writesPerSecond)
	}
	for n := from; err == nil && n < from+writes; n, err = g.Writes(b.ctx) {
		<-tick.C
	}
	g.Unplug()
	if err != nil {
		return false, fmt.Errorf("the growing was over before write %d: %w", writes, err)
	}
	v := g.se.View()
	if len(v.Messages(session.StepGrown)) > 0 {
		return false, errors.New("the power was cut too late: it had grown")
	}
	size, dirty, err := oracle.Interrupted(b.ctx, oracle.Disk{Path: g.Disk, FS: g.im.FS}, b.dir)
	b.Logf("%s: power cut at write %d: the file system claims %d MiB, journal in use: %v", g.Name(), writes, size>>20,
		dirty)
	return dirty, err
}
