package volumetest

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"github.com/diskcast/diskcast/internal/volume"
)

// Partclone captures an image with partclone.NAME and returns the runs that its bitmap calls used, and its block size.
func Partclone(t testing.TB, name, image string) (used []volume.Extent, blockSize int64) {
	t.Helper()
	used, blockSize, _ = partclone(t, name, image)
	return used, blockSize
}

// PartcloneFree returns the runs of an image that the bitmap of partclone.NAME calls free, as far as its blocks reach.
func PartcloneFree(t testing.TB, name, image string) []volume.Extent {
	t.Helper()
	used, blockSize, blocks := partclone(t, name, image)
	return volume.Invert(used, blocks*blockSize)
}

func partclone(t testing.TB, name, image string) (used []volume.Extent, blockSize, blocks int64) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "partclone.img")
	log := filepath.Join(t.TempDir(), "partclone.log")
	Run(t, "partclone."+name, "-c", "-s", image, "-o", out, "-L", log)
	p, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	// The header of version 0002; docs/convert.md describes it.
	if len(p) < 110 || string(p[:15]) != "partclone-image" || string(p[30:34]) != "0002" {
		t.Fatalf("partclone.%s wrote no version 2 image", name)
	}
	size := int64(binary.LittleEndian.Uint64(p[52:]))
	blocks = int64(binary.LittleEndian.Uint64(p[60:]))
	blockSize = int64(binary.LittleEndian.Uint32(p[84:]))
	if n := (blocks + 7) / 8; int64(len(p)) < 110+n {
		t.Fatalf("partclone.%s wrote a short image", name)
	}
	runs := volume.NewRuns(size)
	runs.AddBits(p[110:], blocks, 0, blockSize)
	return runs.Extents(), blockSize, blocks
}

// Compare tells how many bytes only ours has and how many only theirs has.
func Compare(ours, theirs []volume.Extent) (onlyOurs, onlyTheirs int64) {
	return volume.Bytes(volume.Subtract(ours, theirs)), volume.Bytes(volume.Subtract(theirs, ours))
}
