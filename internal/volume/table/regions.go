package table

import (
	"math"

	"github.com/diskcast/diskcast/internal/volume"
)

const (
	// maxGap is how much of the space before the first partition is a boot loader's. GRUB's core image and the boot
	// loaders of single-board computers lie in its first 16 MiB.
	maxGap = 64 << 20
	// maxLogicalGap is the same between the boot record of a logical partition and the partition.
	maxLogicalGap = 1 << 20
)

// gaps are the bytes outside the partitions and outside own, which is what Write makes.
func gaps(t *volume.Table, own []Piece) []volume.Extent {
	taken := volume.NewRuns(t.DiskSize)
	for _, p := range t.Partitions {
		taken.Add(p.Start, p.Size)
	}
	for _, p := range own {
		taken.Add(p.Offset, int64(len(p.Data)))
	}
	return volume.Invert(taken.Extents(), t.DiskSize)
}

// DropGaps takes from t.Regions what no boot loader needs, as far as custom goes: it leaves the first 64 MiB before the
// first partition, and 1 MiB between a boot record and its logical partition. It returns what it took.
func DropGaps(t *volume.Table) []volume.Extent {
	first := int64(maxGap)
	loader := volume.NewRuns(t.DiskSize)
	for _, p := range t.Partitions {
		first = min(first, p.Start)
		if p.EBRStart > 0 {
			loader.Add(p.EBRStart, min(p.Start-p.EBRStart, maxLogicalGap))
		}
	}
	if t.Extended != nil {
		first = min(first, t.Extended.Start)
	}
	loader.Add(0, first)
	dropped := volume.Subtract(t.Regions, loader.Extents())
	t.Regions = volume.Subtract(t.Regions, dropped)
	return dropped
}

// Edges are where what is zero on a disk of t must be told from what is not, so that the table also fits a disk of
// another sector size: the ends of the places that it takes there.
func Edges(t *volume.Table) []int64 {
	var at []int64
	for _, ss := range []int{512, 4096} {
		other, err := Layout(t, t.DiskSize, ss)
		if err != nil || ss == t.SectorSize {
			continue // such a disk will be refused anyhow
		}
		for _, p := range pieceExtents(other) {
			at = append(at, p.Offset, p.End())
		}
	}
	return at
}

func pieceExtents(pieces []Piece) []volume.Extent {
	r := volume.NewRuns(math.MaxInt64)
	for _, p := range pieces {
		r.Add(p.Offset, int64(len(p.Data)))
	}
	return r.Extents()
}

func zero(p []byte) bool {
	for _, b := range p {
		if b != 0 {
			return false
		}
	}
	return true
}
