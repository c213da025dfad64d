// Package hfsplus reads the allocation map of HFS+ and HFSX from the volume's allocation file.
//
// The source is Apple's Technical Note TN1150, "HFS Plus Volume Format" (volume header, fork data, allocation file,
// catalog, journal). The first 1536 bytes (boot blocks and volume header) and the last 1024 bytes of the partition
// (alternate header) are always in the map. A volume that was not unmounted, or whose journal is not empty, is captured
// whole. So is one that lies inside an old HFS volume (an HFS wrapper), and one whose allocation file has more than
// eight pieces: both are refused as not understood. The header's count of free blocks must be that of the allocation
// file, which must have the volume's special files; files are not read.
package hfsplus

import (
	"crypto/md5"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"unicode/utf16"

	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/field"
)

var be = binary.BigEndian

const (
	headerAt   = 1024
	headerSize = 512

	attrUnmounted, attrInconsistent, attrJournaled = 1 << 8, 1 << 11, 1 << 13

	allocationFork, extentsFork, catalogFork = 112, 192, 272
)

// FS is an HFS+ volume.
type FS struct {
	r      io.ReaderAt
	size   int64
	block  int64
	blocks int64
	header []byte
	info   volume.Info
	whole  bool
}

// Open reads the volume header, the state of the journal and the label.
func Open(r io.ReaderAt, size int64) (*FS, error) {
	if size < headerAt+headerSize+1024 {
		return nil, fmt.Errorf("hfsplus: %w", volume.ErrNotThis)
	}
	fs := &FS{r: r, size: size, header: make([]byte, headerSize)}
	if err := volume.ReadAt(r, size, headerAt, fs.header); err != nil {
		return nil, fmt.Errorf("hfsplus: %w", err)
	}
	h := fs.header
	switch signature, version := string(h[:2]), be.Uint16(h[2:]); {
	case signature == "H+" && version == 4, signature == "HX" && version == 5:
	case signature == "BD" && string(h[124:126]) == "H+":
		return nil, errors.New("hfsplus: it lies inside an HFS volume, which is not understood")
	default:
		return nil, fmt.Errorf("hfsplus: %w", volume.ErrNotThis)
	}
	fs.block, fs.blocks = int64(be.Uint32(h[40:])), int64(be.Uint32(h[44:]))
	free := int64(be.Uint32(h[48:]))
	if fs.block < 512 || fs.block > 1<<30 || fs.block&(fs.block-1) != 0 {
		return nil, fmt.Errorf("hfsplus header: block size %d", fs.block)
	}
	if fs.blocks < 1 || fs.blocks > size/fs.block || free > fs.blocks {
		return nil, fmt.Errorf("hfsplus header: it claims %d blocks of %d bytes (%d free), and the partition has "+
			"room for %d", fs.blocks, fs.block, free, size/fs.block)
	}
	fs.info = volume.Info{UUID: uuid(h[104:112]), BlockSize: fs.block, Size: fs.blocks * fs.block,
		Used: (fs.blocks - free) * fs.block}
	clean, err := fs.clean()
	if err != nil {
		return nil, fmt.Errorf("hfsplus journal: %w", err)
	}
	fs.info.Clean = clean
	if !clean {
		fs.whole = true
		fs.info.Notes = append(fs.info.Notes,
			"It was not cleanly unmounted: the journal will be replayed on first mount. "+
				"What is used may be known to the journal only, so it is captured whole.")
	}
	fs.info.Label = fs.label()
	return fs, nil
}

// uuid is made from the volume's own 64-bit identifier as macOS and blkid make it: a version 3 UUID in a fixed name
// space.
func uuid(id []byte) string {
	if be.Uint64(id) == 0 {
		return ""
	}
	sum := md5.Sum(append([]byte("\xb3\xe2\x0f\x39\xf2\x92\x11\xd6\x97\xa4\x00\x30\x65\x43\xec\xac"), id...))
	sum[6] = sum[6]&0x0f | 0x30
	sum[8] = sum[8]&0x3f | 0x80
	return field.UUID(sum[:])
}

// clean tells whether the volume was unmounted and its journal is empty.
func (fs *FS) clean() (bool, error) {
	attributes := be.Uint32(fs.header[4:])
	if attributes&attrUnmounted == 0 || attributes&attrInconsistent != 0 {
		return false, nil
	}
	where := int64(be.Uint32(fs.header[12:]))
	if attributes&attrJournaled == 0 || where == 0 {
		return true, nil
	}
	var info [52]byte
	if err := volume.ReadAt(fs.r, fs.size, where*fs.block, info[:]); err != nil {
		return false, err
	}
	if flags := be.Uint32(info[:]); flags&1 == 0 { // on another device
		return false, nil
	} else if flags&4 != 0 { // not begun yet
		return true, nil
	}
	var head [44]byte
	if err := volume.ReadAt(fs.r, fs.size, int64(be.Uint64(info[36:])), head[:]); err != nil {
		return false, err
	}
	var order binary.ByteOrder = be
	if be.Uint32(head[4:]) == 0x78563412 {
		order = binary.LittleEndian
	}
	if order.Uint32(head[:]) != 0x4a4e4c78 { // "JNLx"
		return false, errors.New("its header is damaged")
	}
	return order.Uint64(head[8:]) == order.Uint64(head[16:]), nil
}

// piece is one of the up to eight runs of a fork that the header has room for.
type piece struct{ start, count int64 }

func (fs *FS) fork(at int) (size int64, pieces []piece, err error) {
	f := fs.header[at : at+80]
	size = int64(be.Uint64(f))
	for e := f[16:]; len(e) > 0; e = e[8:] {
		p := piece{int64(be.Uint32(e)), int64(be.Uint32(e[4:]))}
		if p.count == 0 {
			break
		}
		if p.start+p.count > fs.blocks {
			return 0, nil, fmt.Errorf("a run of %d blocks at %d is outside the volume", p.count, p.start)
		}
		pieces = append(pieces, p)
	}
	return size, pieces, nil
}

// label is the name of the first record of the catalog: the key of the root folder. A volume with a damaged catalog has
// none.
func (fs *FS) label() string {
	_, pieces, err := fs.fork(catalogFork)
	if err != nil || len(pieces) == 0 {
		return ""
	}
	start := pieces[0].start * fs.block
	var head [64]byte // node descriptor of 14 bytes, then the tree's header
	if volume.ReadAt(fs.r, fs.size, start, head[:]) != nil {
		return ""
	}
	leaf, node := int64(be.Uint32(head[24:])), int64(be.Uint16(head[32:]))
	if leaf*node+530 > pieces[0].count*fs.block {
		return ""
	}
	p := make([]byte, 530)
	if volume.ReadAt(fs.r, fs.size, start+leaf*node, p) != nil || p[8] != 0xff {
		return ""
	}
	n := int(be.Uint16(p[20:])) // behind the descriptor, the key's length and the parent
	if be.Uint32(p[16:]) != 1 || n > 255 || 22+2*n > len(p) {
		return ""
	}
	units := make([]uint16, n)
	for i := range units {
		units[i] = be.Uint16(p[22+2*i:])
	}
	return string(utf16.Decode(units))
}

// Type is "hfsplus".
func (fs *FS) Type() string { return "hfsplus" }

// Info returns what the volume header and the catalog say.
func (fs *FS) Info() volume.Info { return fs.info.Clone() }

// Extents reads the allocation file: a bit for each block, the highest bit of a byte first.
func (fs *FS) Extents() ([]volume.Extent, error) {
	if fs.whole {
		return []volume.Extent{{Offset: 0, Length: fs.size}}, nil
	}
	size, pieces, err := fs.fork(allocationFork)
	if err != nil {
		return nil, fmt.Errorf("hfsplus allocation file: %w", err)
	}
	if size < (fs.blocks+7)/8 {
		return nil, fmt.Errorf("hfsplus allocation file: it has %d bytes for %d blocks", size, fs.blocks)
	}
	runs := volume.NewRuns(fs.size)
	runs.Add(0, headerAt+headerSize)
	runs.Add(fs.size-1024, 1024)
	buf := make([]byte, 1<<20)
	bit, free := int64(0), int64(0)
	for _, p := range pieces {
		for at, end := p.start*fs.block, (p.start+p.count)*fs.block; at < end && bit < fs.blocks; {
			part := buf[:min(int64(len(buf)), end-at)]
			if err := volume.ReadAt(fs.r, fs.size, at, part); err != nil {
				return nil, fmt.Errorf("hfsplus allocation file: %w", err)
			}
			for i, c := range part {
				part[i] = bits.Reverse8(c)
			}
			runs.AddBits(part, fs.blocks-bit, bit*fs.block, fs.block)
			free += field.Zeros(part, fs.blocks-bit)
			bit += 8 * int64(len(part))
			at += int64(len(part))
		}
	}
	if bit < fs.blocks {
		return nil, fmt.Errorf("hfsplus allocation file: it has more than %d pieces, which is not understood",
			len(pieces))
	}
	if want := int64(be.Uint32(fs.header[48:])); free != want {
		return nil, fmt.Errorf("hfsplus allocation file: %d blocks are free, and the volume header counts %d", free,
			want)
	}
	used := runs.Extents()
	return used, fs.check(used)
}

// check wants the pieces of the volume's special files that the header names to be in the map.
func (fs *FS) check(used []volume.Extent) error {
	for at, what := range map[int]string{allocationFork: "its allocation file", extentsFork: "its extents file",
		catalogFork: "its catalog"} {
		_, pieces, err := fs.fork(at)
		for _, p := range pieces {
			if err == nil {
				err = volume.Require(used, what, p.start*fs.block, p.count*fs.block)
			}
		}
		if err != nil {
			return fmt.Errorf("hfsplus: %w", err)
		}
	}
	return nil
}
