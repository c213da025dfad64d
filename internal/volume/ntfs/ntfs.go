// Package ntfs reads the allocation map of NTFS: the cluster bitmap that the metadata file $Bitmap holds.
//
// The sources are the "NTFS Documentation" of the Linux-NTFS project (R. Russon, Y. Fledel: boot sector, FILE record,
// attribute, data runs, $Bitmap, $Volume, $LogFile) and Microsoft's description of the boot sector and of cluster sizes
// above 64 KiB. The way to the bitmap: boot sector, first record of the master file table, the table's own runs, record
// 6.
//
// NTFS keeps no count of free clusters. Instead the bitmap must have what the first file records name, as far as 64 MiB
// of them.
//
// Outside the clusters there is the backup of the boot sector, in the last sector of the partition; it is always in the
// map. A volume that is marked dirty, or whose $LogFile is not closed, may have clusters in use that only its journal
// knows. NTFS's journal is not documented well enough to replay it, so such a volume is captured whole; so is one in
// which Windows is hibernated.
package ntfs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/field"
)

var le = binary.LittleEndian

// Numbers of metadata files, and attribute types.
const (
	fileMFT, fileLogFile, fileVolume, fileRoot, fileBitmap, fileBadClus = 0, 2, 3, 5, 6, 8

	attrList, attrVolumeName, attrVolumeInfo, attrData, attrIndexRoot, attrIndex = 0x20, 0x60, 0x70, 0x80, 0x90, 0xa0

	volumeDirty = 0x0001
)

// FS is an NTFS volume.
type FS struct {
	r       io.ReaderAt
	size    int64
	sector  int64
	cluster int64 // bytes
	sectors int64 // of the volume, without the backup boot sector
	record  int64 // bytes of a FILE record
	mft     []run
	mftSize int64 // bytes
	info    volume.Info
	whole   bool
}

// Open reads the boot sector and the metadata files it needs.
func Open(r io.ReaderAt, size int64) (*FS, error) {
	var boot [512]byte
	if size < int64(len(boot)) {
		return nil, fmt.Errorf("ntfs: %w", volume.ErrNotThis)
	}
	if err := volume.ReadAt(r, size, 0, boot[:]); err != nil {
		return nil, fmt.Errorf("ntfs: %w", err)
	}
	if string(boot[3:11]) != "NTFS    " {
		return nil, fmt.Errorf("ntfs: %w", volume.ErrNotThis)
	}
	fs := &FS{r: r, size: size}
	if err := fs.boot(boot[:]); err != nil {
		return nil, fmt.Errorf("ntfs boot sector: %w", err)
	}
	if err := fs.table(int64(le.Uint64(boot[0x30:]))); err != nil {
		return nil, fmt.Errorf("ntfs master file table: %w", err)
	}
	if err := fs.volume(); err != nil {
		return nil, fmt.Errorf("ntfs $Volume: %w", err)
	}
	return fs, nil
}

func (fs *FS) boot(boot []byte) error {
	fs.sector = int64(le.Uint16(boot[0x0b:]))
	if fs.sector < 256 || fs.sector > 4096 || fs.sector&(fs.sector-1) != 0 {
		return fmt.Errorf("sector size %d", fs.sector)
	}
	// Up to 0x80 it is a number of sectors; above, a negative power of two, for clusters larger than 64 KiB.
	perCluster := int64(boot[0x0d])
	if perCluster > 0x80 {
		shift := 256 - perCluster
		if shift > 12 {
			return fmt.Errorf("2^%d sectors in a cluster", shift)
		}
		perCluster = 1 << shift
	}
	if perCluster == 0 || perCluster&(perCluster-1) != 0 || perCluster*fs.sector > 2<<20 {
		return fmt.Errorf("%d sectors in a cluster", perCluster)
	}
	fs.cluster = perCluster * fs.sector
	sectors := le.Uint64(boot[0x28:])
	if limit := uint64(fs.size / fs.sector); sectors < uint64(perCluster) || sectors > limit {
		return fmt.Errorf("it claims %d sectors, and the partition has %d", sectors, limit)
	}
	fs.sectors = int64(sectors)
	record := int64(int8(boot[0x40]))
	switch {
	case record > 0:
		fs.record = record * fs.cluster
	case record < -7 && record > -17:
		fs.record = 1 << -record
	}
	if fs.record < 256 || fs.record > 65536 || fs.record&(fs.record-1) != 0 {
		return fmt.Errorf("file record size %d", fs.record)
	}
	fs.info = volume.Info{
		UUID:      fmt.Sprintf("%016X", le.Uint64(boot[0x48:])),
		BlockSize: fs.cluster,
		Size:      min(fs.size, (fs.sectors+1)*fs.sector),
		Clean:     true,
	}
	return nil
}

// volume reads the label and the dirty mark, and whether the journal was closed.
func (fs *FS) volume() error {
	rec, err := fs.file(fileVolume)
	if err != nil {
		return err
	}
	flags := -1
	for _, a := range rec {
		switch {
		case a.kind == attrVolumeName && !a.nonResident:
			fs.info.Label = field.UTF16(a.value)
		case a.kind == attrVolumeInfo && !a.nonResident && len(a.value) >= 12:
			flags = int(le.Uint16(a.value[10:]))
		}
	}
	if flags < 0 {
		return errors.New("it has no volume information")
	}
	dirty := flags&volumeDirty != 0
	if !dirty {
		open, err := fs.journalOpen()
		if err != nil {
			return fmt.Errorf("$LogFile: %w", err)
		}
		dirty = open
	}
	if dirty {
		fs.whole, fs.info.Clean = true, false
		fs.info.Notes = append(fs.info.Notes,
			"It was not cleanly unmounted (Windows crashed, is hibernated, or has fast startup on): "+
				"the journal will be replayed on first mount. What is used may be known to its journal only, so it "+
				"is captured whole. "+
				"Shut Windows down with `shutdown /s /f /t 0` for a smaller image.")
	}
	hibernated, err := fs.hibernated()
	if err != nil {
		return fmt.Errorf("looking for hiberfil.sys: %w", err)
	}
	if hibernated {
		fs.whole, fs.info.Clean = true, false
		fs.info.Notes = append(fs.info.Notes,
			"Windows is hibernated in it (hiberfil.sys): its memory may know of files that the disk does not, so it "+
				"is "+
				"captured whole. A restored machine will try to resume, which is dangerous on another machine, or "+
				"after the disk was written. "+
				"Shut Windows down with `shutdown /s /f /t 0` before the capture if that is not wanted.")
	}
	return nil
}

// Type is "ntfs".
func (fs *FS) Type() string { return "ntfs" }

// Info returns what the boot sector and $Volume say. Used is known after Extents.
func (fs *FS) Info() volume.Info { return fs.info.Clone() }

// Extents reads $Bitmap: a bit for each cluster, the lowest bit of a byte first.
func (fs *FS) Extents() ([]volume.Extent, error) {
	used, err := fs.bitmap()
	if err != nil {
		return nil, fmt.Errorf("ntfs $Bitmap: %w", err)
	}
	fs.info.Used = volume.Bytes(used)
	fs.bad()
	if fs.whole {
		return []volume.Extent{{Offset: 0, Length: fs.size}}, nil
	}
	if err := fs.check(used); err != nil {
		return nil, fmt.Errorf("ntfs: %w", err)
	}
	return used, nil
}

// bad lists the clusters of $BadClus: those that its stream $Bad, which is as large as the volume, has. Who cannot read
// that knows of none.
func (fs *FS) bad() {
	runs, _, err := fs.stream(fileBadClus, attrData, true)
	if err != nil {
		return
	}
	bad := volume.NewRuns(fs.size)
	for _, r := range runs {
		if r.lcn >= 0 {
			bad.Add(r.lcn*fs.cluster, r.count*fs.cluster)
		}
	}
	fs.info.Bad = bad.Extents()
}

func (fs *FS) bitmap() ([]volume.Extent, error) {
	runs, size, err := fs.data(fileBitmap)
	if err != nil {
		return nil, err
	}
	clusters := fs.sectors * fs.sector / fs.cluster
	if size < (clusters+7)/8 {
		return nil, fmt.Errorf("it has %d bytes for %d clusters", size, clusters)
	}
	used := volume.NewRuns(fs.size)
	const step = 1 << 20
	buf := make([]byte, step)
	vcn := int64(0)
	for at := int64(0); at*8 < clusters; {
		if len(runs) == 0 {
			return nil, errors.New("its runs end too early")
		}
		r := runs[0]
		runs = runs[1:]
		if r.vcn != vcn || r.lcn < 0 {
			return nil, errors.New("it has a hole")
		}
		vcn += r.count
		for off, end := r.lcn*fs.cluster, (r.lcn+r.count)*fs.cluster; off < end && at*8 < clusters; {
			p := buf[:min(step, end-off)]
			if err := volume.ReadAt(fs.r, fs.size, off, p); err != nil {
				return nil, err
			}
			used.AddBits(p, clusters-at*8, at*8*fs.cluster, fs.cluster)
			at += int64(len(p))
			off += int64(len(p))
		}
	}
	// What is behind the last cluster: some sectors, and the backup boot sector, which Windows puts into the
	// partition's last sector.
	tail := clusters * fs.cluster
	used.Add(tail, (fs.sectors+1)*fs.sector-tail)
	used.Add(fs.size-fs.sector, fs.sector)
	return used.Extents(), nil
}
