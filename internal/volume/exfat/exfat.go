// Package exfat reads the allocation map of exFAT from its allocation bitmap.
//
// The source is Microsoft's "exFAT file system specification", sections 3 (boot regions), 4 (FAT), 6 and 7.1 (directory
// entries, allocation bitmap). The boot regions and the FAT before the cluster heap are in the map as a whole.
//
// Clusters that a FAT calls bad are in the map, whatever the bitmap says of them.
//
// The bitmap must have what the root directory names. PercentInUse of the boot sector is not compared: Linux leaves it
// as it was. Directories below the root are not read, which would take as long as a check by fsck.exfat.
//
// A volume that is marked dirty may have files in clusters that the bitmap does not know yet, so it is captured whole.
package exfat

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/field"
)

var le = binary.LittleEndian

const (
	entrySize      = 32
	entryBitmap    = 0x81
	entryUpcase    = 0x82
	entryLabel     = 0x83
	entryStream    = 0xc0 // where a file or directory begins
	flagDirty      = 0x0002
	maxRootEntries = 1 << 16 // of 2^23 that the format allows; the two entries that matter come first
	badCluster     = 0xfffffff7
	endOfChain     = 0xfffffff8
)

// FS is an exFAT volume.
type FS struct {
	r        io.ReaderAt
	size     int64
	sector   int64
	cluster  int64
	fat      int64 // bytes
	fats     int64 // how many
	fatSize  int64
	heap     int64 // bytes
	clusters int64
	bitmaps  []bitmap
	// what the root directory names: files, directories, the up-case table; its own clusters have no length here
	known []bitmap
	info  volume.Info
	whole bool
}

// bitmap is where a run of clusters begins, and its length in bytes.
type bitmap struct{ first, length int64 }

// Open reads the boot sector and the root directory.
func Open(r io.ReaderAt, size int64) (*FS, error) { return open(r, size, true) }

func open(r io.ReaderAt, size int64, verify bool) (*FS, error) {
	var boot [512]byte
	if size < int64(len(boot)) {
		return nil, fmt.Errorf("exfat: %w", volume.ErrNotThis)
	}
	if err := volume.ReadAt(r, size, 0, boot[:]); err != nil {
		return nil, fmt.Errorf("exfat: %w", err)
	}
	if string(boot[3:11]) != "EXFAT   " {
		return nil, fmt.Errorf("exfat: %w", volume.ErrNotThis)
	}
	fs := &FS{r: r, size: size}
	if err := fs.boot(boot[:], verify); err != nil {
		return nil, fmt.Errorf("exfat boot sector: %w", err)
	}
	if err := fs.root(int64(le.Uint32(boot[96:]))); err != nil {
		return nil, fmt.Errorf("exfat root directory: %w", err)
	}
	return fs, nil
}

func (fs *FS) boot(boot []byte, verify bool) error {
	if boot[108] < 9 || boot[108] > 12 || boot[109] > 25-boot[108] {
		return fmt.Errorf("sectors of 2^%d bytes, clusters of 2^%d sectors", boot[108], boot[109])
	}
	fs.sector = 1 << boot[108]
	fs.cluster = fs.sector << boot[109]
	if major := boot[105]; major != 1 {
		return fmt.Errorf("revision %d is not known", major)
	}
	sectors := le.Uint64(boot[72:])
	if limit := uint64(fs.size / fs.sector); sectors > limit {
		return fmt.Errorf("it claims %d sectors, and the partition has %d", sectors, limit)
	}
	volumeSize := int64(sectors) * fs.sector
	fats := int64(boot[110])
	fs.fats = fats
	fs.fat, fs.fatSize = int64(le.Uint32(boot[80:]))*fs.sector, int64(le.Uint32(boot[84:]))*fs.sector
	fs.heap, fs.clusters = int64(le.Uint32(boot[88:]))*fs.sector, int64(le.Uint32(boot[92:]))
	switch {
	case fats != 1 && fats != 2:
		return fmt.Errorf("it has %d FATs", fats)
	case fs.fat < 24*fs.sector || fs.fat+fats*fs.fatSize > fs.heap || fs.fatSize < 4*(fs.clusters+2):
		return fmt.Errorf("its FAT of %d bytes at %d does not fit", fs.fatSize, fs.fat)
	case fs.clusters < 1 || fs.heap+fs.clusters*fs.cluster > volumeSize:
		return fmt.Errorf("its %d clusters at %d do not fit", fs.clusters, fs.heap)
	}
	if verify {
		if err := fs.checksum(); err != nil {
			return err
		}
	}
	serial, flags := le.Uint32(boot[100:]), le.Uint16(boot[106:])
	fs.info = volume.Info{
		UUID:      fmt.Sprintf("%04X-%04X", serial>>16, serial&0xffff),
		BlockSize: fs.cluster,
		Size:      volumeSize,
		Clean:     flags&flagDirty == 0,
	}
	if !fs.info.Clean {
		fs.whole = true
		fs.info.Notes = append(fs.info.Notes,
			"It was not cleanly unmounted: its allocation bitmap may be behind its files, so it is captured whole. "+
				"Run fsck.exfat (or chkdsk) for a smaller image.")
	}
	return nil
}

// checksum checks the sum that fills the twelfth sector; three bytes that change while mounted are not in it.
func (fs *FS) checksum() error {
	p, err := volume.Read(fs.r, fs.size, 0, 12*fs.sector, 12*4096)
	if err != nil {
		return err
	}
	var sum uint32
	for i, c := range p[:11*fs.sector] {
		if i == 106 || i == 107 || i == 112 {
			continue
		}
		sum = sum<<31 | sum>>1
		sum += uint32(c)
	}
	if sum != le.Uint32(p[11*fs.sector:]) {
		return errors.New("the checksum of the boot region is wrong")
	}
	return nil
}

// offset is where a cluster is; the first one has the number 2.
func (fs *FS) offset(cluster int64) (int64, error) {
	if cluster < 2 || cluster >= fs.clusters+2 {
		return 0, fmt.Errorf("cluster %d of %d", cluster, fs.clusters)
	}
	return fs.heap + (cluster-2)*fs.cluster, nil
}

// next follows the FAT; 0 is the end.
func (fs *FS) next(cluster int64) (int64, error) {
	var p [4]byte
	if err := volume.ReadAt(fs.r, fs.size, fs.fat+4*cluster, p[:]); err != nil {
		return 0, err
	}
	next := int64(le.Uint32(p[:]))
	if next >= endOfChain {
		return 0, nil
	}
	return next, nil
}

// root looks for the bitmap and the label. A chain longer than the limit is a loop, or a directory in which they are
// not found.
func (fs *FS) root(cluster int64) error {
	buf := make([]byte, min(fs.cluster, 64<<10))
	for seen := 0; cluster != 0; {
		at, err := fs.offset(cluster)
		if err != nil {
			return err
		}
		fs.known = append(fs.known, bitmap{first: cluster})
		for end := at + fs.cluster; at < end; at += int64(len(buf)) {
			if err := volume.ReadAt(fs.r, fs.size, at, buf); err != nil {
				return err
			}
			for e := buf; len(e) > 0; e = e[entrySize:] {
				seen++
				switch e[0] {
				case 0:
					return fs.rootDone()
				case entryBitmap:
					if len(fs.bitmaps) < 2 {
						fs.bitmaps = append(fs.bitmaps, bitmap{int64(le.Uint32(e[20:])), int64(le.Uint64(e[24:]))})
					}
				case entryUpcase, entryStream:
					if first := int64(le.Uint32(e[20:])); first != 0 {
						fs.known = append(fs.known, bitmap{first: first})
					}
				case entryLabel:
					fs.info.Label = field.UTF16(e[2 : 2+2*min(11, int(e[1]))])
				}
				if seen >= maxRootEntries {
					return fs.rootDone()
				}
			}
		}
		if cluster, err = fs.next(cluster); err != nil {
			return err
		}
	}
	return fs.rootDone()
}

func (fs *FS) rootDone() error {
	if len(fs.bitmaps) == 0 {
		return errors.New("it names no allocation bitmap")
	}
	for _, b := range fs.bitmaps {
		if b.length < (fs.clusters+7)/8 || b.length > fs.clusters*fs.cluster {
			return fmt.Errorf("its allocation bitmap has %d bytes for %d clusters", b.length, fs.clusters)
		}
	}
	return nil
}

// Type is "exfat".
func (fs *FS) Type() string { return "exfat" }

// Info returns what the boot sector and the root directory say. Used is known after Extents.
func (fs *FS) Info() volume.Info { return fs.info.Clone() }

// Extents reads the allocation bitmap; with two FATs there are two, and a cluster that either of them has is in the
// map.
func (fs *FS) Extents() ([]volume.Extent, error) {
	runs := volume.NewRuns(fs.size)
	runs.Add(0, fs.heap)
	// Sectors that make no whole cluster are nothing that the file system calls free.
	end := fs.heap + fs.clusters*fs.cluster
	runs.Add(end, fs.info.Size-end)
	for _, b := range fs.bitmaps {
		if err := fs.bitmap(runs, b); err != nil {
			return nil, fmt.Errorf("exfat allocation bitmap: %w", err)
		}
	}
	if err := fs.bad(runs); err != nil {
		return nil, fmt.Errorf("exfat FAT: %w", err)
	}
	used := runs.Extents()
	fs.info.Used = volume.Bytes(used)
	if fs.whole {
		return []volume.Extent{{Offset: 0, Length: fs.size}}, nil
	}
	return used, fs.check(used)
}

// bad adds the clusters that a FAT calls bad. What the bitmap says of such a cluster is not defined, and one that is
// bad is not free: programs hide data in them.
func (fs *FS) bad(runs *volume.Runs) error {
	bad := volume.NewRuns(fs.size)
	for n := range fs.fats {
		for at := int64(2); at < fs.clusters+2; {
			p, err := volume.Read(fs.r, fs.size, fs.fat+n*fs.fatSize+4*at, min(1<<20, 4*(fs.clusters+2-at)), 1<<20)
			if err != nil {
				return err
			}
			for ; len(p) > 0; p, at = p[4:], at+1 {
				if le.Uint32(p) == badCluster {
					runs.Add(fs.heap+(at-2)*fs.cluster, fs.cluster)
					bad.Add(fs.heap+(at-2)*fs.cluster, fs.cluster)
				}
			}
		}
	}
	fs.info.Bad = bad.Extents()
	return nil
}

// check wants the bitmaps to have what the root directory names: itself, them, the up-case table, and the first cluster
// of each file and directory in it.
func (fs *FS) check(used []volume.Extent) error {
	for _, b := range append(fs.known, fs.bitmaps...) {
		at, err := fs.offset(b.first)
		if err == nil {
			err = volume.Require(used, "what its root directory names", at, fs.cluster)
		}
		if err != nil {
			return fmt.Errorf("exfat: %w", err)
		}
	}
	return nil
}

// bitmap follows the FAT chain of a bitmap, whose first bit is cluster 2.
func (fs *FS) bitmap(runs *volume.Runs, b bitmap) error {
	buf := make([]byte, min(fs.cluster, 1<<20))
	cluster := b.first
	for bit := int64(0); bit < fs.clusters; {
		at, err := fs.offset(cluster)
		if err != nil {
			return err
		}
		for end := at + fs.cluster; at < end && bit < fs.clusters; at += int64(len(buf)) {
			if err := volume.ReadAt(fs.r, fs.size, at, buf); err != nil {
				return err
			}
			runs.AddBits(buf, fs.clusters-bit, fs.heap+bit*fs.cluster, fs.cluster)
			bit += 8 * int64(len(buf))
		}
		if cluster, err = fs.next(cluster); err != nil {
			return err
		}
	}
	return nil
}
