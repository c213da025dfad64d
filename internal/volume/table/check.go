package table

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/diskcast/diskcast/internal/volume"
)

// TooSmallError says that a table does not fit on a disk.
type TooSmallError struct {
	Need, Have int64 // bytes of the smallest disk on which it fits, and of this one
}

func (e *TooSmallError) Error() string {
	return fmt.Sprintf("the disk has %d bytes and the partitions need %d: it is %d bytes too small", e.Have, e.Need,
		e.Need-e.Have)
}

// MinSize returns the size in bytes of the smallest disk, with sectors of ss bytes, that t fits on.
func MinSize(t *volume.Table, ss int) int64 {
	var end int64
	for _, p := range t.Partitions {
		end = max(end, p.End())
	}
	if t.Extended != nil {
		end = max(end, t.Extended.End())
	}
	switch t.Kind {
	case KindNone:
		return t.DiskSize
	case KindGPT:
		if t.GPT != nil {
			end = max(end, tableEnd(t, int64(ss))+int64(ss)) + arraySectors(t.GPT, int64(ss))*int64(ss) + int64(ss)
		}
	}
	return (end + int64(ss) - 1) / int64(ss) * int64(ss)
}

// limits of what check accepts, so that a hostile table costs neither memory nor time
const (
	maxArray    = 1 << 20 // bytes of a GPT entry array
	maxLogicals = 256     // Linux makes device nodes for no more than this
)

// check refuses a table that is not sound on a disk of size bytes with sectors of ss. It is asked both for what was
// read from a disk and for what came with an image.
func check(t *volume.Table, size int64, ss int) error {
	sector := int64(ss)
	if len(t.MBR) != mbrSize {
		return fmt.Errorf("the boot sector has %d bytes instead of %d", len(t.MBR), mbrSize)
	}
	switch t.Kind {
	case KindGPT:
		if err := checkGPT(t, sector); err != nil {
			return err
		}
	case KindDOS:
		if len(t.Partitions) > 4+maxLogicals {
			return fmt.Errorf("%d partitions are more than a dos table can have", len(t.Partitions))
		}
	default:
		return fmt.Errorf("the kind %q of partition table is not known", t.Kind)
	}
	seen := make(map[int]bool, len(t.Partitions))
	for _, p := range t.Partitions {
		if seen[p.Number] {
			return fmt.Errorf("partition %d is there twice", p.Number)
		}
		seen[p.Number] = true
		if err := checkPlace(p, sector); err != nil {
			return err
		}
	}
	if t.Extended != nil {
		if err := checkExtended(t, sector); err != nil {
			return err
		}
	}
	if err := checkOverlap(t); err != nil {
		return err
	}
	if need := MinSize(t, ss); need > size {
		return &TooSmallError{Need: need, Have: size}
	}
	return nil
}

func checkPlace(p volume.Partition, sector int64) error {
	if p.Start <= 0 || p.Size <= 0 || p.Start > math.MaxInt64-p.Size-maxArray {
		return fmt.Errorf("partition %d has a place that is not possible: %d bytes at %d", p.Number, p.Size, p.Start)
	}
	for _, v := range []struct {
		what string
		n    int64
	}{{"starts at byte", p.Start}, {"has a size of", p.Size}, {"has its boot record at byte", p.EBRStart}} {
		if v.n%sector != 0 {
			return fmt.Errorf("partition %d %s %d, which is not a multiple of the disk's sector size of %d: "+
				"the table cannot be written for this disk", p.Number, v.what, v.n, sector)
		}
	}
	return nil
}

func checkExtended(t *volume.Table, sector int64) error {
	x := t.Extended
	if t.Kind != KindDOS || x.Number < 1 || x.Number > 4 {
		return fmt.Errorf("an extended partition with number %d is not possible here", x.Number)
	}
	return checkPlace(*x, sector)
}

// checkOverlap looks at what must not share a byte: partitions, boot records, and the first sector.
func checkOverlap(t *volume.Table) error {
	type span struct {
		volume.Extent
		what string
	}
	spans := []span{{volume.Extent{Offset: 0, Length: mbrSize}, "the boot sector"}}
	var outside []span // of the extended partition
	for _, p := range t.Partitions {
		s := span{volume.Extent{Offset: p.Start, Length: p.Size}, fmt.Sprintf("partition %d", p.Number)}
		spans = append(spans, s)
		if t.Kind != KindDOS || p.Number <= 4 {
			outside = append(outside, s)
			continue
		}
		if t.Extended == nil || p.Start < t.Extended.Start || p.End() > t.Extended.End() ||
			p.EBRStart < t.Extended.Start || p.EBRStart > t.Extended.End()-mbrSize {
			return fmt.Errorf("partition %d is not inside the extended partition", p.Number)
		}
		spans = append(spans, span{volume.Extent{Offset: p.EBRStart, Length: mbrSize},
			fmt.Sprintf("the boot record of partition %d", p.Number)})
	}
	if x := t.Extended; x != nil {
		outside = append(outside,
			span{volume.Extent{Offset: x.Start, Length: x.Size}, fmt.Sprintf("the extended partition %d", x.Number)})
		if len(x.EBR) > 0 {
			spans = append(spans, span{volume.Extent{Offset: x.Start, Length: mbrSize}, "the first boot record"})
		}
	}
	for _, list := range [][]span{spans, outside} {
		slices.SortFunc(list, func(a, b span) int { return cmp.Compare(a.Offset, b.Offset) })
		for i := 1; i < len(list); i++ {
			if list[i].Offset < list[i-1].End() {
				return fmt.Errorf("%s and %s overlap", list[i-1].what, list[i].what)
			}
		}
	}
	return nil
}

// disjoint makes sure of Layout's promise: the GPT of a disk with larger sectors takes more room.
func disjoint(t *volume.Table, pieces []Piece) error {
	for _, p := range pieces {
		end := p.Offset + int64(len(p.Data))
		for _, q := range t.Partitions {
			if p.Offset < q.End() && q.Start < end {
				return fmt.Errorf("partition %d (bytes %d to %d) lies where the partition table of this disk must be "+
					"(bytes %d to %d)",
					q.Number, q.Start, q.End(), p.Offset, end)
			}
		}
	}
	return nil
}
