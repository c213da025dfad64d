package ntfs

import (
	"os"
	"testing"

	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

// TestBadClusters gives the stream $Bad of $BadClus, which mkntfs makes as one hole, a run of two clusters.
func TestBadClusters(t *testing.T) {
	const at = 0x1234
	image := volumetest.Mkfs(t, "ntfs", 64<<20, "-c 4096")
	fs, _ := volumetest.Load(t, image, Open)
	if bad := fs.Info().Bad; len(bad) > 0 {
		t.Fatalf("a new one has bad clusters: %v", bad)
	}
	f, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	record, off := make([]byte, 1024), fs.mft[0].lcn*fs.cluster+8*1024
	if _, err := f.ReadAt(record, off); err != nil {
		t.Fatal(err)
	}
	a := int(le.Uint16(record[20:]))
	for record[a] != 0x80 || record[a+9] == 0 { // the data with a name
		n := int(le.Uint32(record[a+4:]))
		if n == 0 || a+n > 400 {
			t.Fatal("it has no $Bad")
		}
		a += n
	}
	pairs := a + int(le.Uint16(record[a+32:]))
	all := le.Uint64(record[a+24:]) + 1 // clusters of the stream
	rest := all - at - 2
	end := pairs + copy(record[pairs:],
		[]byte{0x02, at & 0xff, at >> 8, 0x21, 2, at & 0xff, at >> 8, 0x02, byte(rest), byte(rest >> 8), 0})
	end = (end + 7) &^ 7
	copy(record[end:], "\xff\xff\xff\xff\x00\x00\x00\x00")
	le.PutUint32(record[a+4:], uint32(end-a))
	le.PutUint32(record[24:], uint32(end+8))
	if _, err := f.WriteAt(record, off); err != nil {
		t.Fatal(err)
	}
	// The bitmap must have them: as it has not, the map is not believed.
	fs, err = Open(f, 64<<20)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fs.Extents(); err == nil {
		t.Error("a bad cluster that the bitmap calls free is believed")
	}
	runs, _, err := fs.data(fileBitmap)
	if err != nil {
		t.Fatal(err)
	}
	var bits [1]byte
	place := runs[0].lcn*fs.cluster + at/8
	if _, err := f.ReadAt(bits[:], place); err != nil {
		t.Fatal(err)
	}
	bits[0] |= 3 << (at % 8)
	if _, err := f.WriteAt(bits[:], place); err != nil {
		t.Fatal(err)
	}
	fs, extents := volumetest.Load(t, image, Open)
	bad := fs.Info().Bad
	if len(bad) != 1 || bad[0] != (volume.Extent{Offset: at * 4096, Length: 8192}) {
		t.Errorf("bad clusters: %v", bad)
	}
	if err := volume.Require(extents, "bad clusters", at*4096, 8192); err != nil {
		t.Error(err)
	}
}
