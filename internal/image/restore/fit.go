package restore

import (
	"errors"
	"fmt"
	"math"
	"sort"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/grow"
	"github.com/diskcast/diskcast/internal/volume/table"
)

// Growth is what a plan makes larger than it was on the source. The partition is larger as soon as the table is
// written; its file system only after FileSystem, which comes last: until then the disk is what the image says, and can
// be verified.
type Growth struct {
	Number   int    // partition; 0: the whole disk, which has no partition table
	FS       string // its file system; empty when nothing grows
	Start    int64  // bytes
	From, To int64  // its sizes, bytes
	Note     string // why nothing grows on a larger target, for the operator
}

// Growth is what the option Grow does on this target.
func (p *Plan) Growth() Growth { return p.growth }

// fit makes the table as it will be on the target. The last partition may be cut short when its file system does not
// reach to its end.
func (p *Plan) fit() error {
	t := p.cfg.Table
	p.table = t
	if t.Kind == table.KindNone {
		return p.fitWhole()
	}
	plan, err := grow.Fit(t, p.size, p.sector, func(number int) int64 { return p.needs(p.partition(number)) })
	var small *table.TooSmallError
	if errors.As(err, &small) {
		return &TooSmallError{small.Need, p.size, p.lastWords()}
	}
	if err != nil {
		return err
	}
	p.table = plan.Table
	if plan.Number > 0 {
		p.warnings = append(p.warnings,
			fmt.Sprintf("partition %d is cut from %d to %d bytes; its file system does not need the rest",
				plan.Number, plan.From, plan.To))
		p.moveBootCopy(p.partition(plan.Number), plan.To)
	}
	if p.table != t || !p.grow {
		return nil
	}
	plan = grow.Table(t, p.size, p.sector, func(number int) string { return p.partition(number).FS }, p.next)
	if plan.Number == 0 {
		p.growth = Growth{Note: plan.Note}
		return nil
	}
	fs := p.partition(plan.Number)
	if at := p.next(fs.Start + fs.FSSize); fs.FSSize > 0 && at < fs.Start+fs.Size {
		p.growth = Growth{Note: fmt.Sprintf("partition %d keeps its size: the image has bytes at %d, behind the end "+
			"of its file system, "+
			"over which that would grow", fs.Number, at)}
		return nil
	}
	if plan.Note != "" {
		p.warnings = append(p.warnings,
			fmt.Sprintf("partition %d grows only to byte %d: %s", fs.Number, fs.Start+plan.To, plan.Note))
	}
	p.table = plan.Table
	p.growth = Growth{Number: plan.Number, FS: fs.FS, Start: fs.Start, From: plan.From, To: plan.To}
	return nil
}

// needs is how many bytes of a partition a smaller disk must have: the file system, and what else is stored behind it.
// 0 if that cannot be told.
func (p *Plan) needs(fs *image.Partition) int64 {
	if fs.FS == volume.TypeRaw || fs.FSSize <= 0 {
		return 0
	}
	need := fs.FSSize
	p.stored(fs.Start+fs.FSSize, fs.Start+fs.Size, func(e image.Extent) {
		if !p.bootCopy(e) {
			need = e.End() - fs.Start
		}
	})
	return need
}

// moveBootCopy puts the copy of the boot sector at the end of a partition that is cut to size bytes.
func (p *Plan) moveBootCopy(fs *image.Partition, size int64) {
	n := int64(len(fs.BootCopy))
	if n == 0 {
		return
	}
	words := "is left out: the file system's own backup is there"
	if at := fs.Start + size - n; size-n >= p.needs(fs) {
		p.pieces = append(p.pieces, table.Piece{Offset: at, Data: fs.BootCopy})
		words = fmt.Sprintf("is made anew at byte %d", at)
	}
	p.warnings = append(p.warnings,
		fmt.Sprintf("partition %d: the copy of its boot sector at its old end, byte %d, %s", fs.Number,
			fs.Start+fs.Size-n, words))
}

// stored calls f with the bytes in [from, to) that the image has and that are not noted as zeros, in order.
func (p *Plan) stored(from, to int64, f func(image.Extent)) {
	first := sort.Search(len(p.idx.Chunks), func(i int) bool { return (p.idx.Chunks[i].Cell+1)*p.idx.Grid > from })
	for i := first; i < len(p.idx.Chunks) && p.idx.Chunks[i].Cell*p.idx.Grid < to; i++ {
		for _, e := range p.idx.Chunks[i].Extents {
			if at, end := max(e.Offset, from), min(e.End(), to); at < end {
				f(image.Extent{Offset: at, Length: end - at})
			}
		}
	}
}

// next is the first byte from a place on that the image has and that is not noted as zero; beyond every disk if there
// is none.
func (p *Plan) next(from int64) int64 {
	at := int64(math.MaxInt64)
	p.stored(from, math.MaxInt64, func(e image.Extent) { at = min(at, e.Offset) })
	return at
}

// fitWhole is fit for a disk without a partition table.
func (p *Plan) fitWhole() error {
	for i := range p.cfg.Partitions {
		fs := &p.cfg.Partitions[i]
		if fs.FS == volume.TypeRaw && p.size < p.cfg.DiskSize {
			return &TooSmallError{p.cfg.DiskSize, p.size,
				"the image's disk was captured whole, because what is on it is not understood, and cannot be cut"}
		}
		if need := fs.FSSize; fs.FS != volume.TypeRaw && need > p.size {
			return &TooSmallError{need, p.size,
				fmt.Sprintf("the %s file system of the image has %d bytes", fs.FS, need)}
		}
		if p.grow && p.size > p.cfg.DiskSize {
			if at := p.next(fs.FSSize); at < math.MaxInt64 {
				p.growth.Note = fmt.Sprintf("the image has bytes at %d, behind the end of its file system, over "+
					"which that would grow", at)
			} else if grow.Can(fs.FS) {
				p.growth = Growth{FS: fs.FS, From: p.cfg.DiskSize, To: p.size}
			} else {
				p.growth.Note = fmt.Sprintf("%q cannot be grown: %d bytes stay unused", fs.FS,
					p.size-p.cfg.DiskSize)
			}
		}
	}
	return nil
}

// lastWords say what needs the last bytes of a disk that is too small.
func (p *Plan) lastWords() string {
	last := -1
	for i, part := range p.cfg.Table.Partitions {
		if last < 0 || part.Start > p.cfg.Table.Partitions[last].Start {
			last = i
		}
	}
	if last < 0 {
		return "the partition table of the image does not fit"
	}
	fs := &p.cfg.Partitions[last]
	what := fmt.Sprintf("partition %d (%s), the last one, begins at byte %d and has %d bytes", fs.Number, fs.FS,
		fs.Start, fs.Size)
	if fs.FS != volume.TypeRaw && fs.FSSize > 0 && fs.FSSize < fs.Size {
		what += fmt.Sprintf(", of which its file system needs %d", fs.FSSize)
		if need := p.needs(fs); need > fs.FSSize {
			what += fmt.Sprintf(", and with what else the image has behind it %d", need)
		}
	}
	return what + "; choose a larger disk, or shrink that file system and its partition on the source and capture again"
}

// partition is what the config says of the partition with a number.
func (p *Plan) partition(number int) *image.Partition {
	for i := range p.cfg.Partitions {
		if p.cfg.Partitions[i].Number == number {
			return &p.cfg.Partitions[i]
		}
	}
	return &image.Partition{FS: volume.TypeRaw}
}
