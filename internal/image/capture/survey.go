package capture

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/esp"
	"github.com/diskcast/diskcast/internal/volume/fat"
	"github.com/diskcast/diskcast/internal/volume/probe"
	"github.com/diskcast/diskcast/internal/volume/table"
)

// SurveyOption changes what Survey takes into the image.
type SurveyOption func(*survey)

// DropGaps leaves out what lies in no partition, except where boot loaders are by custom (table.DropGaps). How many
// bytes that are is among the notes of the table.
func DropGaps() SurveyOption { return func(s *survey) { s.dropGaps = true } }

// GuessedSector says that the size of a sector was not told by a kernel but guessed, as it is for a file. A dos table
// by which no file system is found, and by the other size one is, is then read by the other size, which is said in the
// notes of the table.
func GuessedSector() SurveyOption { return func(s *survey) { s.guessed = true } }

// Note adds words of the caller's to the notes of the table.
func Note(words string) SurveyOption { return func(s *survey) { s.notes = append(s.notes, words) } }

type survey struct {
	dropGaps, guessed bool
	notes             []string
	src               io.ReaderAt
	size              int64
	bad               []volume.Extent // of the disk
}

// Survey reads the partition table and the allocation maps of a disk.
func Survey(src io.ReaderAt, size int64, sectorSize int, options ...SurveyOption) (*Disk, error) {
	s := &survey{src: src, size: size}
	for _, o := range options {
		o(s)
	}
	if size <= 0 {
		return nil, fmt.Errorf("the disk has %d bytes: there is nothing to capture", size)
	}
	t, err := s.table(sectorSize)
	if err != nil {
		return nil, fmt.Errorf("reading the partition table: %w", err)
	}
	t.Notes = append(t.Notes, s.notes...)
	cfg := &image.Config{V: image.ConfigVersion, DiskSize: size, SectorSize: t.SectorSize, Table: t,
		Firmware: firmware(t)}
	parts := t.Partitions
	if t.Kind == table.KindNone {
		parts = []volume.Partition{{Number: 0, Start: 0, Size: size}}
	}
	disk, err := probe.NewDisk(src, t)
	if err != nil {
		return nil, err
	}
	edges := table.Edges(t) // where a run of zeros must end, so that a plan can tell what fits a target
	if s.dropGaps {
		if err := s.drop(t); err != nil {
			return nil, err
		}
	}
	all := [][]volume.Extent{t.Regions}
	for _, p := range parts {
		in, ext, err := s.partition(t, disk, p)
		if err != nil {
			return nil, err
		}
		all = append(all, ext)
		cfg.Partitions = append(cfg.Partitions, in)
		if esp.Is(p.Type) || t.Kind == table.KindNone && in.FS == "vfat" {
			startable(cfg, p, io.NewSectionReader(src, p.Start, p.Size))
		}
		edges = append(edges, p.Start, p.End(), p.Start+in.FSSize)
		edges = append(edges, p.End()-int64(len(in.BootCopy)))
	}
	// Table.Regions lies outside of what table.Write makes; what a partition claims of the table's own places is not
	// for us to write.
	pieces, err := table.Layout(t, size, t.SectorSize)
	if err != nil {
		return nil, fmt.Errorf("the partition table could not be made again: %w", err)
	}
	var own []volume.Extent
	for _, p := range pieces {
		own = append(own, volume.Extent{Offset: p.Offset, Length: int64(len(p.Data))})
	}
	ext := volume.Subtract(volume.Merge(size, all...), volume.Merge(size, own))
	return &Disk{Config: cfg, Extents: cut(ext, edges), Table: t, Bad: volume.Merge(size, s.bad)}, cfg.CheckSize()
}

// partition looks into a partition. The extents are of the disk.
func (s *survey) partition(t *volume.Table, disk *probe.Disk, p volume.Partition) (image.Partition, []volume.Extent,
	error) {
	none := image.Partition{}
	if p.Start < 0 || p.Size < 0 || p.Start > s.size || p.Size > s.size-p.Start {
		return none, nil, fmt.Errorf("partition %d (%d bytes from %d) ends beyond the disk of %d bytes: repair the "+
			"table first", p.Number, p.Size, p.Start, s.size)
	}
	fs := volume.Whole(volume.TypeRaw, p.Size, volume.Info{})
	if !t.Refused {
		var err error
		if fs, err = disk.Partition(p); err != nil {
			return none, nil, fmt.Errorf("partition %d: %w", p.Number, err)
		}
	}
	ext, err := fs.Extents()
	if err != nil {
		return none, nil, fmt.Errorf("partition %d (%s): %w", p.Number, fs.Type(), err)
	}
	for _, e := range ext {
		if e.Offset < 0 || e.Length <= 0 || e.Offset > p.Size || e.Length > p.Size-e.Offset {
			return none, nil, fmt.Errorf("partition %d (%s): its map has %d bytes at %d, beyond its %d bytes", p.Number,
				fs.Type(), e.Length, e.Offset, p.Size)
		}
	}
	in := fs.Info()
	var copied []byte
	if fs.Type() == "ntfs" && in.Size <= p.Size-512 {
		if copied, err = bootCopy(s.src, p, in.Size); err != nil {
			return none, nil, fmt.Errorf("partition %d (%s): %w", p.Number, fs.Type(), err)
		}
	}
	// A file system is believed only for its own range: what lies behind its end is nobody's, and captured.
	if behind := p.Size - in.Size; behind > 0 {
		something := false
		if behind >= verityBlock {
			if something, err = s.anything(p.Start+in.Size, behind-int64(len(copied))); err != nil {
				return none, nil, fmt.Errorf("partition %d (%s): looking behind its end: %w", p.Number, fs.Type(), err)
			}
		}
		if something {
			ext = []volume.Extent{{Offset: 0, Length: p.Size}}
			in.Notes = append(in.Notes,
				fmt.Sprintf("Its file system ends %d bytes before the partition does, and something lies behind it. "+
					"It may be a dm-verity tree, "+
					"which covers free blocks too, so the partition is captured whole.", behind))
		} else {
			ext = volume.Merge(p.Size, ext, []volume.Extent{{Offset: in.Size, Length: behind}})
			if behind >= 1<<20 {
				in.Notes = append(in.Notes,
					fmt.Sprintf("Its file system ends %d bytes before the partition does. They are captured as they "+
						"are.", behind))
			}
		}
	}
	out := image.Partition{
		Number: p.Number, Start: p.Start, Size: p.Size,
		FS: fs.Type(), Label: in.Label, UUID: in.UUID, FSSize: in.Size, BlockSize: in.BlockSize,
		Used: in.Used, Allocated: volume.Bytes(ext), Clean: in.Clean, Notes: in.Notes,
		BootCopy: copied,
	}
	for _, e := range in.Bad {
		s.bad = append(s.bad, volume.Extent{Offset: p.Start + e.Offset, Length: e.Length})
	}
	moved := make([]volume.Extent, len(ext))
	for i, e := range ext {
		moved[i] = volume.Extent{Offset: p.Start + e.Offset, Length: e.Length}
	}
	return out, moved, nil
}

// verityBlock is the least that a hash tree of dm-verity takes behind a file system. It begins anywhere there: right
// behind, or far off to leave room.
const verityBlock = 4096

// anything says whether n bytes of the disk from off are not all zero. Holes are not read.
func (s *survey) anything(off, n int64) (bool, error) {
	for _, e := range volume.Subtract([]volume.Extent{{Offset: off, Length: n}}, holesOf(s.src, s.size)) {
		if found, err := volume.AnyNonZero(s.src, s.size, e); found || err != nil {
			return found, err
		}
	}
	return false, nil
}

// bootCopy returns the last sector of a partition if it is one more copy of the boot sector of an NTFS that was made
// smaller and has its own backup at its own end; nil if it is not.
func bootCopy(src io.ReaderAt, p volume.Partition, fsSize int64) ([]byte, error) {
	var boot [512]byte
	if err := volume.ReadAt(src, p.End(), p.Start, boot[:]); err != nil {
		return nil, err
	}
	if len(boot) != int(binary.LittleEndian.Uint16(boot[11:])) { // bytes of a sector
		return nil, nil
	}
	for _, at := range []int64{p.Start + fsSize, p.End()} {
		var copied [512]byte
		if err := volume.ReadAt(src, p.End(), at-512, copied[:]); err != nil {
			return nil, err
		}
		if copied != boot {
			return nil, nil
		}
	}
	return boot[:], nil
}

// cut cuts extents at the given bytes of the disk.
func cut(ext []volume.Extent, at []int64) []volume.Extent {
	slices.Sort(at)
	var out []volume.Extent
	for _, e := range ext {
		i, _ := slices.BinarySearch(at, e.Offset+1)
		for ; i < len(at) && at[i] < e.End(); i++ {
			if at[i] == e.Offset {
				continue
			}
			out = append(out, volume.Extent{Offset: e.Offset, Length: at[i] - e.Offset})
			e = volume.Extent{Offset: at[i], Length: e.End() - at[i]}
		}
		out = append(out, e)
	}
	return out
}

// table reads the partition table.
func (s *survey) table(sectorSize int) (*volume.Table, error) {
	t, err := table.Read(s.src, s.size, sectorSize)
	if err != nil || !s.guessed || t.Kind == table.KindGPT || t.Kind == table.KindNone && !t.Refused {
		return t, err
	}
	if found, err := s.anyFileSystem(t); found || err != nil {
		return t, err
	}
	for _, ss := range []int{512, 4096} {
		if ss == sectorSize || s.size%int64(ss) != 0 {
			continue
		}
		other, err := table.Read(s.src, s.size, ss)
		if err != nil {
			return nil, err
		}
		if found, err := s.anyFileSystem(other); err != nil {
			return nil, err
		} else if found {
			other.Notes = append(other.Notes,
				fmt.Sprintf("It was read with sectors of %d bytes: file systems lie where its dos table has them "+
					"by that size, and none by %d. Give --sector-size if that is wrong.", ss, sectorSize))
			return other, nil
		}
	}
	return t, nil
}

// anyFileSystem says whether a dos table has a partition with something in it that is known.
func (s *survey) anyFileSystem(t *volume.Table) (bool, error) {
	for _, p := range t.Partitions {
		fs, err := probe.Probe(io.NewSectionReader(s.src, p.Start, p.Size), p.Size)
		if err != nil {
			return false, fmt.Errorf("partition %d: %w", p.Number, err)
		}
		if fs.Type() != volume.TypeRaw {
			return true, nil
		}
	}
	return false, nil
}

// startable records what UEFI firmware can start from a partition.
func startable(cfg *image.Config, p volume.Partition, r io.ReaderAt) {
	found := &esp.Contents{}
	f, err := fat.Open(r, p.Size)
	if err == nil {
		found, err = esp.Scan(f)
	}
	if cfg.Table.Kind == "none" && (err != nil || len(found.Fallbacks) == 0) {
		return // a file system like any other
	}
	if cfg.EFI == nil {
		cfg.EFI = &image.EFI{}
	}
	if err != nil {
		cfg.EFI.Problem = fmt.Sprintf("partition %d: %v", p.Number, err)
		return
	}
	for _, l := range found.Fallbacks {
		cfg.EFI.Fallbacks = append(cfg.EFI.Fallbacks, l.Path)
	}
	for _, l := range found.Loaders {
		cfg.EFI.Loaders = append(cfg.EFI.Loaders, l.Path)
	}
}

func firmware(t *volume.Table) string {
	bios, uefi := esp.Firmware(t)
	switch {
	case bios && uefi:
		return image.Both
	case bios:
		return image.BIOS
	case uefi:
		return image.UEFI
	}
	return ""
}
