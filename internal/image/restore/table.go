package restore

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/table"
)

// WriteTable writes the partition table and flushes it.
func (p *Plan) WriteTable(t Target) error {
	if err := p.matches(t); err != nil {
		return err
	}
	for _, x := range p.pieces {
		if _, err := t.WriteAt(x.Data, x.Offset); err != nil {
			return fmt.Errorf("writing the partition table at byte %d: %w", x.Offset, err)
		}
	}
	if err := t.Sync(); err != nil {
		return fmt.Errorf("writing the partition table: %w", err)
	}
	return nil
}

// SameTable reports whether the disk carries already what WriteTable would write. An image without a partition table
// gives no reason to believe that the disk has something of it: false.
func (p *Plan) SameTable(t Target) (bool, error) {
	if err := p.matches(t); err != nil {
		return false, err
	}
	x, err := p.otherTable(t)
	return x == nil && err == nil && len(p.pieces) > 0, err
}

// otherTable returns a piece of the table that is not on the disk, nil when all are.
func (p *Plan) otherTable(t Target) (*table.Piece, error) {
	for i, x := range p.pieces {
		b := make([]byte, len(x.Data))
		if n, err := t.ReadAt(b, x.Offset); n < len(b) {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, fmt.Errorf("reading the partition table at byte %d: %w", x.Offset, err)
		}
		if !bytes.Equal(b, x.Data) {
			return &p.pieces[i], nil
		}
	}
	return nil, nil
}

// matches makes sure that a plan is not carried out on another disk than it was made for.
func (p *Plan) matches(t Target) error {
	if t.Size() != p.size || t.SectorSize() != p.sector {
		return fmt.Errorf("the plan is for a disk of %d bytes in sectors of %d, the target has %d in sectors of %d: "+
			"make a new plan",
			p.size, p.sector, t.Size(), t.SectorSize())
	}
	return nil
}

// wipeSpan is how far from the start and the end of the disk and of each partition an old file system, RAID or LVM can
// have left a signature that udev, blkid or the kernel would find: btrfs at 64 KiB, ZFS in 256 KiB labels, two at each
// end, mdraid in the last 128 KiB. What may lie further in has its places: member.Places.
const wipeSpan = 1 << 20

// signatures are the bytes near the ends of the disk and of its partitions that the image does not hold: they are
// zeroed, so that nothing of what was on the target before is taken for part of the restored system. So are the places
// of the image's table on a disk like the source, where the table of this disk is not.
func (p *Plan) signatures() []image.Extent {
	ends := volume.NewRuns(p.size)
	add := func(start, size int64) {
		n := min(wipeSpan, size)
		ends.Add(start, n)
		ends.Add(start+size-n, n)
		addPlaces(ends, start, size)
	}
	add(0, p.size)
	for _, part := range p.table.Partitions {
		add(part.Start, part.Size)
	}
	if old, err := table.Layout(p.cfg.Table, p.cfg.DiskSize, p.cfg.SectorSize); err == nil {
		for _, x := range old {
			ends.Add(x.Offset, int64(len(x.Data)))
		}
	}
	return volume.Subtract(ends.Extents(), merged(append(p.allocated(), p.tables...)))
}

// allocated are all bytes of the disk that the image holds.
func (p *Plan) allocated() []image.Extent {
	var out []image.Extent
	for i := range p.idx.Chunks {
		c := &p.idx.Chunks[i]
		out = append(append(out, c.Extents...), c.Zeros...)
	}
	return merged(out)
}

// allZeros are the zeros of all chunks and the wipes.
func (p *Plan) allZeros() []image.Extent {
	out := slices.Clone(p.wipe)
	for i := range p.idx.Chunks {
		out = append(out, p.idx.Chunks[i].Zeros...)
	}
	return merged(out)
}

// merged sorts and joins extents. Unlike volume.Merge it never closes a gap, whatever their number: these are going to
// be zeroed.
func merged(all []image.Extent) []image.Extent {
	slices.SortFunc(all, func(a, b image.Extent) int { return cmp.Compare(a.Offset, b.Offset) })
	out := all[:0]
	for _, e := range all {
		if n := len(out); n > 0 && e.Offset <= out[n-1].End() {
			out[n-1].Length = max(out[n-1].Length, e.End()-out[n-1].Offset)
			continue
		}
		out = append(out, e)
	}
	return out
}
