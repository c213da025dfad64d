package fat

import (
	"cmp"
	"encoding/binary"
	"fmt"

	"github.com/diskcast/diskcast/internal/volume"
)

// table reads one copy of the file allocation table.
type table struct {
	fs    *FS
	runs  *volume.Runs
	bad   *volume.Runs
	start int64 // first cluster of the run of used clusters being read; 0: none
}

// read reads the table at byte off, in pieces, and shows its entries to visit in order. bad is the value of a bad
// cluster. A last call with value 0 stands for the entry behind the last one.
func (t *table) read(off int64, visit func(n int64, value, bad uint32)) error {
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
			visit(n, uint32(e&0xfff), 0xff7)
		}
		visit(end, 0, 1)
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
				visit(n, uint32(binary.LittleEndian.Uint16(raw)), 0xfff7)
			}
			continue
		}
		for ; len(raw) >= 4; raw, n = raw[4:], n+1 {
			visit(n, binary.LittleEndian.Uint32(raw)&0x0fffffff, 0x0ffffff7)
		}
	}
	visit(end, 0, 1)
	return nil
}

// entry takes the entries in order. The first two stand for no cluster.
func (t *table) entry(n int64, value, bad uint32) {
	used := value != 0 && n >= 2
	if n >= 2 && value == bad {
		t.bad.Add(t.fs.clusterStart(n), t.fs.cluster)
	}
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

// check wants the chains in the table that counts, and the root directory, to lead to used clusters only.
func (fs *FS) check(used []volume.Extent) error {
	bits := make([]uint64, (fs.clusters+2)/64+1) // one for each cluster
	for _, e := range used {
		first, end := (e.Offset-fs.dataStart())/fs.cluster+2, (e.End()-fs.dataStart())/fs.cluster+2
		for n := max(2, first); n < min(end, fs.clusters+2); n++ {
			bits[n/64] |= 1 << (n % 64)
		}
	}
	isUsed := func(n int64) bool { return n < fs.clusters+2 && bits[n/64]>>(n%64)&1 == 1 }
	var wrong error
	t := &table{fs: fs}
	err := t.read(fs.reserved+int64(fs.active)*fs.table, func(n int64, value, bad uint32) {
		// From bad on there are the ends of chains, and some values below it are reserved.
		if next := int64(value); wrong == nil && n >= 2 && next >= 2 && value < bad-7 && !isUsed(next) {
			wrong = fmt.Errorf("file allocation table %d leads from cluster %d to %d, which is free or outside it",
				fs.active+1, n, next)
		}
	})
	if err != nil || wrong != nil {
		return cmp.Or(err, wrong)
	}
	if fs.bits == 32 && fs.clusters > 0 && !isUsed(fs.rootCluster) {
		return fmt.Errorf("the file allocation tables call cluster %d free, where the root directory is",
			fs.rootCluster)
	}
	return fs.rootEntries(func(e []byte) error {
		first := int64(binary.LittleEndian.Uint16(e[26:]))
		if fs.bits == 32 {
			first |= int64(binary.LittleEndian.Uint16(e[20:])) << 16
		}
		if e[11]&0x08 == 0 && first >= 2 && !isUsed(first) {
			return fmt.Errorf("the file allocation tables call cluster %d free, where %q of the root directory begins",
				first, e[:11])
		}
		return nil
	})
}
