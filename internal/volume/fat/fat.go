// Package fat reads the allocation map of FAT12, FAT16 and FAT32 file systems.
//
// A FAT file system is, in this order: reserved sectors (boot sector, on FAT32 also the FSInfo sector and a copy of
// both), one or two file allocation tables, on FAT12 and FAT16 the root directory, and clusters. The table has an entry
// a cluster, of 12, 16 or 32 bits (28 of which count), and an entry of 0 is a free cluster. Everything before the
// clusters is in the map, and every cluster that is not free in one of the tables. A cluster that is marked bad is not
// free: programs hide data in such, and a check may give it back to a file.
//
// A cluster is reached through the table only, so a file system that was not unmounted is captured the same way: what
// its table calls free, no check would give back to a file.
//
// A volume that is marked clean must agree with itself: no chain of clusters, and no entry of the root directory, may
// lead to a free cluster. The count of free clusters in FSInfo is a hint that systems leave stale, so it is not
// compared; and directories below the root are not read, which would take as long as a check by fsck.fat.
//
// Source: "Microsoft Extensible Firmware Initiative FAT32 File System Specification", version 1.03. Where the kind is
// concerned, this package does as Linux and mtools do: a table size in the 16-bit field makes it FAT12 or FAT16.
package fat

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/diskcast/diskcast/internal/volume"
)

// FS is a FAT file system.
type FS struct {
	r    io.ReaderAt
	size int64

	bits        int   // of a table entry: 12, 16 or 32
	sector      int64 // bytes
	cluster     int64 // bytes
	reserved    int64 // bytes before the tables
	tables      int
	table       int64 // bytes of one table
	root        int64 // bytes of the root directory, FAT12 and FAT16
	rootCluster int64 // its first cluster, FAT32
	clusters    int64
	total       int64 // bytes

	id       uint32
	label    string
	labelled bool // by the root directory
	active   int  // the table that counts
	clean    bool
	used     int64           // bytes, -1 until Extents has counted
	bad      []volume.Extent // clusters that a table calls bad
}

const readSize = 1 << 20 // bytes of a table read at once; a multiple of every entry size but 12 bits

// Open reads the boot sector of the file system in the size bytes of r.
func Open(r io.ReaderAt, size int64) (*FS, error) {
	if size < 512 {
		return nil, volume.ErrNotThis
	}
	b := make([]byte, 512)
	if err := volume.ReadAt(r, size, 0, b); err != nil {
		return nil, fmt.Errorf("the boot sector: %w", err)
	}
	if !looksLike(b) {
		return nil, volume.ErrNotThis
	}
	fs := &FS{r: r, size: size, used: -1}
	if err := fs.parse(b); err != nil {
		return nil, fmt.Errorf("its boot sector is damaged: %w", err)
	}
	if err := fs.readState(b); err != nil {
		return nil, err
	}
	return fs, nil
}

// looksLike checks all that the specification fixes: FAT has no magic number.
func looksLike(b []byte) bool {
	le := binary.LittleEndian
	bytesPerSector, perCluster, media := le.Uint16(b[11:]), b[13], b[21]
	switch {
	case b[510] != 0x55 || b[511] != 0xaa,
		b[0] != 0xeb && b[0] != 0xe9,
		bytesPerSector < 512 || bytesPerSector > 4096 || bytesPerSector&(bytesPerSector-1) != 0,
		perCluster == 0 || perCluster&(perCluster-1) != 0,
		le.Uint16(b[14:]) == 0,  // reserved sectors; NTFS and exFAT have 0 here
		b[16] == 0 || b[16] > 4, // tables
		media != 0xf0 && media < 0xf8:
		return false
	}
	return true
}

func (fs *FS) parse(b []byte) error {
	le := binary.LittleEndian
	fs.sector = int64(le.Uint16(b[11:]))
	fs.cluster = int64(b[13]) * fs.sector
	fs.reserved = int64(le.Uint16(b[14:])) * fs.sector
	fs.tables = int(b[16])
	rootEntries := int64(le.Uint16(b[17:]))
	total, tableSectors := int64(le.Uint16(b[19:])), int64(le.Uint16(b[22:]))
	if total == 0 {
		total = int64(le.Uint32(b[32:]))
	}
	fs.total = total * fs.sector
	ext := b[38:]
	if tableSectors == 0 {
		fs.bits = 32
		tableSectors = int64(le.Uint32(b[36:]))
		fs.rootCluster = int64(le.Uint32(b[44:]))
		if flags := le.Uint16(b[40:]); flags&0x80 != 0 { // the tables are not kept alike
			fs.active = min(int(flags&0xf), fs.tables-1)
		}
		if version := le.Uint16(b[42:]); version != 0 {
			return fmt.Errorf("its FAT32 version is %d.%d", version>>8, version&0xff)
		}
		if rootEntries != 0 {
			return fmt.Errorf("a FAT32 with %d entries in a fixed root directory", rootEntries)
		}
		ext = b[66:]
	}
	fs.table = tableSectors * fs.sector
	fs.root = (rootEntries*32 + fs.sector - 1) / fs.sector * fs.sector
	switch {
	case tableSectors == 0:
		return errors.New("its tables have no sectors")
	case fs.total > fs.size:
		return fmt.Errorf("it claims %d bytes, more than its partition of %d has", fs.total, fs.size)
	case fs.dataStart() > fs.total:
		return fmt.Errorf("its tables and root directory take %d of %d bytes", fs.dataStart(), fs.total)
	}
	fs.clusters = (fs.total - fs.dataStart()) / fs.cluster
	if fs.bits != 32 {
		fs.bits = 12
		if fs.clusters > 4084 {
			fs.bits = 16
		}
	}
	// Clusters that have no entry cannot be used.
	fs.clusters = max(0, min(fs.clusters, fs.table*8/int64(fs.bits)-2))
	if limit := map[int]int64{12: 4084, 16: 65524, 32: 0x0ffffff4}[fs.bits]; fs.clusters > limit {
		return fmt.Errorf("a FAT%d cannot have %d clusters", fs.bits, fs.clusters)
	}
	if fs.bits == 32 && fs.clusters > 0 && (fs.rootCluster < 2 || fs.rootCluster >= fs.clusters+2) {
		return fmt.Errorf("its root directory would be at cluster %d of %d", fs.rootCluster, fs.clusters)
	}
	if ext[0] == 0x28 || ext[0] == 0x29 { // id and label are there
		fs.id = le.Uint32(ext[1:])
		if ext[0] == 0x29 {
			fs.label = label(ext[5:16])
		}
	}
	return nil
}

// readState reads whether it was unmounted, and the label, which counts more in the root directory.
func (fs *FS) readState(b []byte) error {
	// Linux marks a mounted file system in the boot sector, Windows in the second entry of the table.
	state := b[37]
	if fs.bits == 32 {
		state = b[65]
	}
	fs.clean = state&1 == 0
	var entries [8]byte
	if err := volume.ReadAt(fs.r, fs.size, fs.reserved, entries[:]); err != nil {
		return fmt.Errorf("the first table: %w", err)
	}
	switch fs.bits {
	case 16:
		fs.clean = fs.clean && binary.LittleEndian.Uint16(entries[2:])&0x8000 != 0
	case 32:
		fs.clean = fs.clean && binary.LittleEndian.Uint32(entries[4:])&0x08000000 != 0
	}
	return fs.rootEntries(func(e []byte) error {
		if e[11]&0x08 != 0 && !fs.labelled {
			fs.label, fs.labelled = label(e[:11]), true
		}
		return nil
	})
}

// rootEntries visits the root directory's entries of 32 bytes, without deleted ones and parts of long names; of a FAT32
// those in its first cluster.
func (fs *FS) rootEntries(visit func(e []byte) error) error {
	off, n := fs.dataStart()-fs.root, fs.root
	if fs.bits == 32 {
		off, n = fs.clusterStart(fs.rootCluster), fs.cluster
	}
	if n == 0 || fs.clusters == 0 {
		return nil
	}
	dir, err := volume.Read(fs.r, fs.size, off, n, 4<<20)
	if err != nil {
		return fmt.Errorf("the root directory: %w", err)
	}
	for ; len(dir) >= 32 && dir[0] != 0; dir = dir[32:] {
		if dir[0] == 0xe5 || dir[11]&0x3f == 0x0f {
			continue
		}
		if err := visit(dir[:32]); err != nil {
			return err
		}
	}
	return nil
}

func label(b []byte) string {
	s := strings.TrimRight(string(bytes.ToValidUTF8(b, []byte("?"))), " \x00")
	if s == "NO NAME" {
		return ""
	}
	return s
}

func (fs *FS) dataStart() int64 {
	return fs.reserved + int64(fs.tables)*fs.table + fs.root
}

func (fs *FS) clusterStart(n int64) int64 { return fs.dataStart() + (n-2)*fs.cluster }

// Type is vfat, whatever the size of the entries, as blkid says.
func (fs *FS) Type() string { return "vfat" }

// Bits is the size of a table entry: 12, 16 or 32.
func (fs *FS) Bits() int { return fs.bits }

// Info returns what the boot sector says. Used is known after Extents only: FAT12 and FAT16 keep no count, and that of
// FAT32 is a hint.
func (fs *FS) Info() volume.Info {
	info := volume.Info{
		Label: fs.label, BlockSize: fs.cluster, Size: fs.total, Used: max(fs.used, 0), Clean: fs.clean, Bad: fs.bad,
		Notes: []string{fmt.Sprintf("FAT%d", fs.bits)},
	}
	if fs.id != 0 {
		info.UUID = fmt.Sprintf("%04X-%04X", fs.id>>16, fs.id&0xffff)
	}
	if !fs.clean {
		info.Notes = append(info.Notes,
			"It was not unmounted. The image is what a crash would leave; check it with fsck.fat.")
	}
	return info
}

// Extents returns the allocated runs.
func (fs *FS) Extents() ([]volume.Extent, error) {
	runs := volume.NewRuns(fs.total)
	runs.Add(0, fs.dataStart())
	// Sectors that make no whole cluster, or have no entry in a table, are nothing that the file system calls free.
	tail := fs.clusterStart(fs.clusters + 2)
	runs.Add(tail, fs.total-tail)
	lists := make([][]volume.Extent, fs.tables)
	// The copies are alike, unless something went wrong between two writes; then each may know clusters of its own.
	bad := volume.NewRuns(fs.total)
	for i := range fs.tables {
		t := &table{fs: fs, runs: volume.NewRuns(fs.total), bad: bad}
		if err := t.read(fs.reserved+int64(i)*fs.table, t.entry); err != nil {
			return nil, fmt.Errorf("file allocation table %d: %w", i+1, err)
		}
		lists[i] = t.runs.Extents()
	}
	fs.bad = bad.Extents()
	all := volume.Merge(fs.total, append(lists, runs.Extents())...)
	fs.used = volume.Bytes(all)
	if fs.clean {
		if err := fs.check(all); err != nil {
			return nil, err
		}
	}
	return all, nil
}
