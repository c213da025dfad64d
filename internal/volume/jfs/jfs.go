// Package jfs reads the allocation map of JFS from its block allocation map, the file with aggregate inode 2.
//
// The source is "JFS Layout: How the Journaled File System handles the on-disk layout" (IBM developerWorks):
// superblock, aggregate inode table, extent trees, dmap pages. The inline log and fsck's working space lie behind the
// blocks that the map describes; both are always captured. Each page's count of free blocks, and their sum, must be
// those of its bitmaps, and the map must have itself; inodes are not read. A file system that was not unmounted is
// captured whole, and so is one with its log on another device.
package jfs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"slices"

	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/field"
)

var le = binary.LittleEndian

const (
	superAt   = 32 << 10
	secondary = 60 << 10
	page      = 4096
	// behind the superblock's and the inode map's pages: inode 2 of 512 bytes
	inodeAt   = superAt + page + 2*page + 2*512
	rootAt    = 224 // of the extent tree in an inode
	entrySize = 16

	flagInlineLog = 0x800
	nodeLeaf      = 2
	nodeInternal  = 4
	maxHeight     = 8
	perMap        = 8192 // blocks of a dmap page
	working       = 2048 // where its two bitmaps are: what is in use now, and what will be after a crash
	persistent    = 3072
)

// FS is a JFS file system.
type FS struct {
	r     io.ReaderAt
	size  int64
	block int64
	info  volume.Info
	extra []volume.Extent
	whole bool
}

// pxd is a run of blocks: 24 bits of length, 40 bits of address.
func (fs *FS) pxd(p []byte) (address, length int64) {
	word := le.Uint32(p)
	return int64(word>>24)<<32 | int64(le.Uint32(p[4:])), int64(word & 0xffffff)
}

// Open reads the superblock.
func Open(r io.ReaderAt, size int64) (*FS, error) {
	var sb [184]byte
	if size < secondary+page {
		return nil, fmt.Errorf("jfs: %w", volume.ErrNotThis)
	}
	if err := volume.ReadAt(r, size, superAt, sb[:]); err != nil {
		return nil, fmt.Errorf("jfs: %w", err)
	}
	if string(sb[:4]) != "JFS1" {
		return nil, fmt.Errorf("jfs: %w", volume.ErrNotThis)
	}
	fs := &FS{r: r, size: size, block: int64(le.Uint32(sb[16:]))}
	if version := le.Uint32(sb[4:]); version != 1 && version != 2 {
		return nil, fmt.Errorf("jfs superblock: version %d is not known", version)
	}
	if fs.block < 512 || fs.block > page || fs.block&(fs.block-1) != 0 {
		return nil, fmt.Errorf("jfs superblock: block size %d", fs.block)
	}
	physical := int64(le.Uint32(sb[24:]))
	if claimed := le.Uint64(sb[8:]); physical < 512 || physical > page || claimed > uint64(size/physical) {
		return nil, fmt.Errorf("jfs superblock: it claims %d blocks of %d bytes, and the partition has %d bytes",
			claimed, physical, size)
	}
	fs.info = volume.Info{Label: field.Text(sb[152:168]), UUID: field.UUID(sb[136:152]), BlockSize: fs.block,
		Clean: le.Uint32(sb[40:]) == 0}
	if fs.info.Label == "" && le.Uint32(sb[4:]) == 1 {
		fs.info.Label = field.Text(sb[101:112])
	}
	switch {
	case le.Uint32(sb[36:])&flagInlineLog == 0:
		fs.whole = true
		fs.info.Notes = append(fs.info.Notes,
			"Its log is on another device, which is not in this partition and not captured with it. It is captured "+
				"whole.")
	case !fs.info.Clean:
		fs.whole = true
		fs.info.Notes = append(fs.info.Notes,
			"It was not cleanly unmounted: the journal will be replayed on first mount. "+
				"What is used may be known to the journal only, so it is captured whole.")
	}
	for _, at := range []int{72, 80} { // inline log, fsck's working space
		address, length := fs.pxd(sb[at:])
		if address*fs.block > size || length*fs.block > size-address*fs.block {
			return nil, errors.New("jfs superblock: its log or working space is outside the partition")
		}
		fs.extra = append(fs.extra, volume.Extent{Offset: address * fs.block, Length: length * fs.block})
		fs.info.Size = max(fs.info.Size, (address+length)*fs.block, int64(le.Uint64(sb[8:]))*physical)
	}
	return fs, nil
}

// Type is "jfs".
func (fs *FS) Type() string { return "jfs" }

// Info returns what the superblock says. Used is known after Extents.
func (fs *FS) Info() volume.Info { return fs.info.Clone() }

// Extents reads the block allocation map.
func (fs *FS) Extents() ([]volume.Extent, error) {
	if fs.whole {
		fs.info.Used = fs.size
		return []volume.Extent{{Offset: 0, Length: fs.size}}, nil
	}
	file, err := fs.file()
	if err != nil {
		return nil, fmt.Errorf("jfs block map: %w", err)
	}
	runs := volume.NewRuns(fs.size)
	runs.Add(0, secondary+page)
	for _, e := range fs.extra {
		runs.Add(e.Offset, e.Length)
	}
	if err := fs.pages(file, runs); err != nil {
		return nil, fmt.Errorf("jfs block map: %w", err)
	}
	out := runs.Extents()
	fs.info.Used = volume.Bytes(out)
	for _, p := range file {
		if err := volume.Require(out, "its block map", p.address*fs.block, p.count*fs.block); err != nil {
			return nil, fmt.Errorf("jfs: %w", err)
		}
	}
	return out, nil
}

// piece is a run of the map's file: count blocks from the file's block at first are at address.
type piece struct{ first, address, count int64 }

// file reads the extent tree of the map's inode.
func (fs *FS) file() ([]piece, error) {
	inode := make([]byte, 512)
	if err := volume.ReadAt(fs.r, fs.size, inodeAt, inode); err != nil {
		return nil, err
	}
	if number := le.Uint32(inode[8:]); number != 2 {
		return nil, fmt.Errorf("its inode has the number %d", number)
	}
	t := tree{fs: fs}
	err := t.node(inode[rootAt:], maxHeight)
	return t.out, err
}

type tree struct {
	fs   *FS
	out  []piece
	next int64
}

// node reads a page of the tree: a header of 32 bytes with the flag at 16 and the index after the last entry at 18,
// then entries.
func (t *tree) node(p []byte, height int) error {
	flag, end := p[16], int(le.Uint16(p[18:]))
	if end < 2 || end*entrySize > len(p) || height == 0 {
		return errors.New("its extent tree is damaged")
	}
	for i := 2; i < end; i++ {
		e := p[i*entrySize:]
		first := int64(e[3])<<32 | int64(le.Uint32(e[4:]))
		address, count := t.fs.pxd(e[8:])
		if count == 0 || address > t.fs.size/t.fs.block-count {
			return fmt.Errorf("a run of %d blocks at %d is outside the partition", count, address)
		}
		switch {
		case flag&nodeLeaf != 0:
			if first < t.next {
				return errors.New("its extent tree is out of order")
			}
			t.next = first + count
			t.out = append(t.out, piece{first, address, count})
		case flag&nodeInternal != 0:
			child := make([]byte, page)
			if err := volume.ReadAt(t.fs.r, t.fs.size, address*t.fs.block, child); err != nil {
				return err
			}
			before := t.next
			if err := t.node(child, height-1); err != nil {
				return err
			}
			if t.next == before {
				return errors.New("its extent tree has an empty page")
			}
		default:
			return errors.New("its extent tree is damaged")
		}
	}
	return nil
}

// read reads a page of the map's file.
func (fs *FS) read(file []piece, number int64, p []byte) error {
	at := number * page / fs.block
	i, _ := slices.BinarySearchFunc(file, at, func(x piece, at int64) int {
		if x.first+x.count <= at {
			return -1
		}
		return 1
	})
	if i == len(file) || at < file[i].first || at+page/fs.block > file[i].first+file[i].count {
		return fmt.Errorf("page %d is missing", number)
	}
	return volume.ReadAt(fs.r, fs.size, (file[i].address+at-file[i].first)*fs.block, p)
}

// pages reads every dmap page: 8192 blocks each, in 32-bit words, the highest bit first. Between them are pages of
// summary trees: one before each 1024 dmap pages, one before each 1024 of those, one before each 1024 of these.
func (fs *FS) pages(file []piece, runs *volume.Runs) error {
	p := make([]byte, page)
	if err := fs.read(file, 0, p); err != nil {
		return err
	}
	blocks, free := int64(le.Uint64(p)), int64(le.Uint64(p[8:]))
	if blocks < 1 || blocks > fs.size/fs.block || free < 0 || free > blocks {
		return fmt.Errorf("it describes %d blocks, %d of them free", blocks, free)
	}
	var found int64
	for b := int64(0); b < blocks; b += perMap {
		if err := fs.read(file, b>>13+b>>23+b>>33+4, p); err != nil {
			return err
		}
		n := min(perMap, blocks-b)
		if start := int64(le.Uint64(p[8:])); start != b || int64(le.Uint32(p)) != n {
			return fmt.Errorf("the page for block %d is for %d blocks at %d", b, le.Uint32(p), start)
		}
		var bitmap [perMap / 8]byte
		before := found
		for i := 0; i < len(bitmap); i += 4 {
			word := le.Uint32(p[working+i:]) | le.Uint32(p[persistent+i:])
			le.PutUint32(bitmap[i:], bits.Reverse32(word))
			if left := n - int64(i)*8; left > 0 {
				zeros := bits.Reverse32(^word)
				if left < 32 {
					zeros &= 1<<left - 1
				}
				found += int64(bits.OnesCount32(zeros))
			}
		}
		if counted := int64(int32(le.Uint32(p[4:]))); found-before != counted {
			return fmt.Errorf("the page for block %d has %d free blocks, and counts %d", b, found-before, counted)
		}
		runs.AddBits(bitmap[:], n, b*fs.block, fs.block)
	}
	if found != free {
		return fmt.Errorf("%d blocks are free, and it counts %d", found, free)
	}
	// What the map does not describe, it does not call free.
	runs.Add(blocks*fs.block, fs.info.Size-blocks*fs.block)
	return nil
}
