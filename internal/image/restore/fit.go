package restore

import (
	"errors"
	"fmt"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/grow"
	"github.com/diskcast/diskcast/internal/volume/table"
)

// Growth is what a plan makes larger than it was on the source. The partition is larger as soon as the table is written; its file
// system only after FileSystem, which comes last: until then the disk is what the image says, and can be verified.
type Growth struct {
	Number   int    // partition; 0: the whole disk, which has no partition table
	FS       string // its file system; empty when nothing grows
	Start    int64  // bytes
	From, To int64  // its sizes, bytes
	Note     string // why nothing grows on a larger target, for the operator
}

// Growth is what the option Grow does on this target.
func (p *Plan) Growth() Growth { return p.growth }

// fit makes the table as it will be on the target. The last partition may be cut short when its file system does not reach to its end.
func (p *Plan) fit() error {
	t := p.cfg.Table
	p.table = t
	if t.Kind == table.KindNone {
		return p.fitWhole()
	}
	plan, err := grow.Fit(t, p.size, p.sector, func(number int) int64 {
		if fs := p.partition(number); fs.FS != volume.TypeRaw {
			return fs.FSSize
		}
		return 0
	})
	var small *table.TooSmallError
	if errors.As(err, &small) {
		return &TooSmallError{small.Need, p.size, p.lastWords()}
	}
	if err != nil {
		return err
	}
	if plan.Number > 0 {
		p.table = plan.Table
		p.warnings = append(p.warnings, fmt.Sprintf("partition %d is cut from %d to %d bytes; its file system does not need the rest",
			plan.Number, plan.From, plan.To))
		return nil
	}
	if !p.grow {
		return nil
	}
	plan = grow.Table(t, p.size, p.sector, func(number int) string { return p.partition(number).FS })
	p.table, p.growth = plan.Table, Growth{Note: plan.Note}
	if plan.Number > 0 {
		fs := p.partition(plan.Number)
		p.growth = Growth{Number: plan.Number, FS: fs.FS, Start: fs.Start, From: plan.From, To: plan.To}
	}
	return nil
}

// fitWhole is fit for a disk without a partition table.
func (p *Plan) fitWhole() error {
	for _, fs := range p.cfg.Partitions {
		if need := fs.FSSize; fs.FS != volume.TypeRaw && need > p.size {
			return &TooSmallError{need, p.size, fmt.Sprintf("the %s file system of the image has %d bytes", fs.FS, need)}
		}
		if p.grow && p.size > p.cfg.DiskSize {
			if grow.Can(fs.FS) {
				p.growth = Growth{FS: fs.FS, From: p.cfg.DiskSize, To: p.size}
			} else {
				p.growth.Note = fmt.Sprintf("%q cannot be grown: %d bytes of the disk stay unused", fs.FS, p.size-p.cfg.DiskSize)
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
	what := fmt.Sprintf("partition %d (%s), the last one, begins at byte %d and has %d bytes", fs.Number, fs.FS, fs.Start, fs.Size)
	if fs.FS != volume.TypeRaw && fs.FSSize > 0 && fs.FSSize < fs.Size {
		what += fmt.Sprintf(", of which its file system needs %d", fs.FSSize)
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
