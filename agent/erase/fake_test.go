package erase

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/agent/erase/ata"
	"github.com/diskcast/diskcast/agent/erase/nvme"
	"github.com/diskcast/diskcast/internal/erasure"
	"github.com/diskcast/diskcast/internal/session"
)

const (
	mib      = 1 << 20
	diskSize = 4 * mib
	serial   = "S3CR3T"
)

// secret is what is on every imitation disk before it is erased: each block says where it was.
var secret = newStream([]byte("secret"), "what was there")

// fakeDisk is an imitation of a disk, with the faults that disks have.
type fakeDisk struct {
	size    int64
	sector  int
	content filler           // of the blocks that are not in blocks
	blocks  map[int64][]byte // by offset, of block bytes
	secure  bool             // offers secure discard
	plain   bool             // offers no discard at all

	lies     bool           // says yes to every erase, and keeps its bytes
	half     bool           // erases only the lower half of itself
	refuses  map[int64]bool // blocks that cannot be written, nor zeroed
	unread   map[int64]bool // blocks that cannot be read
	forgets  bool           // writes are lost
	touched  bool           // anything was written, or a command begun that changes the disk
	closed   chan struct{}
	ata      *fakeATA
	nvme     *fakeNVMe
	cancelAt func() bool // the server has other plans from then on
	cancel   func()
}

func newDisk() *fakeDisk {
	return &fakeDisk{size: diskSize, sector: 512, content: secret, blocks: map[int64][]byte{}}
}

func (d *fakeDisk) Size() int64            { return d.size }
func (d *fakeDisk) SectorSize() int        { return d.sector }
func (d *fakeDisk) CanDiscard() bool       { return !d.plain }
func (d *fakeDisk) CanSecureDiscard() bool { return d.secure }
func (d *fakeDisk) Flush() error           { return nil }
func (d *fakeDisk) Close() error           { close(d.closed); return nil }

func (d *fakeDisk) ATA() ata.Port {
	if d.ata == nil {
		return nil
	}
	return d.ata
}

func (d *fakeDisk) NVMe() (nvme.Controller, uint32) {
	if d.nvme == nil {
		return nil, 0
	}
	return d.nvme, 1
}

// barred is the error of a disk that takes no reads and writes just now.
func (d *fakeDisk) barred() error {
	if d.ata != nil && (d.ata.locked || d.ata.running > 0 || d.ata.failed) || d.nvme != nil && (d.nvme.running > 0 ||
		d.nvme.failed) {
		return unix.EIO
	}
	return nil
}

func (d *fakeDisk) touch() {
	d.touched = true
	if d.cancelAt != nil && d.cancelAt() {
		d.cancel()
	}
}

func (d *fakeDisk) at(off int64) []byte {
	if b, ok := d.blocks[off]; ok {
		return b
	}
	b := make([]byte, block)
	d.content.fill(b, off)
	return b
}

// each visits the blocks of a range, which must be whole ones.
func (d *fakeDisk) each(off, n int64, visit func(off int64) error) error {
	if off%block != 0 || n%block != 0 || off < 0 || off+n > d.size {
		return unix.EINVAL
	}
	if err := d.barred(); err != nil {
		return err
	}
	for end := off + n; off < end; off += block {
		if err := visit(off); err != nil {
			return err
		}
	}
	return nil
}

func (d *fakeDisk) ReadAt(p []byte, off int64) (int, error) {
	err := d.each(off, int64(len(p)), func(at int64) error {
		if d.unread[at] {
			return unix.EIO
		}
		copy(p[at-off:], d.at(at))
		return nil
	})
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

func (d *fakeDisk) WriteAt(p []byte, off int64) (int, error) {
	d.touch()
	err := d.change(off, int64(len(p)), func(at int64) []byte { return bytes.Clone(p[at-off:][:block]) })
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

func (d *fakeDisk) change(off, n int64, to func(at int64) []byte) error {
	return d.each(off, n, func(at int64) error {
		if d.refuses[at] {
			return unix.EIO
		}
		if !d.forgets {
			d.blocks[at] = to(at)
		}
		return nil
	})
}

func (d *fakeDisk) Zero(off, n int64) error {
	d.touch()
	return d.change(off, n, func(at int64) []byte {
		if d.lies || d.half && at >= d.size/2 {
			return d.at(at)
		}
		return make([]byte, block)
	})
}

func (d *fakeDisk) Discard(off, n int64) error       { return d.Zero(off, n) }
func (d *fakeDisk) SecureDiscard(off, n int64) error { return d.Zero(off, n) }

// erased is what a firmware's erase leaves.
func (d *fakeDisk) erased(f filler) {
	switch {
	case d.lies:
	case d.half:
		for off := int64(0); off < d.size/2; off += block {
			b := make([]byte, block)
			f.fill(b, off)
			d.blocks[off] = b
		}
	default:
		d.content, d.blocks = f, map[int64][]byte{}
	}
}

// left counts the blocks of the disk that still hold what was there before.
func (d *fakeDisk) left() (n int) {
	want := make([]byte, block)
	for off := int64(0); off < d.size; off += block {
		secret.fill(want, off)
		if bytes.Equal(d.at(off), want) {
			n++
		}
	}
	return n
}

// world is a node with disks, and its server.
type world struct {
	*testing.T
	disk  *fakeDisk
	disks []session.Disk
	inUse string
	first *session.DiskID // what the server says that the session chose at first; nil: whatever comes

	mu     sync.Mutex
	steps  []string
	words  string
	result *erasure.Result // that was reported
	reread bool
}

func (w *world) Step(step, level, message string, _ *session.Progress) {
	w.mu.Lock()
	w.steps = append(w.steps, level+" "+step)
	w.words += message + "\n"
	w.mu.Unlock()
}
func (w *world) Progress(string, session.Progress) {}

func (w *world) List() []session.Disk         { return slices.Clone(w.disks) }
func (w *world) InUse(string) (string, error) { return w.inUse, nil }

func (w *world) Reread(context.Context, string, []int) error {
	select {
	case <-w.disk.closed:
	default:
		w.Error("the partition table is read anew while the disk is open")
	}
	w.reread = true
	return nil
}

func (w *world) ChooseDisk(_ context.Context, _ string, _ int, d session.DiskID) (session.DiskID, error) {
	if w.first != nil {
		return *w.first, nil
	}
	return d, nil
}

func newWorld(t *testing.T, d *fakeDisk) *world {
	return &world{T: t, disk: d, disks: []session.Disk{{Path: "/dev/sda", Size: d.size, SectorSize: d.sector,
		Model: "Imitation", Serial: serial}}}
}

// erase runs in a bubble of time.
func (w *world) erase(spec erasure.Spec) (res *erasure.Result, err error) {
	w.Helper()
	synctest.Test(w.T, func(t *testing.T) {
		w.disk.closed = make(chan struct{})
		ctx, cancel := context.WithCancelCause(t.Context())
		defer cancel(nil)
		w.disk.cancel = func() { cancel(errCancelled) }
		res, err = Erase(ctx, &session.Descriptor{Session: "e", Target: &session.Target{}}, spec, Options{Server: w,
			Report: w, Disks: w,
			Done: func(level, message string, r *erasure.Result) {
				w.result = r
				w.Step(erasure.StepErased, level, message, nil)
			},
			Open: func(session.Disk) (Device, error) { return w.disk, nil }})
		if res != nil {
			<-w.disk.closed // when every command has come back
		}
		synctest.Wait()
	})
	return res, err
}

var errCancelled = errors.New("the server has other plans")
