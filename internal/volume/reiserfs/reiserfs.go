// Package reiserfs reads the allocation map of ReiserFS 3.5 and 3.6 from its bitmap blocks.
//
// The source is "The structure of the Reiser file system" by Florian Buchholz. The superblock is at 64 KiB, the first
// bitmap block behind it, and each further one at the start of the blocks that it describes. The journal is an ordinary
// allocated area. The superblock's count of free blocks must be that of the bitmaps, which must have the journal and
// the root of the tree; the tree is not walked.
//
// A file system that was not unmounted, or whose journal holds a transaction that is not in place, is captured whole;
// so is one with its journal on another device.
package reiserfs

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/field"
)

var le = binary.LittleEndian

const (
	superAt     = 64 << 10
	unmounted   = 1
	descMagic   = "ReIsErLB"
	uncleanNote = "It was not cleanly unmounted: the journal will be replayed on first mount. " +
		"What is used may be known to the journal only, so it is captured whole."
)

// FS is a ReiserFS file system.
type FS struct {
	r      io.ReaderAt
	size   int64
	block  int64
	blocks int64
	free   int64

	root, journal, journalLen int64 // blocks: of the tree, of the journal without its header

	info  volume.Info
	whole bool
}

// Open reads the superblock and looks into the journal.
func Open(r io.ReaderAt, size int64) (*FS, error) {
	var sb [204]byte
	if size < superAt+int64(len(sb)) {
		return nil, fmt.Errorf("reiserfs: %w", volume.ErrNotThis)
	}
	if err := volume.ReadAt(r, size, superAt, sb[:]); err != nil {
		return nil, fmt.Errorf("reiserfs: %w", err)
	}
	switch field.Text(sb[52:62]) {
	case "ReIsErFs", "ReIsEr2Fs", "ReIsEr3Fs":
	default:
		return nil, fmt.Errorf("reiserfs: %w", volume.ErrNotThis)
	}
	fs := &FS{r: r, size: size, block: int64(le.Uint16(sb[44:])), blocks: int64(le.Uint32(sb[:])),
		free: int64(le.Uint32(sb[4:]))}
	if fs.block < 512 || fs.block > 32768 || fs.block&(fs.block-1) != 0 {
		return nil, fmt.Errorf("reiserfs superblock: block size %d", fs.block)
	}
	if limit := size / fs.block; fs.blocks < 1 || fs.blocks > limit || fs.free > fs.blocks {
		return nil, fmt.Errorf("reiserfs superblock: it claims %d blocks (%d free), and the partition has room for %d",
			fs.blocks, fs.free, limit)
	}
	fs.root, fs.journal, fs.journalLen = int64(le.Uint32(sb[8:])), int64(le.Uint32(sb[12:])), int64(le.Uint32(sb[20:]))
	fs.info = volume.Info{
		Label: field.Text(sb[100:116]), UUID: field.UUID(sb[84:100]), BlockSize: fs.block,
		Size: fs.blocks * fs.block, Used: (fs.blocks - fs.free) * fs.block,
	}
	switch {
	case le.Uint32(sb[16:]) != 0:
		fs.whole = true
		fs.info.Notes = append(fs.info.Notes,
			"Its journal is on another device, which is not in this partition and not captured with it. It is "+
				"captured whole.")
		return fs, nil
	case le.Uint16(sb[50:]) != unmounted:
		fs.whole = true
	default:
		open, err := fs.journalOpen(fs.journal, fs.journalLen)
		if err != nil {
			return nil, fmt.Errorf("reiserfs journal: %w", err)
		}
		fs.whole = open
	}
	fs.info.Clean = !fs.whole
	if fs.whole {
		fs.info.Notes = append(fs.info.Notes, uncleanNote)
	}
	return fs, nil
}

// journalOpen tells whether there is a transaction where the journal's header, the block behind it, says that the next
// one would be.
func (fs *FS) journalOpen(first, length int64) (bool, error) {
	var header [12]byte // last transaction in place, offset of the next, mount
	if err := volume.ReadAt(fs.r, fs.size, (first+length)*fs.block, header[:]); err != nil {
		return false, err
	}
	offset := int64(le.Uint32(header[4:]))
	if length < 1 || offset >= length {
		return false, fmt.Errorf("its next transaction would be at %d of %d blocks", offset, length)
	}
	desc := make([]byte, fs.block)
	if err := volume.ReadAt(fs.r, fs.size, (first+offset)*fs.block, desc); err != nil {
		return false, err
	}
	return string(desc[fs.block-12:][:len(descMagic)]) == descMagic && le.Uint32(desc) > le.Uint32(header[:]), nil
}

// Type is "reiserfs".
func (fs *FS) Type() string { return "reiserfs" }

// Info returns what the superblock says.
func (fs *FS) Info() volume.Info { return fs.info.Clone() }

// Extents reads the bitmap blocks: a 1 is a used block, the lowest bit of a byte first.
func (fs *FS) Extents() ([]volume.Extent, error) {
	if fs.whole {
		return []volume.Extent{{Offset: 0, Length: fs.size}}, nil
	}
	runs := volume.NewRuns(fs.size)
	runs.Add(0, superAt+fs.block)
	bitmap := make([]byte, fs.block)
	per := fs.block * 8
	for first := int64(0); first < fs.blocks; first += per {
		at := first * fs.block
		if first == 0 {
			at = superAt + fs.block
		}
		if err := volume.ReadAt(fs.r, fs.size, at, bitmap); err != nil {
			return nil, fmt.Errorf("reiserfs bitmap: %w", err)
		}
		if first > 0 && bitmap[0]&1 == 0 {
			return nil, fmt.Errorf("reiserfs bitmap: the block at %d does not count itself as used", at)
		}
		runs.AddBits(bitmap, min(per, fs.blocks-first), first*fs.block, fs.block)
	}
	out := runs.Extents()
	if used := volume.Bytes(out); used != fs.info.Used {
		return nil, fmt.Errorf("reiserfs bitmap: %d bytes are used, and the superblock counts %d", used, fs.info.Used)
	}
	for what, e := range map[string]volume.Extent{"the root of its tree": {Offset: fs.root, Length: 1},
		"its journal": {Offset: fs.journal, Length: fs.journalLen + 1}} {
		if err := volume.Require(out, what, e.Offset*fs.block, e.Length*fs.block); err != nil {
			return nil, fmt.Errorf("reiserfs bitmap: %w", err)
		}
	}
	return out, nil
}
