package table

import (
	"io"
	"math"

	"github.com/diskcast/diskcast/internal/volume"
)

const (
	// maxGap is how much of the space before the first partition is captured. GRUB's core image and the boot loaders
	// of single-board computers lie in its first 16 MiB.
	maxGap = 64 << 20
	// maxLogicalGap is the same between the boot record of a logical partition and the partition.
	maxLogicalGap = 1 << 20
)

// regions sets t.Regions: what a boot loader may have put outside the partitions. own is what Write makes.
func regions(r io.ReaderAt, t *volume.Table, own []Piece) error {
	var gaps, taken []volume.Extent
	first := int64(maxGap)
	for _, p := range t.Partitions {
		first = min(first, p.Start)
		taken = append(taken, volume.Extent{Offset: p.Start, Length: p.Size})
		if p.EBRStart > 0 {
			gaps = append(gaps, volume.Extent{Offset: p.EBRStart, Length: min(p.Start-p.EBRStart, maxLogicalGap)})
		}
	}
	if t.Extended != nil {
		first = min(first, t.Extended.Start)
	}
	gaps = append(gaps, volume.Extent{Offset: 0, Length: first})
	taken = append(taken, pieceExtents(own)...)
	// Where the table would be on a disk of the other sector size, zeroes are in no region, so that the image fits there.
	for _, ss := range []int{512, 4096} {
		other, err := Layout(t, t.DiskSize+maxArray, ss)
		if err != nil {
			continue // such a disk will be refused anyhow
		}
		for _, p := range volume.Subtract(pieceExtents(other), volume.Merge(t.DiskSize, taken)) {
			if p.End() > min(first, t.DiskSize) {
				continue
			}
			there, err := volume.Read(r, t.DiskSize, p.Offset, p.Length, 2*maxArray)
			if err != nil {
				return err
			}
			if zero(there) {
				taken = append(taken, p)
			}
		}
	}
	t.Regions = volume.Subtract(volume.Merge(t.DiskSize, gaps), volume.Merge(t.DiskSize, taken))
	return nil
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
