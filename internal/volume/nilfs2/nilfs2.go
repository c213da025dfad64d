// Package nilfs2 reads the allocation map of NILFS2 from its segment usage file.
//
// The sources are the kernel's Documentation/filesystems/nilfs2.rst and the on-disk structures of its user interface
// header. A NILFS2 is a log in segments. The last log ends with a super root, which holds the inodes of three files:
// DAT (virtual block numbers to disk blocks), cpfile (checkpoints) and sufile (a record for each segment). A segment
// whose record has no flag is free; every other one is taken whole, with all the checkpoints in it. Whatever does not
// fit together on the way to the sufile leads to the whole partition being captured, and so does a file system that was
// not unmounted, because its last logs are found by rolling forward.
package nilfs2

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/field"
)

var le = binary.LittleEndian

const (
	superAt   = 1024
	superSize = 1024
	magic     = 0x3434
	valid     = 1
	tailSize  = 4096 // the second superblock begins with the last whole block of this size

	// Places in a superblock.
	seedAt, sumAt, checkpointAt, stateAt, uuidAt = 12, 16, 56, 116, 152

	inodeSize, datEntry, usageSize = 128, 32, 16
	usageHead                      = 24
)

// FS is a NILFS2 file system.
type FS struct {
	r        io.ReaderAt
	size     int64
	seed     uint32
	block    int64
	devSize  int64
	segments int64
	perSeg   int64 // blocks
	first    int64 // block after the superblock
	last     int64 // block of the last log
	info     volume.Info
}

// Open reads the superblocks. Linux writes them in turns, so it goes by the one with the later checkpoint.
func Open(r io.ReaderAt, size int64) (*FS, error) {
	if size < superAt+superSize+tailSize {
		return nil, fmt.Errorf("nilfs2: %w", volume.ErrNotThis)
	}
	sb := make([]byte, superSize)
	if err := volume.ReadAt(r, size, superAt, sb); err != nil {
		return nil, fmt.Errorf("nilfs2: %w", err)
	}
	// The magic number is short: what has neither the revision nor a possible length is something else.
	if !named(sb) {
		return nil, fmt.Errorf("nilfs2: %w", volume.ErrNotThis)
	}
	if !whole(sb) {
		return nil, errors.New("nilfs2: the checksum of its superblock is wrong")
	}
	other := make([]byte, superSize)
	err := volume.ReadAt(r, size, size/tailSize*tailSize-tailSize, other)
	if err == nil && // else the first is all there is
		named(other) && whole(other) && bytes.Equal(other[uuidAt:uuidAt+16], sb[uuidAt:uuidAt+16]) &&
		le.Uint64(other[checkpointAt:]) > le.Uint64(sb[checkpointAt:]) {
		sb = other
	}
	fs := &FS{r: r, size: size, seed: le.Uint32(sb[seedAt:])}
	if err := fs.super(sb); err != nil {
		return nil, fmt.Errorf("nilfs2 superblock: %w", err)
	}
	return fs, nil
}

// named tells a superblock by its magic number, revision and length.
func named(sb []byte) bool {
	n := int(le.Uint16(sb[8:]))
	return le.Uint16(sb[6:]) == magic && le.Uint32(sb) == 2 && n >= 280 && n <= len(sb)
}

// whole says whether a superblock is what its checksum is of.
func whole(sb []byte) bool { return sumOf(sb) == le.Uint32(sb[sumAt:]) }

// sumOf is the checksum of a superblock, in which that counts as zeros itself.
func sumOf(sb []byte) uint32 {
	b := bytes.Clone(sb[:le.Uint16(sb[8:])])
	clear(b[sumAt : sumAt+4])
	return checksum(le.Uint32(b[seedAt:]), b)
}

// checksum is the CRC-32 of this file system: it begins with a seed of its own and is not inverted at its end.
func checksum(seed uint32, p []byte) uint32 { return ^crc32.Update(^seed, crc32.IEEETable, p) }

func (fs *FS) super(sb []byte) error {
	shift := le.Uint32(sb[20:])
	if shift > 6 {
		return fmt.Errorf("blocks of 2^%d KiB", shift)
	}
	fs.block = 1024 << shift
	devSize, segments, first, last := le.Uint64(sb[32:]), le.Uint64(sb[24:]), le.Uint64(sb[40:]), le.Uint64(sb[64:])
	fs.perSeg = int64(le.Uint32(sb[48:]))
	blocks := uint64(fs.size / fs.block)
	switch {
	case devSize > uint64(fs.size) || devSize < 2*tailSize:
		return fmt.Errorf("it claims %d bytes, and the partition has %d", devSize, fs.size)
	case fs.perSeg < 16 || segments < 1 || segments > blocks/uint64(fs.perSeg)+1:
		return fmt.Errorf("%d segments of %d blocks", segments, fs.perSeg)
	case first < 1 || first > uint64(fs.perSeg) || last < first || last >= blocks:
		return fmt.Errorf("its first log is at block %d, its last at %d", first, last)
	case le.Uint16(sb[144:]) != inodeSize || le.Uint16(sb[146:]) != datEntry || le.Uint16(sb[150:]) != usageSize:
		return errors.New("its inodes and records have unknown sizes")
	}
	fs.devSize, fs.segments, fs.first, fs.last = int64(devSize), int64(segments), int64(first), int64(last)
	if incompat := le.Uint64(sb[272:]); incompat != 0 {
		return fmt.Errorf("unknown incompatible features %#x", incompat)
	}
	free := le.Uint64(sb[80:])
	fs.info = volume.Info{
		Label: field.Text(sb[168:248]), UUID: field.UUID(sb[uuidAt : uuidAt+16]), BlockSize: fs.block, Size: fs.devSize,
		Used: max(0, fs.devSize-int64(min(free, blocks))*fs.block), Clean: le.Uint16(sb[stateAt:])&valid != 0,
	}
	if !fs.info.Clean {
		fs.info.Notes = append(fs.info.Notes,
			"It was not cleanly unmounted: its last logs will be recovered on first mount. "+
				"Which they are is not looked for, so it is captured whole.")
	}
	return nil
}

// Type is "nilfs2".
func (fs *FS) Type() string { return "nilfs2" }

// Info returns what the superblock says.
func (fs *FS) Info() volume.Info { return fs.info.Clone() }

// Extents reads the segment usage file.
func (fs *FS) Extents() ([]volume.Extent, error) {
	if !fs.info.Clean {
		return []volume.Extent{{Offset: 0, Length: fs.size}}, nil
	}
	dat, sufile, err := fs.superRoot()
	if err != nil {
		return nil, fmt.Errorf("nilfs2 super root: %w", err)
	}
	runs := volume.NewRuns(fs.size)
	runs.Add(0, fs.first*fs.block)
	runs.Add(fs.devSize/tailSize*tailSize-tailSize, tailSize) // the second superblock
	t := &translator{fs: fs, dat: file{fs: fs, bmap: dat}}
	usage := file{fs: fs, bmap: sufile, virtual: t}
	if err := fs.usage(&usage, runs); err != nil {
		return nil, fmt.Errorf("nilfs2 segment usage: %w", err)
	}
	// What is in no segment, nothing calls free.
	end := fs.segments * fs.perSeg * fs.block
	runs.Add(end, fs.devSize-end)
	used := runs.Extents()
	if err := volume.Require(used, "its last log", fs.last*fs.block, fs.block); err != nil {
		return nil, fmt.Errorf("nilfs2: %w", err)
	}
	return used, nil
}

// superRoot reads the last block of the last log, and returns the block maps of DAT and sufile.
func (fs *FS) superRoot() (dat, sufile []byte, err error) {
	var head [72]byte
	if err := volume.ReadAt(fs.r, fs.size, fs.last*fs.block, head[:]); err != nil {
		return nil, nil, err
	}
	blocks := int64(le.Uint32(head[40:]))
	if le.Uint32(head[8:]) != 0x1eaffa11 || le.Uint16(head[14:])&4 == 0 || blocks < 2 || blocks > fs.perSeg {
		return nil, nil, errors.New("the last log has none")
	}
	root := make([]byte, fs.block)
	if err := volume.ReadAt(fs.r, fs.size, (fs.last+blocks-1)*fs.block, root); err != nil {
		return nil, nil, err
	}
	n := int(le.Uint16(root[4:]))
	if n < 16+3*inodeSize || n > len(root) || checksum(fs.seed, root[4:n]) != le.Uint32(root) {
		return nil, nil, errors.New("its checksum is wrong")
	}
	const mapAt, mapSize = 56, 56
	at := 16 + mapAt
	return root[at : at+mapSize], root[at+2*inodeSize : at+2*inodeSize+mapSize], nil
}

// usage adds the segments whose record has a flag, and checks the header's count of the others.
func (fs *FS) usage(u *file, runs *volume.Runs) error {
	perBlock := fs.block / usageSize
	skip := int64((usageHead + usageSize - 1) / usageSize) // records that the header takes the place of
	p := make([]byte, fs.block)
	var clean, want int64
	for s := range fs.segments {
		if i := s + skip; s == 0 || i%perBlock == 0 {
			if err := u.read(i/perBlock, p); err != nil {
				return err
			}
		}
		if s == 0 {
			want = int64(le.Uint64(p))
		}
		if le.Uint32(p[(s+skip)%perBlock*usageSize+12:]) == 0 {
			clean++
			continue
		}
		from := s * fs.perSeg
		if s == 0 {
			from = fs.first
		}
		end := (s + 1) * fs.perSeg
		if end*fs.block > fs.size {
			return fmt.Errorf("segment %d is in use and lies outside the partition", s)
		}
		runs.Add(from*fs.block, (end-from)*fs.block)
	}
	if clean != want {
		return fmt.Errorf("%d segments are free, and it counts %d", clean, want)
	}
	return nil
}
