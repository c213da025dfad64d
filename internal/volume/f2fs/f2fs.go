// Package f2fs reads the allocation map of F2FS from its segment information table.
//
// The sources are the kernel's Documentation/filesystems/f2fs.rst and the paper "F2FS: A New File System for Flash
// Storage" (FAST 2015). The areas before the main area (superblocks, checkpoints, SIT, NAT, SSA) are in the map as a
// whole. In the main area each segment of 2 MiB has an entry with a bit for every block. The table exists twice, and a
// bitmap in the checkpoint says which copy of each of its blocks counts; the newest entries are in a journal in the
// checkpoint's summaries.
//
// What was synced after the last checkpoint is found by rolling forward through node blocks that no bitmap knows. A
// file system with such blocks, or without an unmount checkpoint, is captured whole.
package f2fs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/bits"

	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/field"
)

var le = binary.LittleEndian

const (
	magic       = 0xf2f52010
	superAt     = 1024
	blockSize   = 4096
	perSegment  = 512 // blocks; 64 bytes of bitmap
	entrySize   = 74  // u16 valid blocks (10 bits) and type, bitmap[64], u64 time
	perBlock    = blockSize / entrySize
	journalSize = 507 // of a summary block: u16 count, entries
	journalAt   = perSegment * 7
	sitJournal  = 4 + entrySize // u32 segment, entry

	flagUnmount, flagCompact, flagLargeNAT = 0x1, 0x4, 0x400

	// encrypt, atomic write, extra attributes, project quota, inode checksum, inline xattrs, quota inodes, creation
	// time, lost+found, verity, superblock checksum, case folding, compression. Not: zoned devices, read-only images.
	knownFeatures = 0x3ffd
)

// FS is an F2FS file system.
type FS struct {
	r    io.ReaderAt
	size int64
	info volume.Info

	blocks     int64
	checkpoint int64 // block addresses
	sit        int64
	sitBlocks  int64 // of one copy
	nat        int64
	main       int64
	segments   int64 // of the main area
	payload    int64 // blocks of a checkpoint that hold its bitmap

	cp      []byte // the newer checkpoint, with its payload
	cpAt    int64
	cpTotal int64
	verify  bool
	whole   bool
}

// Open reads the superblock and the checkpoints.
func Open(r io.ReaderAt, size int64) (*FS, error) { return open(r, size, true) }

func open(r io.ReaderAt, size int64, verify bool) (*FS, error) {
	if size < 2*blockSize {
		return nil, fmt.Errorf("f2fs: %w", volume.ErrNotThis)
	}
	sb := make([]byte, 3072)
	if err := volume.ReadAt(r, size, superAt, sb); err != nil {
		return nil, fmt.Errorf("f2fs: %w", err)
	}
	if le.Uint32(sb) != magic {
		return nil, fmt.Errorf("f2fs: %w", volume.ErrNotThis)
	}
	fs := &FS{r: r, size: size, verify: verify}
	if err := fs.super(sb); err != nil {
		return nil, fmt.Errorf("f2fs superblock: %w", err)
	}
	if fs.whole {
		return fs, nil
	}
	if err := fs.checkpoints(); err != nil {
		return nil, fmt.Errorf("f2fs checkpoint: %w", err)
	}
	return fs, nil
}

func (fs *FS) super(sb []byte) error {
	u32 := func(at int) int64 { return int64(le.Uint32(sb[at:])) }
	if u32(16) != 12 || u32(20) != 9 {
		return fmt.Errorf("blocks of 2^%d bytes, segments of 2^%d blocks (12 and 9 are known)", u32(16), u32(20))
	}
	if unknown := le.Uint32(sb[2180:]) &^ knownFeatures; unknown != 0 {
		return fmt.Errorf("unknown features %#x", unknown)
	}
	fs.info = volume.Info{Label: field.UTF16(sb[124:1148]), UUID: field.UUID(sb[108:124]), BlockSize: blockSize}
	if sb[2201] != 0 { // path of the first of its devices
		fs.whole = true
		fs.info.Size, fs.info.Used = fs.size, fs.size
		fs.info.Notes = append(fs.info.Notes,
			"It lies on several devices, so it is captured whole. Capture and restore all of them together.")
		return nil
	}
	blocks := le.Uint64(sb[36:])
	if limit := uint64(fs.size / blockSize); blocks > limit {
		return fmt.Errorf("it claims %d blocks, and the partition has %d", blocks, limit)
	}
	fs.blocks = int64(blocks)
	fs.info.Size = fs.blocks * blockSize
	fs.checkpoint, fs.sit, fs.nat, fs.main = u32(76), u32(80), u32(84), u32(92)
	fs.sitBlocks, fs.segments, fs.payload = u32(56)/2*perSegment, u32(68), u32(1664)
	switch {
	case fs.checkpoint < 1 || fs.checkpoint+2*perSegment > fs.sit || fs.sit+2*fs.sitBlocks > fs.nat || fs.nat > fs.main:
		return errors.New("its areas overlap")
	case fs.segments < 1 || fs.main+fs.segments*perSegment > fs.blocks:
		return fmt.Errorf("its %d segments do not fit", fs.segments)
	case fs.segments > fs.sitBlocks*perBlock:
		return fmt.Errorf("its segment table is too small for %d segments", fs.segments)
	case fs.payload > perSegment-8:
		return fmt.Errorf("its checkpoints have %d blocks of bitmap", fs.payload)
	}
	return nil
}

// checkpoints takes the newer of the two checkpoint packs. A pack counts when its first and its last block agree.
func (fs *FS) checkpoints() error {
	var newest uint64
	var first error
	for i := range int64(2) {
		at := fs.checkpoint + i*perSegment
		cp, total, err := fs.pack(at)
		if err != nil {
			if first == nil {
				first = err
			}
			continue
		}
		if version := le.Uint64(cp); fs.cp == nil || version > newest {
			newest, fs.cp, fs.cpAt, fs.cpTotal = version, cp, at, total
		}
	}
	if fs.cp == nil {
		return first
	}
	used := int64(le.Uint64(fs.cp[16:]))
	if used < 0 || used > fs.segments*perSegment {
		return fmt.Errorf("it counts %d valid blocks", used)
	}
	fs.info.Used = (fs.main + used) * blockSize
	forward, err := fs.rollsForward()
	if err != nil {
		return err
	}
	fs.info.Clean = le.Uint32(fs.cp[132:])&flagUnmount != 0 && !forward
	if !fs.info.Clean {
		fs.whole = true
		fs.info.Notes = append(fs.info.Notes,
			"It was not cleanly unmounted: what was synced since its last checkpoint will be recovered on first "+
				"mount. "+
				"That is not in its tables, so it is captured whole.")
	}
	return nil
}

func (fs *FS) pack(at int64) ([]byte, int64, error) {
	cp := make([]byte, (1+fs.payload)*blockSize)
	if err := fs.read(cp, at); err != nil {
		return nil, 0, err
	}
	sum := int(le.Uint32(cp[164:]))
	if sum < 192 || sum > blockSize-4 {
		return nil, 0, errors.New("its checksum's place is wrong")
	}
	crc := checksum(magic, cp[:sum])
	if sum < blockSize-4 { // a bitmap stands behind it
		crc = checksum(crc, cp[sum+4:blockSize])
	}
	if fs.verify && crc != le.Uint32(cp[sum:]) {
		return nil, 0, errors.New("its checksum is wrong")
	}
	total := int64(le.Uint32(cp[136:]))
	if total < 2+fs.payload || total > perSegment {
		return nil, 0, fmt.Errorf("it has %d blocks", total)
	}
	last := make([]byte, blockSize)
	if err := fs.read(last, at+total-1); err != nil {
		return nil, 0, err
	}
	if le.Uint64(last) != le.Uint64(cp) {
		return nil, 0, errors.New("it was not finished")
	}
	return cp, total, nil
}

// checksum is a CRC-32 that begins with a seed, at first the magic number, and is not inverted at its end.
func checksum(seed uint32, p []byte) uint32 {
	return ^crc32.Update(^seed, crc32.IEEETable, p)
}

// rollsForward tells whether there is a node block that was written after the checkpoint, where the log of warm nodes
// goes on: its footer (the last 24 bytes: nid, ino, flag, u64 version, next) then carries the checkpoint's version.
func (fs *FS) rollsForward() (bool, error) {
	segment, block := int64(le.Uint32(fs.cp[40:])), int64(le.Uint16(fs.cp[70:]))
	if segment >= fs.segments || block > perSegment {
		return false, fmt.Errorf("its log of nodes is at segment %d, block %d", segment, block)
	}
	if block == perSegment {
		return true, nil // where it goes on is not known
	}
	p := make([]byte, blockSize)
	if err := fs.read(p, fs.main+segment*perSegment+block); err != nil {
		return false, err
	}
	return le.Uint32(p[blockSize-12:]) == le.Uint32(fs.cp), nil
}

func (fs *FS) read(p []byte, block int64) error {
	return volume.ReadAt(fs.r, fs.size, block*blockSize, p)
}

// Type is "f2fs".
func (fs *FS) Type() string { return "f2fs" }

// Info returns what the superblock and the checkpoint say.
func (fs *FS) Info() volume.Info { return fs.info.Clone() }

// Extents reads the segment information table.
func (fs *FS) Extents() ([]volume.Extent, error) {
	if fs.whole {
		return []volume.Extent{{Offset: 0, Length: fs.size}}, nil
	}
	journal, err := fs.journal()
	if err != nil {
		return nil, fmt.Errorf("f2fs segment journal: %w", err)
	}
	which, err := fs.copies()
	if err != nil {
		return nil, err
	}
	runs := volume.NewRuns(fs.size)
	runs.Add(0, fs.main*blockSize)
	var sum int64
	p := make([]byte, blockSize)
	for segment := range fs.segments {
		block := segment / perBlock
		if segment%perBlock == 0 {
			at := fs.sit + block
			if which[block/8]>>(7-block%8)&1 == 1 {
				at += fs.sitBlocks
			}
			if err := fs.read(p, at); err != nil {
				return nil, fmt.Errorf("f2fs segment table: %w", err)
			}
		}
		entry := p[segment%perBlock*entrySize:][:entrySize]
		if newer := journal[segment]; newer != nil {
			entry = newer
		}
		valid := int64(le.Uint16(entry) & 0x3ff)
		var bitmap [perSegment / 8]byte
		ones := 0
		for i, c := range entry[2 : 2+len(bitmap)] { // the highest bit of a byte is its first block
			bitmap[i] = bits.Reverse8(c)
			ones += bits.OnesCount8(c)
		}
		if int64(ones) != valid {
			return nil, fmt.Errorf("f2fs segment table: segment %d has %d valid blocks and counts %d", segment, ones,
				valid)
		}
		sum += valid
		runs.AddBits(bitmap[:], perSegment, (fs.main+segment*perSegment)*blockSize, blockSize)
	}
	// What is behind the last whole segment, nothing calls free.
	end := fs.main + fs.segments*perSegment
	runs.Add(end*blockSize, (fs.blocks-end)*blockSize)
	if want := int64(le.Uint64(fs.cp[16:])); fs.verify && sum != want {
		return nil, fmt.Errorf("f2fs segment table: %d blocks are valid, and the checkpoint counts %d", sum, want)
	}
	return runs.Extents(), nil
}

// copies is the bitmap that says which copy of each block of the table counts.
func (fs *FS) copies() ([]byte, error) {
	n := int(le.Uint32(fs.cp[156:]))
	at := 192
	switch {
	case le.Uint32(fs.cp[132:])&flagLargeNAT != 0:
		at += 4 + int(le.Uint32(fs.cp[160:])) // behind a checksum and the other table's bitmap
	case fs.payload > 0:
		at = blockSize
	}
	if n < 0 || at < 0 || n > len(fs.cp) || at > len(fs.cp)-n || int64(n)*8*perBlock < fs.segments {
		return nil, fmt.Errorf("f2fs checkpoint: its bitmap of %d bytes is too small or out of bounds", n)
	}
	return fs.cp[at : at+n], nil
}

// journal reads the newest entries from the summary of the cold data log, which is the third of the six summaries
// before the pack's last block; or, when the summaries are compacted, from behind the journal of the node table.
func (fs *FS) journal() (map[int64][]byte, error) {
	p := make([]byte, blockSize)
	at, off := fs.cpTotal-7+2, journalAt
	if le.Uint32(fs.cp[132:])&flagCompact != 0 {
		at, off = int64(le.Uint32(fs.cp[140:])), journalSize
	}
	if at < 1 || at >= fs.cpTotal {
		return nil, fmt.Errorf("it is in block %d of %d", at, fs.cpTotal)
	}
	if err := fs.read(p, fs.cpAt+at); err != nil {
		return nil, err
	}
	p = p[off : off+journalSize]
	n := int(le.Uint16(p))
	if n > (journalSize-2)/sitJournal {
		return nil, fmt.Errorf("it has %d entries", n)
	}
	out := map[int64][]byte{}
	for i := range n {
		e := p[2+i*sitJournal:]
		out[int64(le.Uint32(e))] = e[4 : 4+entrySize]
	}
	return out, nil
}
