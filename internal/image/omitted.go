package image

import (
	"fmt"
	"strings"

	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/table"
)

// GapsDropped is in the note of a table of which the gaps were left out because somebody asked for that.
const GapsDropped = "--gaps drop"

// AgeNotes say, of an image from a version that went by another rule, what it lacks by that of today: bytes in no
// partition, and behind the ends of file systems. What was left out because somebody asked for that has a note in the
// table.
func (m *Image) AgeNotes() []string {
	c := m.config
	gaps, behind := outside(c)
	for _, n := range c.Table.Notes {
		if strings.Contains(n, GapsDropped) {
			gaps = nil
		}
	}
	if len(gaps)+len(behind) == 0 {
		return nil
	}
	has := volume.NewRuns(c.DiskSize) // with very many runs it closes small gaps, which only makes less of a note
	for i := range m.index.Chunks {
		for _, list := range [][]Extent{m.index.Chunks[i].Extents, m.index.Chunks[i].Zeros} {
			for _, e := range list {
				has.Add(e.Offset, e.Length)
			}
		}
	}
	in := has.Extents()
	noGaps, noBehind := volume.Bytes(volume.Subtract(gaps, in)), volume.Bytes(volume.Subtract(behind, in))
	if noGaps+noBehind == 0 {
		return nil
	}
	return []string{fmt.Sprintf("it was captured by an older version, which left out %d bytes that lie in no "+
		"partition and %d that lie behind the end of a file system: "+
		"a boot loader, or metadata of RAID or dm-verity, that was there is not in it; capture the disk again if it "+
		"is still there", noGaps, noBehind)}
}

// outside are the bytes of the disk that no file system can call free: in no partition, and behind the end of a file
// system in its partition, but for the table's own.
func outside(c *Config) (gaps, behind []volume.Extent) {
	pieces, err := table.Layout(c.Table, c.DiskSize, c.SectorSize)
	if err != nil {
		return nil, nil // such a table is a matter for the plan of a restore
	}
	parts, tails, own := volume.NewRuns(c.DiskSize), volume.NewRuns(c.DiskSize), volume.NewRuns(c.DiskSize)
	for _, p := range pieces {
		own.Add(p.Offset, int64(len(p.Data)))
	}
	for i := range c.Partitions {
		p := &c.Partitions[i]
		parts.Add(p.Start, p.Size)
		if p.FSSize > 0 && p.FSSize < p.Size {
			tails.Add(p.Start+p.FSSize, p.Size-p.FSSize)
		}
	}
	table := own.Extents()
	return volume.Subtract(volume.Invert(parts.Extents(), c.DiskSize), table), volume.Subtract(tails.Extents(), table)
}
