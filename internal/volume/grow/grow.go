// Package grow makes a restored disk use a target that is larger than the source was: the last partition is extended to
// the end of the disk, and then the file system in it, by the kernel, while it is mounted. It also does the opposite as
// far as that is safe: a last partition whose file system ends before it does may be cut to fit a smaller target.
//
// Growing has two halves because two moments are concerned. Table is asked before the first write and gives the table
// that table.Write shall make. FileSystem is asked when everything is restored and the kernel has read the new table.
//
// Nothing is ever moved. So only the partition that lies last can grow, and only if what is in it is one of the file
// systems whose drivers can grow them: ext2, ext3, ext4, XFS, btrfs. Everything else keeps its size, and says why.
package grow

import (
	"fmt"
	"slices"

	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/table"
)

// align is what a new end of a partition is rounded down to.
const align = 1 << 20

// Plan is a partition table for a target.
type Plan struct {
	Table *volume.Table // for table.Write; the one that was given when nothing changes
	// Number is the partition that changes, 0 if none does; From and To are its sizes in bytes.
	Number   int
	From, To int64
	Note     string // why nothing grows, or less than there is room for, for the operator
}

// Table plans the table t for a disk of size bytes with sectors of ss. kinds tells the type of the file system in a
// partition, as volume.FileSystem.Type does. next tells the first byte from a place on that a restore writes and that
// is not zero: what lies behind the last partition is not grown over. On a target that is not larger than the source
// the table stays as it is.
func Table(t *volume.Table, size int64, ss int, kinds func(number int) string, next func(from int64) int64) Plan {
	keep := func(format string, a ...any) Plan { return Plan{Table: t, Note: fmt.Sprintf(format, a...)} }
	i := last(t)
	if i < 0 || size <= t.DiskSize {
		return Plan{Table: t}
	}
	p := t.Partitions[i]
	if kind := kinds(p.Number); !Can(kind) {
		return keep("partition %d, the last one, keeps its size: %q cannot be grown; %d bytes of the disk stay unused",
			p.Number, kind, size-p.End())
	}
	end := size
	switch t.Kind {
	case table.KindGPT:
		// The backup takes the end of the disk: as many bytes as the smallest disk has behind its last partition.
		end -= table.MinSize(t, ss) - furthest(t)
		if inHybrid(t, p) {
			return keep("partition %d keeps its size, because the hybrid MBR lists it too", p.Number)
		}
	case table.KindDOS:
		end = min(end, (1<<32-1)*int64(ss)) // 32-bit sector numbers
	}
	at := next(p.End())
	note := ""
	if at < end {
		note = fmt.Sprintf("the image has bytes at %d, behind partition %d and in none, over which nothing may grow "+
			"(a capture with --gaps drop leaves them out)", at, p.Number)
		if at/align*align <= p.End() {
			return keep("partition %d keeps its size: %s", p.Number, note)
		}
		end = at
	}
	end = end / align * align
	if end <= p.End() {
		return keep("partition %d keeps its size: there is less than 1 MiB behind it that a %s table can use", p.Number,
			t.Kind)
	}
	return Plan{Table: resized(t, i, end), Number: p.Number, From: p.Size, To: end - p.Start, Note: note}
}

// Fit plans the table t for a disk of size bytes, with sectors of ss, that is too small for it as it is. An extended
// partition is cut to its last logical one, and the last partition if the file system in it ends early enough: fsEnd
// tells how many bytes of a partition are needed, 0 when that is not known. The error is a *table.TooSmallError, which
// says by how much even that misses.
func Fit(t *volume.Table, size int64, ss int, fsEnd func(number int) int64) (Plan, error) {
	if table.MinSize(t, ss) <= size {
		return Plan{Table: t}, nil
	}
	sector := max(int64(ss), int64(t.SectorSize))
	t = shortContainer(t, size, sector)
	if table.MinSize(t, ss) <= size {
		return Plan{Table: t}, nil
	}
	i := last(t)
	if i < 0 {
		return Plan{}, &table.TooSmallError{Need: table.MinSize(t, ss), Have: size}
	}
	p := t.Partitions[i]
	if claims := fsEnd(p.Number); claims > 0 && claims < p.Size {
		least := resized(t, i, p.Start+(claims+sector-1)/sector*sector)
		if need := table.MinSize(least, ss); need <= size {
			// As much as the disk has room for, so that the partition is not smaller than it must be.
			end := min(p.End(), (least.Partitions[i].End()+size-need)/sector*sector)
			return Plan{Table: resized(t, i, end), Number: p.Number, From: p.Size, To: end - p.Start}, nil
		}
		t = least
	}
	return Plan{}, &table.TooSmallError{Need: table.MinSize(t, ss), Have: size}
}

// shortContainer returns t with its extended partition cut to end with the disk of size bytes, as far as what is in it
// lets.
func shortContainer(t *volume.Table, size, sector int64) *volume.Table {
	if t.Extended == nil || t.Extended.End() <= size {
		return t
	}
	x := *t.Extended
	end := x.Start + sector // the first boot record
	for _, p := range t.Partitions {
		if p.Start >= x.Start && p.Start < x.End() {
			end = max(end, p.End(), p.EBRStart+sector)
		}
	}
	c := *t
	x.Size = max(end, size/sector*sector) - x.Start
	c.Extended = &x
	return &c
}

// last returns the index of the partition that lies last, -1 if there is none, or if an empty container lies behind it.
func last(t *volume.Table) int {
	at := -1
	for i, p := range t.Partitions {
		if at < 0 || p.Start > t.Partitions[at].Start {
			at = i
		}
	}
	if at >= 0 && t.Extended != nil && t.Extended.Start > t.Partitions[at].Start {
		return -1
	}
	return at
}

func furthest(t *volume.Table) int64 {
	var end int64
	for _, p := range t.Partitions {
		end = max(end, p.End())
	}
	return end
}

// resized returns a copy of t whose i-th partition ends at end. A container around it ends there too.
func resized(t *volume.Table, i int, end int64) *volume.Table {
	c := *t
	c.Partitions = slices.Clone(t.Partitions)
	p := &c.Partitions[i]
	p.Size = end - p.Start
	if x := t.Extended; x != nil && p.Start >= x.Start && p.Start < x.End() {
		grown := *x
		grown.Size = end - x.Start
		c.Extended = &grown
	}
	return &c
}

// inHybrid says whether one of the entries of a hybrid MBR names the partition.
func inHybrid(t *volume.Table, p volume.Partition) bool {
	return slices.ContainsFunc(table.HybridStarts(t), func(start int64) bool { return start == p.Start })
}
