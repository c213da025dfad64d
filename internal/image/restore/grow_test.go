package restore_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/capture"
	"github.com/diskcast/diskcast/internal/image/restore"
	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/volume/probe"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

// grower restores one image to targets that are larger.
type grower struct {
	*testing.T
	im   *image.Image
	kind string
	list string // of the files in it
}

const (
	growFrom  = 150 << 20 // bytes of the partition
	growStart = 1 << 20
	growDisk  = 330<<20 + 512
)

func newGrower(t *testing.T, kind string) *grower {
	t.Helper()
	need.Root(t)
	need.Tools(t, "losetup", "mount", "sfdisk", "mkfs."+kind)
	need.Tools(t, map[string]string{"btrfs": "btrfs", "ext4": "e2fsck"}[kind])
	path := volumetest.Sparse(t, growFrom)
	volumetest.Run(t, "mkfs."+kind, "-q", path)
	dir, unmount := volumetest.Mount(t, path, kind, "")
	volumetest.Fill(t, dir, 3)
	list := volumetest.List(t, dir)
	unmount()
	disk := volumetest.Sparse(t, growStart+growFrom+1<<20)
	in, size := volumetest.Open(t, path)
	out, diskSize := volumetest.Open(t, disk)
	if _, err := io.Copy(io.NewOffsetWriter(out, growStart), io.NewSectionReader(in, 0, size)); err != nil {
		t.Fatal(err)
	}
	volumetest.RunIn(t, fmt.Sprintf("label: gpt\nstart=%d, size=%d, type=linux, name=root\n", growStart/512,
		growFrom/512), "sfdisk", "-q", disk)
	s := store(t)
	if _, err := capture.Capture(t.Context(), out, diskSize, 512, capture.Options{Store: s, Name: "img"}); err != nil {
		t.Fatal(err)
	}
	im, err := s.Open("img")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { im.Close() })
	return &grower{T: t, im: im, kind: kind, list: list}
}

// write restores the image, verified, and returns what is left to be grown.
func (g *grower) write(path string, delta bool) (restore.Growth, restore.Stats) {
	g.Helper()
	t, err := restore.OpenTarget(path, restore.TargetOptions{})
	if err != nil {
		g.Fatal(err)
	}
	defer t.Close()
	var growth restore.Growth
	stats, err := restore.Local(g.Context(), g.im, t,
		restore.LocalOptions{Delta: delta, Verify: true, Plan: []restore.PlanOption{restore.Grow()},
			Planned: func(p *restore.Plan) { growth = p.Growth() }})
	if err != nil {
		g.Fatal(err)
	}
	if err := restore.RereadTable(g.Context(), t); err != nil {
		g.Fatal(err)
	}
	if growth.Number != 1 || growth.FS != g.kind || growth.From != growFrom || growth.To != 328<<20 {
		g.Fatalf("%+v", growth)
	}
	return growth, stats
}

// grow grows the file system, and skips where this machine may not. That it has the driver is known: it has filled the
// source.
func (g *grower) grow(growth restore.Growth, path string) {
	g.Helper()
	err := growth.FileSystem(g.Context(), path, 512)
	switch {
	case errors.Is(err, unix.EPERM) && g.kind == "ext4" && !volumetest.MayResize(g.T):
		// Root of a container may often not resize ext4. Then the words are what can be shown.
		if !strings.Contains(err.Error(),
			"partition 1 has 343932928 bytes now, but the ext4 in it was made for 157286400") ||
			!strings.Contains(err.Error(), "resize2fs") {
			g.Error(err)
		}
		g.Skip(err)
	case err != nil:
		g.Fatal(err)
	}
}

// sound checks the file system with its own tool, its size, and its files.
func (g *grower) sound(file string) {
	g.Helper()
	volumetest.Run(g.T, "sfdisk", "--verify", file)
	dev, detach := volumetest.Loop(g.T, file, 512, "--offset", fmt.Sprint(growStart), "--sizelimit",
		fmt.Sprint(328<<20))
	defer detach()
	if g.kind == "btrfs" {
		volumetest.Run(g.T, "btrfs", "check", "--readonly", dev)
	} else {
		volumetest.Run(g.T, "e2fsck", "-fn", dev)
	}
	f, size := volumetest.Open(g.T, dev)
	fs, err := probe.Probe(f, size)
	f.Close() // a loop device that is open is still on its file, which is a target again
	if err != nil || fs.Info().Size < 310<<20 {
		g.Errorf("it has %d bytes (%v) on a partition of %d", fs.Info().Size, err, size)
	}
	dir, unmount := volumetest.Mount(g.T, dev, g.kind, "")
	volumetest.Same(g.T, g.list, volumetest.List(g.T, dir))
	unmount()
}

// A larger target: the file system grows, a delta afterwards brings the image back and grows it again, and whatever a
// power cut leaves of the growing, the next run ends the same way.
func TestGrowFileSystem(t *testing.T) {
	for _, c := range []struct {
		kind   string
		device func(t *testing.T, file string) string
	}{
		{"btrfs", func(_ *testing.T, file string) string { return file }},
		{"btrfs", func(t *testing.T, file string) string {
			dev, _ := volumetest.Loop(t, file, 512, "--partscan")
			return dev
		}},
		{"btrfs", func(t *testing.T, file string) string {
			dev, _ := volumetest.Loop(t, file, 512)
			return dev
		}},
		{"ext4", func(_ *testing.T, file string) string { return file }},
	} {
		t.Run(c.kind, func(t *testing.T) {
			g := newGrower(t, c.kind)
			file := volumetest.Sparse(t, growDisk)
			path := c.device(t, file)
			growth, _ := g.write(path, false)
			before := read(t, path, file)
			g.grow(growth, path)
			g.sound(file)
			after := read(t, path, file)

			growth, stats := g.write(path, true)
			if stats.Needed == 0 || stats.Needed > 8<<20 {
				t.Errorf("%d object bytes were needed to bring the image back", stats.Needed)
			}
			g.grow(growth, path)
			g.sound(file)

			// Any blocks of the growing, in any order, may have come to the disk.
			for seed := range uint64(2) {
				torn(t, file, before, after, seed)
				growth, _ = g.write(path, true)
				g.grow(growth, path)
				g.sound(file)
			}
			if err := growth.FileSystem(context.Background(), path, 512); err != nil {
				t.Error("grown again:", err)
			}
		})
	}
}

// read returns what is in the file behind the device at path, which may be the file itself. It asks for that one device
// to be written out: sync(2) would write the disks of the tests beside this one, some of which are about what is not
// written yet.
func read(t *testing.T, path, file string) []byte {
	t.Helper()
	dev, err := os.OpenFile(path, os.O_RDWR, 0)
	if err == nil {
		err = errors.Join(dev.Sync(), dev.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// torn makes the file one in which about half of the blocks that differ are of after, the others of before.
func torn(t *testing.T, file string, before, after []byte, seed uint64) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rng := rand.New(rand.NewPCG(seed, 1))
	const block = 4096
	for off := 0; off < len(before); off += block {
		end := min(off+block, len(before))
		b := before[off:end]
		if string(b) == string(after[off:end]) {
			continue
		}
		if rng.IntN(2) == 0 {
			b = after[off:end]
		}
		if _, err := f.WriteAt(b, int64(off)); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
}
