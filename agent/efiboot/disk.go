package efiboot

import (
	"fmt"
	"io"
	"os"

	"github.com/diskcast/diskcast/agent/efivars"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/esp"
	"github.com/diskcast/diskcast/internal/volume/table"
)

// Contents is what a disk has for firmware to start.
type Contents struct {
	Table    *volume.Table
	BootCode bool // for BIOS: the first sector holds a program
	Systems  []System
	// Problems says in words which EFI system partitions cannot be read.
	Problems []string
}

// System is an EFI system partition.
type System struct {
	efivars.Partition
	Index    int // number of the partition; 0 is a disk without partition table
	Contents *esp.Contents
}

// Read looks at a disk of size bytes.
func Read(r io.ReaderAt, size int64, sector int) (*Contents, error) {
	t, err := table.Read(r, size, sector)
	if err != nil {
		return nil, fmt.Errorf("reading the partition table: %w", err)
	}
	c := &Contents{Table: t}
	mbr := make([]byte, 440) // the rest is the disk's signature and the table
	if err := volume.ReadAt(r, size, 0, mbr); err != nil {
		return nil, err
	}
	for _, b := range mbr {
		c.BootCode = c.BootCode || b != 0
	}
	for _, p := range t.Partitions {
		if !esp.Is(p.Type) {
			continue
		}
		if err := c.add(r, p, t); err != nil {
			c.Problems = append(c.Problems,
				fmt.Sprintf("partition %d, the EFI system partition, cannot be read: %v", p.Number, err))
		}
	}
	if t.Kind == "none" {
		// A file system on the whole disk: firmware starts the fallback from it, and an entry could not name it.
		if s, err := esp.Read(r, size); err == nil {
			c.Systems = append(c.Systems, System{Contents: s})
		}
	}
	return c, nil
}

func (c *Contents) add(r io.ReaderAt, p volume.Partition, t *volume.Table) error {
	sector := int64(t.SectorSize)
	s := System{Index: p.Number,
		Partition: efivars.Partition{Number: uint32(p.Number), Start: uint64(p.Start / sector),
			Size: uint64(p.Size / sector)}}
	id := p.UUID
	if t.Kind == "dos" {
		id = t.DiskID
	}
	var err error
	if s.Signature, s.GPT, err = efivars.Signature(id); err != nil {
		return err
	}
	if s.Contents, err = esp.Read(io.NewSectionReader(r, p.Start, p.Size), p.Size); err != nil {
		return err
	}
	c.Systems = append(c.Systems, s)
	return nil
}

// open reads a disk of the machine. Files on it can be looked at until it is closed.
func open(d session.Disk) (c *Contents, done func(), err error) {
	f, err := os.Open(d.Path)
	if err != nil {
		return nil, nil, err
	}
	if c, err = Read(f, d.Size, d.SectorSize); err != nil {
		f.Close()
		return nil, nil, err
	}
	return c, func() { f.Close() }, nil
}
