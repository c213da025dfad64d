package restore

import (
	"fmt"
	"io"
	"slices"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/member"
)

// Leftovers names what the target is part of, or was once, where the restored system would still find it, and what the
// restore therefore takes down: RAID sets of md, of a BIOS or a controller, volume groups, pools, encryption. Nothing
// is written. What the image brings itself is not one.
func (p *Plan) Leftovers(t Target) ([]string, error) {
	if err := p.matches(t); err != nil {
		return nil, err
	}
	stored := p.allStored()
	var words []string
	var seen []int64
	look := func(where string, start, size int64) error {
		all, err := member.All(io.NewSectionReader(t, start, size), size)
		if err != nil {
			return fmt.Errorf("%s: %w", where, err)
		}
		for _, f := range all {
			at := start + f.At
			if slices.Contains(seen, at) || covers(stored, at) {
				continue
			}
			seen = append(seen, at)
			words = append(words, fmt.Sprintf("%s was %s (byte %d)", where, f.What, at))
		}
		return nil
	}
	whole := "the disk"
	if p.number > 0 {
		whole = "the partition"
	}
	if err := look(whole, 0, p.size); err != nil {
		return words, err
	}
	for _, part := range p.table.Partitions {
		if err := look(fmt.Sprintf("what is partition %d now", part.Number), part.Start, part.Size); err != nil {
			return words, err
		}
	}
	return words, nil
}

// allStored are the bytes of the disk that the image has something for.
func (p *Plan) allStored() []image.Extent {
	var out []image.Extent
	for i := range p.idx.Chunks {
		out = append(out, p.idx.Chunks[i].Extents...)
	}
	return merged(out)
}

func covers(sorted []image.Extent, at int64) bool {
	i, in := slices.BinarySearchFunc(sorted, at, func(e image.Extent, at int64) int {
		switch {
		case e.End() <= at:
			return -1
		case e.Offset > at:
			return 1
		}
		return 0
	})
	return in && i < len(sorted)
}

// addPlaces adds the places within size bytes from start on in which a signature may lie far from both ends.
func addPlaces(runs *volume.Runs, start, size int64) {
	for _, e := range member.Places(size) {
		runs.Add(start+e.Offset, e.Length)
	}
}
