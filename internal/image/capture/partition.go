package capture

import (
	"fmt"
	"io"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/partition"
	"github.com/diskcast/diskcast/internal/volume/probe"
	"github.com/diskcast/diskcast/internal/volume/table"
)

// Look is Survey, of one partition if by names one. What it returns is to be read through the reader, as a disk of
// Config.DiskSize bytes.
func Look(src io.ReaderAt, size int64, sectorSize int, by *partition.By, options ...SurveyOption) (*Disk, io.ReaderAt,
	error) {
	if by == nil {
		d, err := Survey(src, size, sectorSize, options...)
		return d, src, err
	}
	return surveyPartition(src, size, sectorSize, *by, options)
}

func surveyPartition(src io.ReaderAt, size int64, sectorSize int, by partition.By, options []SurveyOption) (*Disk,
	io.ReaderAt, error) {
	s := &survey{src: src, size: size}
	for _, o := range options {
		o(s)
	}
	found, err := partition.Find(src, size, sectorSize, by)
	if err != nil {
		return nil, nil, err
	}
	disk, err := probe.NewDisk(src, found.Table)
	if err != nil {
		return nil, nil, err
	}
	in, ext, err := s.partition(found.Table, disk, found.Partition)
	if err != nil {
		return nil, nil, err
	}
	cfg := PartitionConfig(in, found, found.Table.DiskSize, found.Table.SectorSize)
	cfg.Table.Notes = append(cfg.Table.Notes, s.notes...)
	at := found.Start
	edges := []int64{in.FSSize, found.Size - int64(len(in.BootCopy))}
	d := &Disk{Config: cfg, Extents: cut(moved(ext, -at), edges), Table: cfg.Table,
		Bad: volume.Merge(found.Size, moved(s.bad, -at))}
	return d, Within(src, size, at, found.Size), cfg.CheckSize()
}

func moved(ext []volume.Extent, by int64) []volume.Extent {
	out := make([]volume.Extent, len(ext))
	for i, e := range ext {
		out[i] = volume.Extent{Offset: e.Offset + by, Length: e.Length}
	}
	return out
}

// PartitionConfig is the config of an image of one partition: as that of a disk that is its file system.
func PartitionConfig(in image.Partition, p *partition.Found, diskSize int64, sectorSize int) *image.Config {
	in.Number, in.Start = 0, 0
	return &image.Config{V: image.PartitionVersion, DiskSize: p.Size, SectorSize: sectorSize,
		Table:      &volume.Table{Kind: table.KindNone, SectorSize: sectorSize, DiskSize: p.Size},
		Partitions: []image.Partition{in},
		Origin: &image.Origin{Number: p.Number, Start: p.Start, DiskSize: diskSize, Table: p.Table.Kind, Type: p.Type,
			UUID: partition.UUID(p.Table, &p.Partition), Name: p.Name}}
}

// Within reads size bytes of a source of whole bytes from a place on as a source of their own, which has the holes of
// the other.
func Within(src io.ReaderAt, whole, start, size int64) io.ReaderAt {
	return &within{SectionReader: io.NewSectionReader(src, start, size), holes: holesOf(src, whole), start: start}
}

type within struct {
	*io.SectionReader
	holes []volume.Extent // of the source
	start int64
}

var _ Sparse = (*within)(nil)

// Allocated implements Sparse.
func (w *within) Allocated() []volume.Extent {
	all := volume.Extent{Offset: w.start, Length: w.Size()}
	return moved(volume.Subtract([]volume.Extent{all}, w.holes), -w.start)
}

// Words name what an image of one partition was made of; empty for one of a disk.
func Words(c *image.Config) string {
	if c.Origin == nil {
		return ""
	}
	return fmt.Sprintf("partition %d (%d bytes from %d) of a disk of %d bytes", c.Origin.Number, c.DiskSize,
		c.Origin.Start, c.Origin.DiskSize)
}
