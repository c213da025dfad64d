package restore

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"

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
	number   int   // of the partition that is written; 0: a disk
	start    int64 // of the partition on its disk
	growth   Growth
	table    *volume.Table  // as it will be on the target
	pieces   []table.Piece  // the table, and a boot sector's copy that moved
	tables   []image.Extent // where the pieces lie
	wipe     []image.Extent
	warnings []string

	// What Present found.
	have []bool // chunks whose stored bytes are in place; nil before
	// what must be made zero: all zeros of chunks and the wipes, less what Present found to be zero
	zeros []image.Extent
}

// PlanOption changes a plan.
type PlanOption func(*Plan)

// Grow gives the last partition the space that a larger target has after it. Growth tells what came of it.
func Grow() PlanOption { return func(p *Plan) { p.grow = true } }

// InPartition says that the target is a partition of a disk, which begins at the byte start: see OpenPartition.
func InPartition(number int, start int64) PlanOption {
	return func(p *Plan) { p.number, p.start = number, start }
}

// TooSmallError says by how much a target is too small.
type TooSmallError struct {
	Need, Have int64 // bytes
	What       string
}

func (e *TooSmallError) Error() string {
	return fmt.Sprintf("the target of %d bytes is too small by %d bytes: %s", e.Have, e.Need-e.Have, e.What)
}

// NewPlan checks the image against a target of size bytes with sectors of sectorSize. What it accepts can be written.
func NewPlan(cfg *image.Config, idx *image.Index, size int64, sectorSize int, o ...PlanOption) (*Plan, error) {
	p := &Plan{cfg: cfg, idx: idx, size: size, sector: sectorSize}
	for _, f := range o {
		f(p)
	}
	if idx.DiskSize != cfg.DiskSize {
		return nil, fmt.Errorf("index and config of the image disagree on the size of the disk (%d, %d)", idx.DiskSize,
			cfg.DiskSize)
	}
	if sectorSize < 512 || sectorSize > 65536 || sectorSize&(sectorSize-1) != 0 {
		return nil, fmt.Errorf("a target with sectors of %d bytes", sectorSize)
	}
	if why := cfg.Misplaced(p.number > 0); why != "" {
		return nil, errors.New(why)
	}
	if err := p.fit(); err != nil {
		return nil, err
	}
	if p.number > 0 {
		p.growth.Number, p.growth.Start = p.number, p.start
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
			return fmt.Errorf("partition %d: its %s file system has blocks of %d bytes, which a disk with sectors of "+
				"%d cannot carry: "+
				"choose a disk with sectors of %d", fs.Number, fs.FS, fs.BlockSize, p.sector, p.cfg.SectorSize)
		case fs.FS == "vfat" || fs.FS == "xfs" || fs.FS == "ntfs" || fs.FS == "exfat":
			p.warnings = append(p.warnings,
				fmt.Sprintf("partition %d: its %s file system was made for sectors of %d bytes and may not mount on "+
					"a disk with sectors of %d",
					fs.Number, fs.FS, p.cfg.SectorSize, p.sector))
		}
	}
	return nil
}

func (p *Plan) layout() error {
	if p.table.Kind == table.KindNone {
		return nil
	}
	pieces, err := table.Layout(p.table, p.size, p.sector)
	var small *table.TooSmallError
	if errors.As(err, &small) {
		return &TooSmallError{small.Need, p.size, "the partition table of the image does not fit"}
	}
	if err != nil {
		return fmt.Errorf("the image's partition table cannot be put on this disk: %w", err)
	}
	p.pieces = append(p.pieces, pieces...)
	for _, x := range p.pieces {
		e := image.Extent{Offset: x.Offset, Length: int64(len(x.Data))}
		if e.Offset < 0 || e.Length > p.size || e.Offset > p.size-e.Length {
			return fmt.Errorf("the image's partition table has %d bytes at %d, beyond the disk of %d bytes", e.Length,
				e.Offset, p.size)
		}
		p.tables = append(p.tables, e)
	}
	p.tables = volume.Merge(p.size, p.tables)
	return nil
}

// room refuses an image with other bytes than zeros beyond the target's end or in the place of the table.
func (p *Plan) room() error {
	if err := p.beyond(); err != nil {
		return err
	}
	for _, own := range p.tables {
		var in image.Extent
		p.stored(own.Offset, own.End(), func(e image.Extent) {
			if in.Length == 0 {
				in = e
			}
		})
		if in.Length == 0 {
			continue
		}
		err := fmt.Errorf("the image has bytes at %d (%s) where the partition table of this disk belongs (%d bytes "+
			"at %d)",
			in.Offset, p.place(in.Offset), own.Length, own.Offset)
		if p.sector != p.cfg.SectorSize {
			return fmt.Errorf("%w: choose a disk with sectors of %d", err, p.cfg.SectorSize)
		}
		return fmt.Errorf("%w: choose a larger disk, or %s", err, p.wayOut(in.Offset))
	}
	p.trim()
	return nil
}

// beyond refuses an image with other bytes than zeros behind the target's end.
func (p *Plan) beyond() error {
	var lost, end int64
	first := int64(-1)
	p.stored(p.size, math.MaxInt64, func(e image.Extent) {
		if p.bootCopy(e) {
			return
		}
		if first < 0 {
			first = e.Offset
		}
		lost, end = lost+e.Length, e.End()
	})
	if lost == 0 {
		return nil
	}
	// Behind them a GPT has its backup.
	for _, e := range p.tables {
		if e.End() == p.size {
			end += e.Length
		}
	}
	return &TooSmallError{end, p.size,
		fmt.Sprintf("the image has %d bytes that are not zero from byte %d on, %s: choose a larger disk, or %s",
			lost, first, p.place(first), p.wayOut(first))}
}

// bootCopy says whether e is the copy of a boot sector that a smaller disk does without.
func (p *Plan) bootCopy(e image.Extent) bool {
	fs := p.inside(e.Offset)
	return fs != nil && e.Length == int64(len(fs.BootCopy)) && e.End() == fs.Start+fs.Size
}

// inside returns the partition of the source that a byte lies in, nil if it lies in none.
func (p *Plan) inside(at int64) *image.Partition {
	for i := range p.cfg.Partitions {
		if fs := &p.cfg.Partitions[i]; at >= fs.Start && at < fs.Start+fs.Size {
			return fs
		}
	}
	return nil
}

// place says in words what a byte of the source belongs to.
func (p *Plan) place(at int64) string {
	switch fs := p.inside(at); {
	case fs == nil:
		return "in no partition"
	case fs.FS != volume.TypeRaw && fs.FSSize > 0 && at >= fs.Start+fs.FSSize:
		return fmt.Sprintf("in partition %d, behind the end of its file system", fs.Number)
	default:
		return fmt.Sprintf("in partition %d", fs.Number)
	}
}

// wayOut says what can be done so that the byte is not in the way.
func (p *Plan) wayOut(at int64) string {
	if p.inside(at) == nil {
		return "capture with `--gaps drop` if nothing needs them"
	}
	return "shrink that partition on the source and capture again"
}

// trim takes from the zeros of the image those that the target has no room for, and those where its own table belongs.
func (p *Plan) trim() {
	fits := volume.Subtract([]image.Extent{{Offset: 0, Length: p.size}}, p.tables)
	whole := func(z image.Extent) bool {
		i := sort.Search(len(fits), func(i int) bool { return fits[i].End() > z.Offset })
		return i < len(fits) && fits[i].Offset <= z.Offset && z.End() <= fits[i].End()
	}
	var trimmed []image.Chunk
	for i := range p.idx.Chunks {
		zeros := p.idx.Chunks[i].Zeros
		if !slices.ContainsFunc(zeros, func(z image.Extent) bool { return !whole(z) }) {
			continue
		}
		if trimmed == nil {
			trimmed = slices.Clone(p.idx.Chunks)
		}
		trimmed[i].Zeros = nil
		for _, z := range zeros {
			trimmed[i].Zeros = append(trimmed[i].Zeros,
				volume.Subtract([]image.Extent{z}, append(slices.Clone(p.tables),
					image.Extent{Offset: p.size, Length: math.MaxInt64 - p.size}))...)
		}
	}
	if trimmed != nil {
		idx := *p.idx
		idx.Chunks = trimmed
		p.idx = &idx
	}
}

// Warnings are what the operator should know, in words.
func (p *Plan) Warnings() []string { return p.warnings }

// Table is the partition table as it will be on the target.
func (p *Plan) Table() *volume.Table { return p.table }

// ObjectSize is the length of the object in bytes.
func (p *Plan) ObjectSize() int64 { return p.idx.ObjectSize() }
