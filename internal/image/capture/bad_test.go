package capture_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/capture"
	"github.com/diskcast/diskcast/internal/image/imagetest"
	"github.com/diskcast/diskcast/internal/image/restore"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

// unreadable is a disk of which some bytes cannot be read.
type unreadable struct {
	*bytes.Reader
	from, to int64
}

func (f unreadable) ReadAt(p []byte, off int64) (int, error) {
	if off < f.to && off+int64(len(p)) > f.from {
		n, _ := f.Reader.ReadAt(p[:max(0, f.from-off)], off)
		return n, syscall.EIO
	}
	return f.Reader.ReadAt(p, off)
}

// TestBadBlocks has file systems that their own tools told of a bad place, which the disk cannot read.
func TestBadBlocks(t *testing.T) {
	const size, bad, unit = 16 << 20, 9 << 20, 4096
	for name, c := range map[string]struct {
		blocks int64 // unit of the list of bad blocks
		args   []string
	}{
		"fat":  {1024, []string{"mkfs.fat", "-F", "16", "-s", "8"}},
		"ext4": {4096, []string{"mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096"}},
	} {
		t.Run(name, func(t *testing.T) {
			path, list := volumetest.Sparse(t, size), filepath.Join(t.TempDir(), "bad")
			var words strings.Builder
			for at := int64(bad); at < bad+unit; at += c.blocks {
				fmt.Fprintln(&words, at/c.blocks)
			}
			if err := os.WriteFile(list, []byte(words.String()), 0o600); err != nil {
				t.Fatal(err)
			}
			volumetest.Run(t, c.args[0], append(c.args[1:], "-l", list, path)...)
			disk, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			imagetest.Random(disk[bad:bad+unit], 1) // what the disk would say if it could
			take := func(from, to int64) (*capture.Result, *image.Store, error) {
				s, err := image.OpenStore(t.TempDir())
				if err != nil {
					t.Fatal(err)
				}
				r, err := capture.Capture(t.Context(), unreadable{bytes.NewReader(disk), from, to}, size, 512,
					capture.Options{Store: s, Level: capture.Fast})
				return r, s, err
			}
			r, s, err := take(bad, bad+unit)
			if err != nil {
				t.Fatal(err)
			}
			if notes := strings.Join(r.Config.Table.Notes, " "); !strings.Contains(notes,
				"4096 bytes, from byte 9437184 on, could not be read") {
				t.Errorf("notes: %s", notes)
			}
			im, err := s.Open(r.Digest)
			if err != nil {
				t.Fatal(err)
			}
			defer im.Close()
			target := imagetest.NewMemory(make([]byte, size), 512)
			if _, err := restore.Local(t.Context(), im, target, restore.LocalOptions{Verify: true}); err != nil {
				t.Fatal(err)
			}
			want := bytes.Clone(disk)
			clear(want[bad : bad+unit])
			if !bytes.Equal(target.Bytes(), want) {
				t.Error("more than the bad place differs")
			}
			// One that can be read is in the image, and nothing is said.
			r, _, err = take(0, 0)
			if err != nil || strings.Contains(strings.Join(r.Config.Table.Notes, " "), "could not be read") {
				t.Errorf("a bad place that can be read: %v", err)
			}
			// What no file system calls bad must be read: here the first KiB, which each of them has.
			if _, _, err := take(0, 1024); !errors.Is(err, syscall.EIO) {
				t.Errorf("an error elsewhere: %v", err)
			}
			if _, _, err := take(bad-512, bad+unit); name == "ext4" && err != nil {
				t.Errorf("beside it lies a free block: %v", err)
			}
		})
	}
}
