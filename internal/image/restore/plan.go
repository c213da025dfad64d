package restore

import (
	"errors"
	"fmt"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/table"
)

// Plan is a restore that was checked against its target and can no longer be refused.
type Plan struct {
	cfg      *image.Config
	idx      *image.Index
	size     int64
	sector   int
	grow     bool
	growth   Growth
	table    *volume.Table // as it will be on the target
	pieces   []table.Piece
	tables   []image.Extent // where the pieces lie
	wipe     []image.Extent
	warnings []string

	// What Present found.
	have  []bool         // chunks whose stored bytes are in place; nil before
	zeros []image.Extent // what must be made zero: all zeros of chunks and the wipes, less what Present found to be zero
}

// PlanOption changes a plan.
type PlanOption func(*Plan)

// Grow gives the last partition the space that a larger target has after it. Growth tells what came of it.
func Grow() PlanOption { return func(p *Plan) { p.grow = true } }

// TooSmallError says by how much a target is too small.
type TooSmallError struct {
	Need, Have int64 // bytes
	What       string
}

func (e *TooSmallError) Error() string {
	return fmt.Sprintf("the target disk of %d bytes is too small by %d bytes: %s", e.Have, e.Need-e.Have, e.What)
}

// NewPlan checks the image against a target of size bytes with sectors of sectorSize. What it accepts can be written.
func NewPlan(cfg *image.Config, idx *image.Index, size int64, sectorSize int, o ...PlanOption) (*Plan, error) {
	p := &Plan{cfg: cfg, idx: idx, size: size, sector: sectorSize}
	for _, f := range o {
		f(p)
	}
	if idx.DiskSize != cfg.DiskSize {
		return nil, fmt.Errorf("index and config of the image disagree on the size of the disk (%d, %d)", idx.DiskSize, cfg.DiskSize)
	}
	if sectorSize < 512 || sectorSize > 65536 || sectorSize&(sectorSize-1) != 0 {
		return nil, fmt.Errorf("a target with sectors of %d bytes", sectorSize)
	}
	if err := p.fit(); err != nil {
		return nil, err
	}
	if err := p.sectors(); err != nil {
		return nil, err
	}
	if err := p.layout(); err != nil {
		return nil, err
	}
	if err := p.room(); err != nil {
		return nil, err
	}
	p.wipe = p.signatures()
	p.zeros = p.allZeros()
	return p, nil
}

// sectors refuses what a disk with larger sectors than the source's cannot carry.
func (p *Plan) sectors() error {
	if p.sector <= p.cfg.SectorSize {
		return nil
	}
	for _, fs := range p.cfg.Partitions {
		switch {
		case fs.BlockSize > 0 && fs.BlockSize < int64(p.sector) && fs.FS != volume.TypeRaw:
			return fmt.Errorf("partition %d: its %s file system has blocks of %d bytes, which a disk with sectors of %d cannot carry: "+
				"choose a disk with sectors of %d", fs.Number, fs.FS, fs.BlockSize, p.sector, p.cfg.SectorSize)
		case fs.FS == "vfat" || fs.FS == "xfs" || fs.FS == "ntfs" || fs.FS == "exfat":
			p.warnings = append(p.warnings, fmt.Sprintf("partition %d: its %s file system was made for sectors of %d bytes and may not mount on a disk with sectors of %d",
				fs.Number, fs.FS, p.cfg.SectorSize, p.sector))
		}
	}
	return nil
}

func (p *Plan) layout() error {
	if p.table.Kind == table.KindNone {
		return nil
	}
	var err error
	p.pieces, err = table.Layout(p.table, p.size, p.sector)
	var small *table.TooSmallError
	if errors.As(err, &small) {
		return &TooSmallError{small.Need, p.size, "the partition table of the image does not fit"}
	}
	if err != nil {
		return fmt.Errorf("the image's partition table cannot be put on this disk: %w", err)
	}
	for _, x := range p.pieces {
		e := image.Extent{Offset: x.Offset, Length: int64(len(x.Data))}
		if e.Offset < 0 || e.Length > p.size || e.Offset > p.size-e.Length {
			return fmt.Errorf("the image's partition table has %d bytes at %d, beyond the disk of %d bytes", e.Length, e.Offset, p.size)
		}
		p.tables = append(p.tables, e)
	}
	p.tables = volume.Merge(p.size, p.tables)
	return nil
}

// room refuses an image with allocated bytes beyond the target's end or in the place of the table.
func (p *Plan) room() error {
	t := p.tables
	for i := range p.idx.Chunks {
		c := &p.idx.Chunks[i]
		for _, list := range [2][]image.Extent{c.Extents, c.Zeros} {
			for _, e := range list {
				if e.End() > p.size {
					return &TooSmallError{p.allocatedEnd(), p.size, "the image has allocated bytes there"}
				}
			}
			if len(list) == 0 || len(t) == 0 {
				continue
			}
			for len(t) > 0 && t[0].End() <= c.Cell*p.idx.Grid {
				t = t[1:]
			}
			for _, e := range list {
				for _, own := range t {
					if own.Offset >= e.End() {
						break
					}
					if own.End() > e.Offset {
						return fmt.Errorf("the image has %d bytes at %d where the partition table for sectors of %d bytes belongs (%d bytes at %d): "+
							"choose a disk with sectors of %d", e.Length, e.Offset, p.sector, own.Length, own.Offset, p.cfg.SectorSize)
					}
				}
			}
		}
	}
	return nil
}

func (p *Plan) allocatedEnd() int64 {
	if len(p.idx.Chunks) == 0 {
		return 0
	}
	c := &p.idx.Chunks[len(p.idx.Chunks)-1]
	var end int64
	if n := len(c.Extents); n > 0 {
		end = c.Extents[n-1].End()
	}
	if n := len(c.Zeros); n > 0 {
		end = max(end, c.Zeros[n-1].End())
	}
	return end
}

// Warnings are what the operator should know, in words.
func (p *Plan) Warnings() []string { return p.warnings }

// Config is the config of the image.
func (p *Plan) Config() *image.Config { return p.cfg }

// Table is the partition table as it will be on the target.
func (p *Plan) Table() *volume.Table { return p.table }

// ObjectSize is the length of the object in bytes.
func (p *Plan) ObjectSize() int64 { return p.idx.ObjectSize() }
