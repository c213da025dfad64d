package restore_test

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/capture"
	"github.com/diskcast/diskcast/internal/image/imagetest"
	"github.com/diskcast/diskcast/internal/image/restore"
)

// TestWholeDiskSmaller restores a disk without a table, which has a file system of 8 MiB, to smaller ones: what it
// claims must fit, and what is stored behind it.
func TestWholeDiskSmaller(t *testing.T) {
	const size, claims, far = 24 * gapsMiB, 8 * gapsMiB, 12 * gapsMiB
	for name, c := range map[string]struct {
		far    bool // some bytes lie at 12 MiB
		target int64
		want   string // "" if it fits
	}{
		"zeros behind, as large as the file system": {false, claims, ""},
		"zeros behind, too small": {false, claims - 4096,
			"the swap file system of the image has 8388608 bytes"},
		"bytes behind, as large as the file system": {true, claims, "bytes that are not zero from byte 12582912 on"},
		"bytes behind, room for them":               {true, far + gapsMiB, ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := make([]byte, size)
			swapHeader(b)
			binary.LittleEndian.PutUint32(b[1028:], claims/4096-1)
			if c.far {
				imagetest.Random(b[far:far+5000], 1)
			}
			s, err := image.OpenStore(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			r, err := capture.Capture(t.Context(), imagetest.NewMemory(b, 512), size, 512,
				capture.Options{Store: s, Level: capture.Fast})
			if err != nil {
				t.Fatal(err)
			}
			im, err := s.Open(r.Digest)
			if err != nil {
				t.Fatal(err)
			}
			defer im.Close()
			target := dirty(c.target, 512)
			_, err = restore.Local(t.Context(), im, target, restore.LocalOptions{Verify: true})
			var small *restore.TooSmallError
			if c.want != "" {
				if !errors.As(err, &small) || !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %v, want %q", err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := target.Bytes()
			if string(got[:4096]) != string(b[:4096]) || c.far && string(got[far:far+5000]) != string(b[far:far+5000]) {
				t.Error("the restored bytes differ")
			}
		})
	}
}
