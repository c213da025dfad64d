package probe

import (
	"errors"
	"fmt"
	"io"

	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/cover"
	"github.com/diskcast/diskcast/internal/volume/lvm"
)

// placedCover is a cover with the partition that it lies in.
type placedCover struct {
	*cover.Cover
	in volume.Partition
	lv bool // in a logical volume
}

// covers finds what on the disk vouches for other places of it, and remembers of each partition what covers it. What it
// covers is told by the data itself where that can be compared, else by the size that it names or by the type of its
// partition; where no type and no size tells, it may be any.
func (d *Disk) covers() error {
	var found []placedCover
	for _, p := range d.table.Partitions {
		inside, err := d.coversIn(p)
		if err != nil {
			return fmt.Errorf("partition %d: %w", p.Number, err)
		}
		found = append(found, inside...)
	}
	for _, c := range found {
		where := fmt.Sprintf("partition %d", c.in.Number)
		if c.lv {
			where = "a logical volume in " + where
		}
		for _, p := range d.coveredBy(c) {
			d.covered[p.Start] = fmt.Sprintf("%s in %s may cover every byte of it, also what its file system calls "+
				"free. "+
				"It is captured whole, and keeps its size on a larger disk.", upper(c.What), where)
		}
	}
	return nil
}

func (d *Disk) coversIn(p volume.Partition) ([]placedCover, error) {
	r := io.NewSectionReader(d.r, p.Start, p.Size)
	c, err := cover.Open(r, p.Size)
	switch {
	case err == nil:
		return []placedCover{{c, p, false}}, nil
	case !errors.Is(err, volume.ErrNotThis):
		return nil, err
	case cover.ByType(p.Type) != "":
		return []placedCover{{&cover.Cover{What: "a dm-verity hash tree, by its type,"}, p, false}}, nil
	}
	pv, err := lvm.Open(r, p.Size)
	if err != nil {
		return nil, nil // none, or damaged and captured whole
	}
	var found []placedCover
	for _, c := range coversOf(pv) {
		found = append(found, placedCover{c, p, true})
	}
	return found, nil
}

// coveredBy lists the partitions that a cover may be of.
func (d *Disk) coveredBy(c placedCover) []volume.Partition {
	var sure, large, typed []volume.Partition
	for _, p := range d.table.Partitions {
		if p.Start == c.in.Start && !c.lv {
			continue
		}
		if c.Matches(io.NewSectionReader(d.r, p.Start, p.Size), p.Size) {
			sure = append(sure, p)
		}
		if t := cover.ByType(c.in.Type); t != "" && t == p.Type {
			typed = append(typed, p)
		}
		if p.Size >= c.Bytes {
			large = append(large, p)
		}
	}
	switch {
	case len(sure) > 0:
		return sure
	case c.Bytes == 0 && len(typed) > 0:
		return typed
	}
	return append(large, typed...)
}

// coversOf lists what in the logical volumes of a physical volume vouches for something else.
func coversOf(pv *lvm.FS) (found []*cover.Cover) {
	pv.Descend(func(r io.ReaderAt, size int64) (volume.FileSystem, error) {
		if c, err := cover.Open(r, size); err == nil {
			found = append(found, c)
		}
		return volume.Whole(volume.TypeRaw, size, volume.Info{}), nil
	})
	if _, err := pv.Extents(); err != nil {
		return nil // for who reads the map to say
	}
	return found
}

// uncovered returns fs, or, where something else covers all of it, the same captured whole and of no type that grows.
func (d *Disk) uncovered(p volume.Partition, fs volume.FileSystem) volume.FileSystem {
	why := d.covered[p.Start]
	if why == "" {
		return fs
	}
	was := fs.Info()
	info := volume.Info{Label: was.Label, UUID: was.UUID, Clean: was.Clean, Notes: append(was.Notes, why)}
	if fs.Type() == volume.TypeRaw {
		return volume.Whole(volume.TypeRaw, p.Size, info)
	}
	info.Notes = append(info.Notes, fmt.Sprintf("It looks like %s.", fs.Type()))
	return volume.Whole(volume.TypeRaw, p.Size, info)
}

func upper(s string) string { return string(s[0]-'a'+'A') + s[1:] }
