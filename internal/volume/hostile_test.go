package volume_test

import (
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

// unclean has a file system that was not unmounted. It says so; and where its map cannot be had without a replay of its
// journal, all of it is captured.
func (r reader) unclean(t *testing.T) {
	if r.dirty == nil {
		return
	}
	t.Parallel()
	d := r.dirty
	v := r.variants[0]
	if d.options != "" {
		v = variant{options: d.options, size: d.size}
	}
	v.mb = none
	image := r.made(t, v)
	list := d.do(t, image)
	f, size := volumetest.Open(t, image)
	if d.refused != "" {
		fs, err := r.open(f, size)
		if err == nil {
			_, err = fs.Extents()
		}
		if err == nil || errors.Is(err, volume.ErrNotThis) || !strings.Contains(err.Error(), d.refused) {
			t.Errorf("got %v, want %q", err, d.refused)
		}
		return
	}
	fs, extents := volumetest.Load(t, image, r.open)
	notes := 1
	if !r.whole {
		notes += r.notes
	}
	if info := fs.Info(); info.Clean || len(info.Notes) != notes || (volume.Bytes(extents) == size) != r.whole {
		t.Errorf("%d of %d bytes, %+v", volume.Bytes(extents), size, info)
	}
	if list == "" {
		return
	}
	restored := volumetest.Restore(t, image, extents)
	if d.mend != nil {
		d.mend(t, restored)
	}
	volumetest.Same(t, list, r.list(t, restored, v))
}

// damaged changes the superblock: in the ways of the table, and then each of its words in turn to all zeros and all
// ones. A reader refuses, or says what is in order.
func (r reader) damaged(t *testing.T) {
	images := map[string]io.ReaderAt{}
	sizes := map[string]int64{}
	image := func(options string) (io.ReaderAt, int64) {
		if images[options] == nil {
			images[options], sizes[options] = volumetest.Open(t, r.plain(t, options))
		}
		return images[options], sizes[options]
	}
	for _, d := range r.damage {
		f, size := image(d.options)
		patch := []byte(d.patch)
		if d.flip != 0 {
			patch = make([]byte, 1)
			if _, err := f.ReadAt(patch, d.at); err != nil {
				t.Fatal(err)
			}
			patch[0] ^= d.flip
		}
		fs, err := r.open(volumetest.Patched{ReaderAt: f, At: d.at, Data: patch}, size)
		if err == nil {
			_, err = fs.Extents()
		}
		if err == nil || errors.Is(err, volume.ErrNotThis) != (d.want == notThis) ||
			!strings.Contains(err.Error(), d.want) {
			t.Errorf("%s: got %v, want %q", d.name, err, d.want)
		}
	}
	f, size := image("")
	for at := r.super; at < r.super+512; at += 4 {
		var now [4]byte
		if _, err := f.ReadAt(now[:], at); err != nil {
			t.Fatal(err)
		}
		for _, word := range []string{"\x00\x00\x00\x00", "\xff\xff\xff\xff"} {
			if string(now[:]) == word {
				continue // as it is, which the rest of the suite asks
			}
			fs, err := r.open(volumetest.Patched{ReaderAt: f, At: at, Data: []byte(word)}, size)
			if err != nil {
				continue
			}
			_ = fs.Info()
			if extents, err := fs.Extents(); err == nil {
				volumetest.Check(t, extents, size)
			}
		}
	}
}

// cut has partitions that end too early, and ones with nothing of the file system in them.
func (r reader) cut(t *testing.T) {
	f, size := volumetest.Open(t, r.plain(t, ""))
	if _, err := r.open(f, size/2); err == nil || errors.Is(err, volume.ErrNotThis) {
		t.Errorf("half of it: got %v, want that it claims more than there is", err)
	}
	for _, n := range []int64{0, 1, 100, 511, 512, 1024, 2048, 4096, 9000, 64 << 10, 90_000, 1 << 20} {
		if fs, err := r.open(f, n); err == nil {
			t.Errorf("the first %d bytes: %+v", n, fs.Info())
		}
		for _, fill := range []string{"\x00", "x"} {
			other := strings.NewReader(strings.Repeat(fill, int(n)))
			if _, err := r.open(other, n); !errors.Is(err, volume.ErrNotThis) {
				t.Errorf("%d bytes of %q: got %v, want that it is not this", n, fill, err)
			}
		}
	}
}

// larger has the file system in a partition that is larger, with bytes of somebody else behind it. What it claims, and
// what is used in it, stays as it was.
func (r reader) larger(t *testing.T) {
	const more = 1<<20 + 512
	image := r.plain(t, "")
	f, size := volumetest.Open(t, image)
	before, extents := volumetest.Map(t, f, size, r.open)
	if _, err := f.WriteAt([]byte(strings.Repeat("others", more/6+1)[:more]), size); err != nil {
		t.Fatal(err)
	}
	after, now := volumetest.Map(t, f, size+more, r.open)
	a, b := before.Info(), after.Info()
	if a.Size != b.Size || a.Used > b.Used || a.Clean != b.Clean {
		t.Errorf("%+v, in a larger partition %+v", a, b)
	}
	lost, extra := volume.Subtract(extents, now), volume.Subtract(now, extents)
	if len(lost) > 0 && lost[0].Offset < a.Size || len(extra) > 0 && extra[0].Offset < a.Size {
		t.Errorf("in a larger partition its map has lost %v, and has %v more, of %d bytes", lost, extra, a.Size)
	}
}

// record makes the seeds of the fuzz target anew.
func (r reader) record(t *testing.T) {
	volumetest.Updating(t)
	for _, v := range r.recorded {
		v.mb = none
		volumetest.Record(t, r.seed(v.seed), r.made(t, v), volumetest.Reads(r.open))
	}
}

// seed is the path of a seed of the fuzz target.
func (r reader) seed(name string) string { return filepath.Join(r.name, "testdata", name+".seed") }

// seeds wants each seed of the fuzz target to be understood.
func (r reader) seeds(t *testing.T) {
	volumetest.Seeds(t, filepath.Join(r.name, "testdata"), func(t *testing.T, f io.ReaderAt, size int64) {
		fs, extents := volumetest.Map(t, f, size, r.open)
		used := volume.Bytes(extents)
		if used == 0 || r.whole && (used == size) == fs.Info().Clean {
			t.Errorf("%d of %d bytes, %+v", used, size, fs.Info())
		}
	})
}
