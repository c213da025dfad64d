package table

import (
	"encoding/binary"
	"hash/crc32"
	"testing"

	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

// What tools wrote into a GPT beside the partitions comes back bit for bit: bytes behind the end of a name, a lone
// surrogate, an entry of no length, a deleted entry, reserved bytes of each header, a backup that is not at the end of
// the disk.
func TestGPTBitForBit(t *testing.T) {
	f, size := gptDisk(t)
	array := make([]byte, 128*128)
	if _, err := f.ReadAt(array, 1024); err != nil {
		t.Fatal(err)
	}
	le := binary.LittleEndian
	copy(array[56+6:], "x\x00y\x00")                // behind the name "a" and its NUL
	copy(array[128+56:], "\x00\xd8")                // a lone surrogate
	copy(array[256:], array[128:256])               // partition 3: no length
	le.PutUint64(array[256+32:], 211*mib/512)       // first
	le.PutUint64(array[256+40:], 211*mib/512-1)     // last
	copy(array[384+16:], "the id of a deleted one") // slot 4
	for i, at := range []struct{ header, array int64 }{{512, 1024}, {size - 512, size - 33*512}} {
		h := make([]byte, 512)
		if _, err := f.ReadAt(h, at.header); err != nil {
			t.Fatal(err)
		}
		h[300+i] = 7
		le.PutUint32(h[88:], crc32.ChecksumIEEE(array))
		le.PutUint32(h[16:], 0)
		le.PutUint32(h[12:], uint32(92+8*i))
		le.PutUint32(h[16:], crc32.ChecksumIEEE(h[:92+8*i]))
		for _, x := range []struct {
			p   []byte
			off int64
		}{{h, at.header}, {array, at.array}} {
			if _, err := f.WriteAt(x.p, x.off); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, grown := range []int64{0, 64 * mib} {
		if err := f.Truncate(size + grown); err != nil {
			t.Fatal(err)
		}
		tbl, err := Read(f, size+grown, 512)
		if err != nil || len(tbl.Partitions) != 2 {
			t.Fatalf("%+v %v", tbl, err)
		}
		out, _ := volumetest.Open(t, volumetest.Sparse(t, size+grown))
		if err := Write(out, tbl, size+grown, 512); err != nil {
			t.Fatal(err)
		}
		for _, e := range [][2]int64{{0, 34 * 512}, {size - 33*512, 33 * 512}} {
			want, got := make([]byte, e[1]), make([]byte, e[1])
			if _, err := f.ReadAt(want, e[0]); err != nil {
				t.Fatal(err)
			}
			if _, err := out.ReadAt(got, e[0]); err != nil {
				t.Fatal(err)
			}
			for i := range want {
				if want[i] != got[i] {
					t.Fatalf("enlarged by %d: byte %d is %#x, was %#x", grown, e[0]+int64(i), got[i], want[i])
				}
			}
		}
	}
}
