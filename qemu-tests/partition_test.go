package qemutests

import (
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/internal/sparse"
	"github.com/diskcast/diskcast/internal/testenv/proc"
	"github.com/diskcast/diskcast/qemu-tests/lab"
	"github.com/diskcast/diskcast/qemu-tests/oracle"
	"github.com/diskcast/diskcast/qemu-tests/osimage"
	"github.com/diskcast/diskcast/qemu-tests/site"
)

// TestPartition has three machines whose disks have a boot loader and three partitions. One cast restores the first
// partition of all three; the table, the boot code and the bytes of the others are what they were, and GRUB, from the
// disk's own first sectors, starts the restored system.
func TestPartition(t *testing.T) {
	if os.Getenv("DISKCAST_PARTITION") == "" {
		t.Skip("make test-partition runs this (DISKCAST_PARTITION=1)")
	}
	const mib, start, size, whole = 1 << 20, 1 << 20, 448 << 20, 640 << 20
	b := setup(t, 15*time.Minute, lab.Options{Snooping: true})
	grub, err := osimage.Variant(b.ctx, osimage.Cache(), "mbr-gap", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Site.Run(b.ctx, "image", "capture", "--partition", "1", grub.Disk, "root", "--level", "fast",
		"--store", b.Store); err != nil {
		t.Fatal(err)
	}
	before := filepath.Join(b.dir, "before.raw")
	if err := divided(b, grub.Disk, before, whole); err != nil {
		t.Fatal(err)
	}
	var nodes []*site.Node
	var macs []string
	for _, name := range []string{"a", "b", "c"} {
		n := b.node(name, site.Hardware{Disks: []int64{whole}})
		if err := sparse.Copy(b.ctx, before, n.Disk); err != nil {
			t.Fatal(err)
		}
		nodes, macs = append(nodes, n), append(macs, n.MAC)
	}
	se, err := b.Create(b.ctx, "--partition", "1=root", "--nodes", strings.Join(macs, ","), "--min-nodes", "3",
		"--verify", "--boot", "poweroff")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(se.Stop)
	b.on(nodes...)
	v := b.done(se)
	b.off(nodes...)
	sent, object := v.Session.Cast.Stats.Sent, v.Session.Image.ObjectSize
	t.Logf("sent %.3f of the object", float64(sent)/float64(object))
	if float64(sent) > 1.5*float64(object) {
		t.Errorf("the server sent %d bytes of an object of %d to three nodes: that is not one cast for all", sent,
			object)
	}
	for _, n := range nodes {
		p := v.Parts[n.ID]
		if p.Progress == nil || p.Progress.Multicast < object/2 || p.Unbootable != "" ||
			!reached(v, n, session.StepVerified) {
			t.Errorf("%s: %+v, progress %+v", n.Name(), p, p.Progress)
		}
		if r, err := session.ParsePartitionResult(p.Result); err != nil || r.Number != 1 || r.Start != start ||
			r.Size != size {
			t.Errorf("%s says that it wrote %s", n.Name(), p.Result)
		}
		if err := proc.Run(b.ctx, nil, "cmp", "-n", strconv.Itoa(start), before, n.Disk); err != nil {
			t.Errorf("%s: what lies before the partition was written to: %v", n.Name(), err)
		}
		if err := proc.Run(b.ctx, nil, "cmp", "-i", strconv.Itoa(start+size), before, n.Disk); err != nil {
			t.Errorf("%s: what lies behind the partition was written to: %v", n.Name(), err)
		}
		if err := proc.Run(b.ctx, nil, "cmp", "-s", before, n.Disk); err == nil {
			t.Errorf("%s: nothing was written", n.Name())
		}
		if err := oracle.CheckExt(b.ctx, n.Disk, start); err != nil {
			t.Errorf("%s: %v", n.Name(), err)
		}
	}
	var files []string
	if err := b.Ask(b.ctx, &files, "receipt", "get", se.ID, "--out", filepath.Join(b.dir, "receipts")); err != nil ||
		len(files) != 3 {
		t.Errorf("the receipts %q: %v", files, err)
	}
	// Without the network: firmware, GRUB in the gap, the restored partition.
	n := nodes[0]
	b.on(n)
	if err := n.Cable(b.ctx, false); err != nil {
		t.Fatal(err)
	}
	b.started(n, "", "", "")
}

// divided makes a disk of whole bytes: the first sectors of a disk with one partition, in it something else than it
// had, and two more partitions full of bytes.
func divided(b *bench, from, to string, whole int64) error {
	if err := sparse.Create(to, whole); err != nil {
		return err
	}
	if err := sparse.Insert(b.ctx, from, to, 0); err != nil {
		return err
	}
	if err := proc.Input(b.ctx, nil, strings.NewReader("size=64MiB, type=83\nsize=32MiB, type=83\n"),
		"sfdisk", "--quiet", "--append", to); err != nil {
		return err
	}
	parts, err := oracle.Table(b.ctx, to)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(to, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	src := rand.NewChaCha8([32]byte{'p', 'a', 'r', 't'})
	for i, p := range parts {
		n := p.Size
		if i == 0 {
			n = 32 << 20 // enough to be no file system any more
		}
		if _, err := io.CopyN(io.NewOffsetWriter(f, p.Start), src, n); err != nil {
			return err
		}
	}
	return f.Sync()
}
