package fat

import (
	"encoding/binary"

	"github.com/diskcast/diskcast/internal/volume"
)

// table reads one copy of the file allocation table.
type table struct {
	fs    *FS
	runs  *volume.Runs
	start int64 // first cluster of the run of used clusters being read; 0: none
}

// read reads the table at byte off, in pieces.
func (t *table) read(off int64) error {
	fs := t.fs
	end := fs.clusters + 2
	if fs.bits == 12 {
		raw, err := volume.Read(fs.r, fs.size, off, (end*12+7)/8, readSize)
		if err != nil {
			return err
		}
		for n := int64(2); n < end; n++ {
			e := binary.LittleEndian.Uint16(pad(raw[n*3/2:]))
			if n&1 == 1 {
				e >>= 4
			}
			t.entry(n, uint32(e&0xfff), 0xff7)
		}
		t.entry(end, 0, 1)
		return nil
	}
	width := int64(fs.bits / 8)
	for n := int64(0); n < end; {
		raw, err := volume.Read(fs.r, fs.size, off+n*width, min(readSize, (end-n)*width), readSize)
		if err != nil {
			return err
		}
		if width == 2 {
			for ; len(raw) >= 2; raw, n = raw[2:], n+1 {
				t.entry(n, uint32(binary.LittleEndian.Uint16(raw)), 0xfff7)
			}
			continue
		}
		for ; len(raw) >= 4; raw, n = raw[4:], n+1 {
			t.entry(n, binary.LittleEndian.Uint32(raw)&0x0fffffff, 0x0ffffff7)
		}
	}
	t.entry(end, 0, 1)
	return nil
}

// entry takes the entries in order. The first two stand for no cluster.
func (t *table) entry(n int64, value, bad uint32) {
	used := value != 0 && value != bad && n >= 2
	switch {
	case used && t.start == 0:
		t.start = n
	case !used && t.start != 0:
		t.runs.Add(t.fs.clusterStart(t.start), (n-t.start)*t.fs.cluster)
		t.start = 0
	}
}

// pad makes the last byte of a 12-bit table readable as two.
func pad(b []byte) []byte {
	if len(b) < 2 {
		return append(b[:len(b):len(b)], 0, 0)
	}
	return b
}
