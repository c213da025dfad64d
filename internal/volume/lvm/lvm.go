// Package lvm finds the logical volumes on a physical volume of LVM2, so that the file systems in them can be asked for
// their allocation maps.
//
// The source is "Logical Volume Manager (LVM) format" of the libvslvm project, and lvm2's own vgcfgbackup(8) files for
// the text metadata. A logical volume whose segments are all linear, all on this physical volume, and to which no other
// logical volume refers is descended into. All others (striped, RAID, thin pools, caches, snapshots and their origins)
// are captured whole: an unchanged block of a snapshot lies in the origin, where its file system may have freed it.
// Physical extents of no logical volume are left out. Metadata has checksums; where a physical volume keeps two copies,
// they must be the same, and one that is marked as ignored is not read.
package lvm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"

	"github.com/diskcast/diskcast/internal/volume"
)

var le = binary.LittleEndian

const (
	sector      = 512
	maxMetadata = 16 << 20
	mdaMagic    = " LVM2 x[5A%r0N*>"
	maxAreas    = 16
	maxVolumes  = 10_000
	maxSegments = 1 << 20
	verityBlock = 4096 // the least that a hash tree behind a file system takes
)

// Segment is a run of a logical volume: Length bytes from Offset in it lie at Physical on the physical volume.
type Segment struct{ Offset, Physical, Length int64 }

// Volume is a logical volume, or the part of it that is on this physical volume.
type Volume struct {
	Name     string
	UUID     string    // of the device mapper's device, without its "LVM-": those of group and volume
	Size     int64     // bytes
	Segments []Segment // in order, without gaps, when Linear
	Linear   bool      // all of it is here, and it may be descended into
	Why      string    // when not Linear: what it is
	Writable bool      // neither it nor its volume group is read-only or exported
}

// Run is where on the physical volume the logical volume lies, when it is Linear and in one piece.
func (v *Volume) Run() (offset int64, ok bool) {
	if !v.Linear || len(v.Segments) == 0 {
		return 0, false
	}
	for _, s := range v.Segments {
		if s.Physical-s.Offset != v.Segments[0].Physical {
			return 0, false
		}
	}
	return v.Segments[0].Physical, true
}

// FS is a physical volume.
type FS struct {
	r       io.ReaderAt
	size    int64
	info    volume.Info
	start   int64 // first physical extent
	end     int64 // after the last one
	volumes []Volume
	members int // physical volumes of the volume group
	inside  func(io.ReaderAt, int64) (volume.FileSystem, error)
	whole   bool
}

// Open reads the label and the metadata. Until Descend is called, every logical volume counts as used in whole.
func Open(r io.ReaderAt, size int64) (*FS, error) {
	head := make([]byte, 4*sector)
	if size < int64(len(head)) {
		return nil, fmt.Errorf("lvm: %w", volume.ErrNotThis)
	}
	if err := volume.ReadAt(r, size, 0, head); err != nil {
		return nil, fmt.Errorf("lvm: %w", err)
	}
	for i := range 4 {
		label := head[i*sector : (i+1)*sector]
		if string(label[:8]) == "LABELONE" && string(label[24:32]) == "LVM2 001" && le.Uint64(label[8:]) == uint64(i) {
			fs := &FS{r: r, size: size, info: volume.Info{Clean: true, Size: size}}
			if err := fs.label(label); err != nil {
				return nil, fmt.Errorf("lvm physical volume: %w", err)
			}
			return fs, nil
		}
	}
	return nil, fmt.Errorf("lvm: %w", volume.ErrNotThis)
}

// checksum is a CRC-32 with LVM's own beginning, not inverted at its end.
func checksum(p []byte) uint32 {
	return ^crc32.Update(^uint32(0xf597a6cf), crc32.IEEETable, p)
}

type area struct{ offset, size int64 }

// areas reads a list of offset and size that ends with zeros.
func areas(p []byte) (list []area, rest []byte, err error) {
	for len(p) >= 16 {
		a := area{int64(le.Uint64(p)), int64(le.Uint64(p[8:]))}
		p = p[16:]
		if a.offset == 0 && a.size == 0 {
			return list, p, nil
		}
		if list = append(list, a); len(list) > maxAreas {
			break
		}
	}
	return nil, nil, errors.New("its list of areas does not end")
}

func (fs *FS) label(label []byte) error {
	if checksum(label[20:]) != le.Uint32(label[16:]) {
		return errors.New("the checksum of its label is wrong")
	}
	at := int(le.Uint32(label[20:]))
	if at < 32 || at > sector-40 {
		return fmt.Errorf("its header is at %d", at)
	}
	header := label[at:]
	id := string(header[:32])
	fs.info.UUID = strings.Join([]string{id[:6], id[6:10], id[10:14], id[14:18], id[18:22], id[22:26], id[26:]}, "-")
	_, rest, err := areas(header[40:])
	if err != nil {
		return err
	}
	mdas, _, err := areas(rest)
	if err != nil {
		return err
	}
	var text []byte
	for _, mda := range mdas {
		another, err := fs.metadata(mda)
		switch {
		case err != nil:
			return err
		case text == nil:
			text = another
		case another != nil && !bytes.Equal(text, another):
			return errors.New("its metadata areas disagree (vgck repairs that)")
		}
	}
	switch {
	case text == nil:
		fs.whole = true
		fs.info.Notes = append(fs.info.Notes,
			"This LVM physical volume has no copy of its volume group's metadata, or is in none. It is captured whole.")
		return nil
	}
	group, err := parse(text)
	if err != nil {
		return fmt.Errorf("metadata: %w", err)
	}
	if err := fs.group(group, id); err != nil {
		return fmt.Errorf("metadata: %w", err)
	}
	return nil
}

// metadata reads the current text of a metadata area: a ring behind a header of one sector. It is nil where there is
// none.
func (fs *FS) metadata(mda area) ([]byte, error) {
	var header [sector]byte
	if err := volume.ReadAt(fs.r, fs.size, mda.offset, header[:]); err != nil {
		return nil, err
	}
	if string(header[4:20]) != mdaMagic || checksum(header[4:]) != le.Uint32(header[:]) {
		return nil, errors.New("the header of its metadata area is damaged")
	}
	size := int64(le.Uint64(header[32:]))
	offset, n, sum := int64(le.Uint64(header[40:])), int64(le.Uint64(header[48:])), le.Uint32(header[56:])
	const ignored = 1 // the volume group keeps its metadata elsewhere, and what is here may be old
	if offset == 0 || n == 0 || le.Uint32(header[60:])&ignored != 0 {
		return nil, nil
	}
	if size < 2*sector || size > fs.size || offset < sector || offset >= size || n < 0 || n > size-sector {
		return nil, errors.New("the ring of its metadata area is out of bounds")
	}
	first := min(n, size-offset)
	text, err := volume.Read(fs.r, fs.size, mda.offset+offset, first, maxMetadata)
	if err != nil {
		return nil, err
	}
	if n > first {
		more, err := volume.Read(fs.r, fs.size, mda.offset+sector, n-first, maxMetadata)
		if err != nil {
			return nil, err
		}
		text = append(text, more...)
	}
	if checksum(text) != sum {
		return nil, errors.New("the checksum of its metadata is wrong")
	}
	return text, nil
}

// Type is "LVM2_member".
func (fs *FS) Type() string { return "LVM2_member" }

// Info returns the volume group's name as the label, and notes on what was found. Used is known after Extents.
func (fs *FS) Info() volume.Info { return fs.info.Clone() }

// Volumes returns the logical volumes, hidden ones included.
func (fs *FS) Volumes() []Volume { return slices.Clone(fs.volumes) }

// Members is how many physical volumes the volume group has, 0 when its metadata is not here.
func (fs *FS) Members() int { return fs.members }

// Descend sets what reads the file systems in linear logical volumes.
func (fs *FS) Descend(inside func(io.ReaderAt, int64) (volume.FileSystem, error)) { fs.inside = inside }

// Extents returns all that is outside the physical extents, and in them what the logical volumes use.
func (fs *FS) Extents() ([]volume.Extent, error) {
	if fs.whole {
		fs.info.Used = fs.size
		return []volume.Extent{{Offset: 0, Length: fs.size}}, nil
	}
	runs := volume.NewRuns(fs.size)
	runs.Add(0, fs.start)
	runs.Add(fs.end, fs.size-fs.end)
	fs.info.Notes, fs.info.Clean = nil, true
	for i := range fs.volumes {
		v := &fs.volumes[i]
		if err := fs.descend(runs, v); err != nil {
			return nil, fmt.Errorf("lvm logical volume %s: %w", v.Name, err)
		}
	}
	out := runs.Extents()
	fs.info.Used = volume.Bytes(out)
	return out, nil
}

func (fs *FS) descend(runs *volume.Runs, v *Volume) error {
	name := fs.info.Label + "/" + v.Name
	if !v.Linear || fs.inside == nil {
		for _, s := range v.Segments {
			runs.Add(s.Physical, s.Length)
		}
		if v.Why != "" && len(v.Segments) > 0 {
			fs.info.Notes = append(fs.info.Notes, fmt.Sprintf("Logical volume %s is captured whole: %s.", name, v.Why))
		}
		return nil
	}
	r := v.reader(fs.r)
	found, err := fs.inside(r, v.Size)
	if err != nil {
		return err
	}
	extents, err := found.Extents()
	if err != nil {
		return err
	}
	info := found.Info()
	end := min(info.Size, v.Size)
	something, err := volume.AnyNonZero(r, v.Size, volume.Extent{Offset: end, Length: v.Size - end})
	if err != nil {
		return fmt.Errorf("looking behind the end of its file system: %w", err)
	}
	if something && v.Size-end >= verityBlock {
		extents = []volume.Extent{{Length: v.Size}}
		info.Notes = append(info.Notes,
			"Something lies behind its file system. It may be a dm-verity tree, which covers free blocks too, so it "+
				"is captured whole.")
	}
	if found.Type() != "swap" && found.Type() != volume.TypeRaw {
		fs.info.Clean = fs.info.Clean && info.Clean
	}
	fs.info.Notes = append(fs.info.Notes,
		fmt.Sprintf("Logical volume %s: %s, %d of %d bytes used.", name, found.Type(), volume.Bytes(extents), v.Size))
	for _, note := range info.Notes {
		fs.info.Notes = append(fs.info.Notes, name+": "+note)
	}
	for _, e := range extents {
		v.translate(e, runs.Add)
	}
	// What lies behind the end of the file system, nothing calls free.
	if end < v.Size {
		v.translate(volume.Extent{Offset: end, Length: v.Size - end}, runs.Add)
	}
	return nil
}
