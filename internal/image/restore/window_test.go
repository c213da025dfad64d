package restore_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/capture"
	"github.com/diskcast/diskcast/internal/image/imagetest"
	"github.com/diskcast/diskcast/internal/image/restore"
	"github.com/diskcast/diskcast/internal/volume/partition"
	"github.com/diskcast/diskcast/internal/volume/table"
)

const mebi = 1 << 20

// dividedDisk is a disk with partitions of the given sizes, and something else than zeros everywhere.
func dividedDisk(t *testing.T, size int64, sector int, seed uint64, sizes ...int64) *imagetest.Memory {
	t.Helper()
	b := make([]byte, size)
	imagetest.Random(b, seed)
	g := imagetest.GPT(size, sector, sizes...)
	clear(b[:34*sector])
	clear(b[len(b)-34*sector:])
	for i, p := range g.Partitions {
		imagetest.Fill(b[p.Start:p.End()], seed+uint64(i))
	}
	m := imagetest.NewMemory(b, sector)
	if err := table.Write(m, g, size, sector); err != nil {
		t.Fatal(err)
	}
	return m
}

// capturePart stores one partition of a disk.
func capturePart(t *testing.T, m *imagetest.Memory, number int, grid int64) *image.Image {
	t.Helper()
	s, err := image.OpenStore(filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := capture.Capture(t.Context(), m, m.Size(), m.SectorSize(), capture.Options{Store: s, Name: "p",
		Grid: grid, Level: capture.Fast, Workers: 1, Partition: &partition.By{Number: number}}); err != nil {
		t.Fatal(err)
	}
	im, err := s.Open("p")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { im.Close() })
	return im
}

// TestNothingBesideThePartition restores partitions of random disks into partitions of others, and compares every byte
// outside.
func TestNothingBesideThePartition(t *testing.T) {
	for seed := range uint64(24) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 7))
			sector := []int{512, 4096}[r.IntN(2)]
			sizes := func() (out []int64) {
				for range 3 {
					out = append(out, int64(1+r.IntN(3))*mebi)
				}
				return out
			}
			source := dividedDisk(t, 12*mebi, sector, seed, sizes()...)
			target := dividedDisk(t, 12*mebi, sector, seed+1000, sizes()...)
			from, to := 1+r.IntN(3), 1+r.IntN(3)
			im := capturePart(t, source, from, 64<<10<<r.IntN(4))
			before := slices.Clone(target.Bytes())
			p, err := restore.OpenPartition(target, partition.By{Number: to})
			if err != nil {
				t.Fatal(err)
			}
			outside := func() {
				if !bytes.Equal(before[:p.Start], target.Bytes()[:p.Start]) ||
					!bytes.Equal(before[p.End():], target.Bytes()[p.End():]) {
					t.Fatal("bytes beside the partition were written")
				}
			}
			o := restore.LocalOptions{Workers: 2, Verify: true, Delta: r.IntN(2) == 0, Plan: p.Options()}
			_, err = restore.Local(t.Context(), im, p.Window, o)
			outside()
			if im.Config().DiskSize > p.Size {
				if err == nil || !strings.Contains(err.Error(), "too small") ||
					!bytes.Equal(before, target.Bytes()) {
					t.Fatalf("%d bytes into %d: %v", im.Config().DiskSize, p.Size, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			q, err := partition.Find(source, source.Size(), sector, partition.By{Number: from})
			if err != nil {
				t.Fatal(err)
			}
			want, got := source.Bytes()[q.Start:q.End()], target.Bytes()[p.Start:p.Start+q.Size]
			if !bytes.Equal(want, got) {
				t.Fatal("the partition has other bytes than the source's")
			}
			// Once more: everything is there.
			written, zeroed := target.Written()
			o.Delta = true
			if _, err := restore.Local(t.Context(), im, p.Window, o); err != nil {
				t.Fatal(err)
			}
			if w, z := target.Written(); w != written || z != zeroed {
				t.Errorf("a second restore wrote %d bytes and zeroed %d", w-written, z-zeroed)
			}
			outside()
		})
	}
}

// TestWindowRefuses tries to reach every kind of byte beside a window.
func TestWindowRefuses(t *testing.T) {
	m := imagetest.NewMemory(bytes.Repeat([]byte{7}, 3*mebi), 512)
	w, err := restore.NewWindow(m, mebi, mebi)
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 512)
	for _, off := range []int64{-1, -512, mebi - 511, mebi, mebi + 1, 1 << 62} {
		if _, err := w.WriteAt(p, off); err == nil {
			t.Errorf("512 bytes at %d of the window are written", off)
		}
		if _, err := w.ReadAt(p, off); err == nil {
			t.Errorf("512 bytes at %d of the window are read", off)
		}
		if err := w.WritevAt([][]byte{p[:256], p[256:]}, off); err == nil {
			t.Errorf("vectors at %d of the window are written", off)
		}
		if err := w.Zero(off, 512); err == nil {
			t.Errorf("512 bytes at %d of the window are zeroed", off)
		}
	}
	if err := w.Zero(0, 1<<62); err == nil {
		t.Error("more than the window is zeroed")
	}
	if !bytes.Equal(m.Bytes(), bytes.Repeat([]byte{7}, 3*mebi)) {
		t.Error("the target was written to")
	}
	if _, err := w.WriteAt(p, mebi-512); err != nil {
		t.Errorf("the last sector: %v", err)
	}
	for _, c := range [][2]int64{{-1, 5}, {0, 0}, {2 * mebi, 2 * mebi}, {4 * mebi, 1}} {
		if _, err := restore.NewWindow(m, c[0], c[1]); err == nil {
			t.Errorf("a window of %d bytes from %d", c[1], c[0])
		}
	}
}

// TestKindsOfImages: one of a partition does not go over a disk, one of a disk not into a partition.
func TestKindsOfImages(t *testing.T) {
	m := dividedDisk(t, 8*mebi, 512, 1, 2*mebi, 3*mebi)
	im := capturePart(t, m, 1, 256<<10)
	if o := im.Config().Origin; o == nil || o.Number != 1 || o.Start != mebi || o.DiskSize != 8*mebi ||
		im.Config().V != image.PartitionVersion {
		t.Errorf("the origin is %+v", o)
	}
	_, err := restore.NewPlan(im.Config(), im.Index(), 8*mebi, 512)
	if err == nil || !strings.Contains(err.Error(), "one partition") {
		t.Errorf("over a disk: %v", err)
	}
	s, err := image.OpenStore(filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := capture.Capture(t.Context(), m, m.Size(), 512, capture.Options{Store: s, Name: "disk"}); err != nil {
		t.Fatal(err)
	}
	disk, err := s.Open("disk")
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	_, err = restore.NewPlan(disk.Config(), disk.Index(), 8*mebi, 512, restore.InPartition(2, mebi))
	if err == nil || !strings.Contains(err.Error(), "image cut") {
		t.Errorf("into a partition: %v", err)
	}
}

// TestNamesOnTheDisk: a UUID that two file systems would have, and one that is gone, are told before the first write; a
// partition that cannot be read is no reason to refuse.
func TestNamesOnTheDisk(t *testing.T) {
	b := make([]byte, 12*mebi)
	g := imagetest.GPT(12*mebi, 512, 2*mebi, 2*mebi, 2*mebi)
	m := imagetest.NewMemory(b, 512)
	if err := table.Write(m, g, 12*mebi, 512); err != nil {
		t.Fatal(err)
	}
	swap := func(number int, uuid byte) {
		p := g.Partitions[number-1]
		q := b[p.Start:p.End()]
		clear(q)
		copy(q[4086:], "SWAPSPACE2")
		q[1024], q[1028], q[1029] = 1, 0xff, 1 // version, last page: 511
		for i := range 16 {
			q[1036+i] = uuid
		}
	}
	swap(1, 0x11)
	im := capturePart(t, m, 1, 64<<10)
	swap(2, 0x22)
	swap(3, 0x11)
	p, err := restore.OpenPartition(m, partition.By{Number: 2})
	if err != nil {
		t.Fatal(err)
	}
	said := strings.Join(p.Warnings(im.Config()), "\n")
	for _, want := range []string{"partitions 2 and 1 will both have", "partitions 2 and 3 will both have",
		"22222222-2222-2222-2222-222222222222 is no longer in partition 2"} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is not said in\n%s", want, said)
		}
	}
	if gone := p.Gone(im.Config()); gone != "22222222-2222-2222-2222-222222222222" || p.Holds(im.Config()) {
		t.Errorf("gone is %q", gone)
	}
	if p, err = restore.OpenPartition(m, partition.By{Number: 3}); err != nil || !p.Holds(im.Config()) ||
		p.Gone(im.Config()) != "" {
		t.Errorf("the image's own file system is there: %v", err)
	}
	bad := &unreadable{Memory: m, from: g.Partitions[0].Start, to: g.Partitions[0].End()}
	if p, err = restore.OpenPartition(bad, partition.By{Number: 2}); err != nil ||
		!strings.Contains(strings.Join(p.Warnings(im.Config()), "\n"), "what is in partition 1 cannot be read") {
		t.Errorf("one that cannot be read: %v", err)
	}
}

// unreadable is a disk with a part that gives errors.
type unreadable struct {
	*imagetest.Memory
	from, to int64
}

func (u *unreadable) ReadAt(p []byte, off int64) (int, error) {
	if off < u.to && off+int64(len(p)) > u.from {
		return 0, errors.New("input/output error")
	}
	return u.Memory.ReadAt(p, off)
}
