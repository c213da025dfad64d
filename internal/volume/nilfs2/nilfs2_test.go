package nilfs2

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

func TestRecognised(t *testing.T) {
	volumetest.Need(t, "mkfs.nilfs2", "blkid")
	const size = 64 << 20
	image := volumetest.Sparse(t, size)
	volumetest.Run(t, "mkfs.nilfs2", "-q", "-B", "64", "-L", "dc-test", image)
	f, n := volumetest.Open(t, image)
	fs, err := Open(f, n)
	if err != nil {
		t.Fatal(err)
	}
	info := fs.Info()
	blkid := volumetest.Run(t, "blkid", "-p", image)
	extents, err := fs.Extents()
	if err != nil || volume.Bytes(extents) != size || !info.Clean || info.Label != "dc-test" || !strings.Contains(blkid, `"`+info.UUID+`"`) || !strings.Contains(blkid, `"`+fs.Type()+`"`) {
		t.Errorf("%+v %v, blkid says %s", info, err, blkid)
	}
	p, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	p[superAt+100] ^= 1
	if _, err := Open(bytes.NewReader(p), n); err == nil || errors.Is(err, volume.ErrNotThis) {
		t.Errorf("a damaged superblock: %v", err)
	}
}

func FuzzOpen(f *testing.F) {
	p := make([]byte, 4096)
	p[superAt] = 2
	le.PutUint16(p[superAt+6:], magic)
	f.Add(p)
	f.Fuzz(func(t *testing.T, p []byte) {
		if fs, err := Open(bytes.NewReader(p), int64(len(p))); err == nil {
			_ = fs.Info()
		}
	})
}
