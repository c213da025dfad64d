package ext

import (
	"encoding/binary"
	"fmt"

	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/field"
)

// counted is a group's own count of free clusters.
type counted struct{ group, free int64 }

// clustersIn is how many clusters a group has; the last one may be cut off.
func (sb *super) clustersIn(group int64) int64 {
	ratio := sb.clusterSize / sb.blockSize
	return (sb.blocksIn(group) + ratio - 1) / ratio
}

// compare compares a group's bitmap with its descriptor's count.
func (m *mapper) compare(g *group, bitmap []byte) error {
	free := field.Zeros(bitmap, m.fs.sb.clustersIn(g.number))
	if free != g.free {
		return fmt.Errorf("its block bitmap has %d free clusters, and its descriptor counts %d", free, g.free)
	}
	return nil
}

// check compares what a clean file system's groups say with each other, after all of them were read.
func (m *mapper) check(used []volume.Extent) error {
	sb := &m.fs.sb
	// A count of bytes is the same with and without bigalloc but for a last cluster that is cut off.
	if total := m.free * sb.clusterSize / sb.blockSize; total-sb.free >= sb.clusterSize/sb.blockSize ||
		sb.free > total {
		return fmt.Errorf("its groups count %d free blocks, and its superblock %d", total, sb.free)
	}
	meta := m.meta.Extents()
	// A group without a bitmap holds metadata only, its own or another group's.
	i := 0
	for _, g := range m.uninit {
		start := sb.firstBlock(g.group) * sb.blockSize
		end := start + sb.blocksIn(g.group)*sb.blockSize
		free := sb.clustersIn(g.group)
		for ; i < len(meta) && meta[i].Offset < end; i++ {
			if from, to := max(start, meta[i].Offset), min(end, meta[i].End()); from < to {
				free -= (to - from + sb.clusterSize - 1) / sb.clusterSize
			}
			if meta[i].End() > end {
				break
			}
		}
		if free != g.free {
			return fmt.Errorf("block group %d has no block bitmap (BLOCK_UNINIT), which makes %d free clusters, and "+
				"its descriptor counts %d",
				g.group, free, g.free)
		}
	}
	return m.inBitmaps(used, meta)
}

// inBitmaps wants to find the tables of all groups, and the root directory, in the bitmaps.
func (m *mapper) inBitmaps(used, meta []volume.Extent) error {
	sb := &m.fs.sb
	known := volume.NewRuns(m.fs.size)
	// in no bitmap, or seen to be in that of group 0 below
	known.Add(0, sb.firstData*sb.blockSize+superOffset+superSize)
	for _, g := range m.uninit {
		known.Add(sb.firstBlock(g.group)*sb.blockSize, sb.blocksIn(g.group)*sb.blockSize)
	}
	inBitmap := volume.Merge(m.fs.size, m.runs.Extents(), known.Extents())
	for _, e := range meta {
		if err := volume.Require(inBitmap, "superblocks, bitmaps or inode tables", e.Offset, e.Length); err != nil {
			return err
		}
	}
	const rootInode = 2
	raw, err := m.fs.inode(rootInode)
	if err != nil {
		return fmt.Errorf("the root directory: %w", err)
	}
	const flagInline = 0x10000000
	if binary.LittleEndian.Uint32(raw[0x20:])&flagInline != 0 {
		return nil
	}
	spans, _, err := m.fs.fileMap(rootInode)
	if err != nil {
		return fmt.Errorf("the root directory: %w", err)
	}
	for _, s := range spans {
		if err := volume.Require(used, "the root directory", s.physical*sb.blockSize,
			s.count*sb.blockSize); err != nil {
			return err
		}
	}
	return nil
}
