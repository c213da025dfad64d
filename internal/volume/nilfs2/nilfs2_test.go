package nilfs2

import (
	"bytes"
	"io"
	"os"
	"testing"

	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

func TestEmpty(t *testing.T) {
	image := volumetest.Mkfs(t, "nilfs2", 128<<20, "-B 64")
	_, extents := volumetest.Load(t, image, Open)
	if used := volume.Bytes(extents); used > 4<<20 {
		t.Errorf("an empty one has %d bytes", used)
	}
}

// TestTurns has the two superblocks differ, as they do when Linux was at the other one's turn.
func TestTurns(t *testing.T) {
	const size = 128 << 20
	made, err := os.ReadFile(volumetest.Mkfs(t, "nilfs2", size, "-B 64"))
	if err != nil {
		t.Fatal(err)
	}
	const firstAt, secondAt = superAt, size - tailSize
	// change writes into a superblock and gives it its checksum.
	change := func(image []byte, at int, write func(sb []byte)) {
		sb := image[at : at+superSize]
		write(sb)
		le.PutUint32(sb[sumAt:], sumOf(sb))
	}
	state := func(valid uint16) func(sb []byte) {
		return func(sb []byte) { le.PutUint16(sb[stateAt:], valid) }
	}
	later := func(sb []byte) { le.PutUint64(sb[checkpointAt:], le.Uint64(sb[checkpointAt:])+1) }
	for name, c := range map[string]struct {
		change func(image []byte)
		clean  bool
	}{
		"as made": {func([]byte) {}, true},
		"first not clean, second later": {func(image []byte) {
			change(image, firstAt, state(0))
			change(image, secondAt, later)
		}, true},
		"first not clean, second of the same checkpoint": {func(image []byte) {
			change(image, firstAt, state(0))
		}, false},
		"second later and not clean": {func(image []byte) {
			change(image, secondAt, later)
			change(image, secondAt, state(0))
		}, false},
		"first later, second not clean": {func(image []byte) {
			change(image, firstAt, later)
			change(image, secondAt, state(0))
		}, true},
		"second later and damaged": {func(image []byte) {
			change(image, firstAt, state(0))
			change(image, secondAt, later)
			image[secondAt+100] ^= 1
		}, false},
		"second later and of another file system": {func(image []byte) {
			change(image, firstAt, state(0))
			change(image, secondAt, later)
			change(image, secondAt, func(sb []byte) { sb[uuidAt]++ })
		}, false},
	} {
		image := bytes.Clone(made)
		c.change(image)
		fs, err := Open(bytes.NewReader(image), size)
		if err != nil || fs.Info().Clean != c.clean {
			t.Errorf("%s: %v, clean %v, want %v", name, err, err == nil && fs.Info().Clean, c.clean)
		}
	}
}

// FuzzOpen fixes the superblock's checksum, so that what is behind it is reached.
func FuzzOpen(f *testing.F) {
	volumetest.Fuzz(f, func(t *testing.T, r io.ReaderAt, size int64) {
		if fs, err := Open(r, size); err == nil {
			if extents, err := fs.Extents(); err == nil {
				volumetest.Check(t, extents, size)
			}
		}
		sb := make([]byte, 1024)
		if _, err := r.ReadAt(sb, superAt); err != nil {
			return
		}
		fs := &FS{r: r, size: size, seed: le.Uint32(sb[seedAt:])}
		if size < 3*tailSize || fs.super(sb) != nil {
			return
		}
		extents, err := fs.Extents()
		if err == nil {
			volumetest.Check(t, extents, size)
		}
	})
}
