package probe

import (
	"errors"
	"fmt"
	"io"

	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/label"
	"github.com/diskcast/diskcast/internal/volume/member"
)

// A Disk is a disk with what is known of it as a whole, which says whether its partitions may be believed. A disk that
// is itself a member of a RAID set shows the set's partition table, and of each partition the stripes that happen to
// lie on it. And a file system over all of the disk, made by a tool that left the boot sector alone, leaves an older
// table with its partitions' old maps to be found.
type Disk struct {
	r     io.ReaderAt
	table *volume.Table
	all   []string         // why nothing on the disk is believed
	in    map[int64]string // by a partition's start: a signature of the disk that lies in it
	// covered says, by a partition's start, what elsewhere on the disk vouches for every byte of it.
	covered map[int64]string
}

// NewDisk looks for signatures of the disk as a whole beside its partition table, and adds a note to the table for
// each. A disk without a table is a matter of Probe. The error is that of reading r.
func NewDisk(r io.ReaderAt, t *volume.Table) (*Disk, error) {
	d := &Disk{r: r, table: t, in: map[int64]string{}, covered: map[int64]string{}}
	if t.Kind == "none" || t.DiskSize <= 0 {
		return d, nil
	}
	if err := d.covers(); err != nil {
		return nil, err
	}
	cached := cache(r, t.DiskSize)
	found, err := member.Find(cached, t.DiskSize)
	if err != nil {
		return nil, err
	}
	for _, f := range found {
		d.member(f)
	}
	for _, rd := range append(readers, volumes) {
		fs, err := rd.open(cached, t.DiskSize)
		if err != nil {
			continue // absent; or damaged, as the rest of one below a newer table is
		}
		d.note(fmt.Sprintf("The disk as a whole is also %s, besides its partition table. One of the two is left over "+
			"from earlier, and which one cannot "+
			"be told: its partitions are captured whole. wipefs shows both, and can remove the one that is wrong.",
			fs.Type()), true)
	}
	return d, nil
}

func (d *Disk) note(s string, distrust bool) {
	d.table.Notes = append(d.table.Notes, s)
	if distrust {
		d.all = append(d.all, s)
	}
}

// member notes a signature. Where it lies in a partition it is that partition's, unless it names its own place on the
// disk.
func (d *Disk) member(f member.Found) {
	for _, p := range d.table.Partitions {
		if f.At >= p.Start && f.At < p.End() {
			d.in[p.Start] = fmt.Sprintf("Where a disk that is %s has its metadata, this partition has some (byte %d "+
				"of the disk). It is captured whole.", f.What, f.At)
			if !f.Placed {
				return
			}
		}
	}
	s := fmt.Sprintf("The disk as a whole is %s (byte %d), besides its partition table.", f.What, f.At)
	if !f.Mirror {
		s += " What is in its partitions cannot be told from this disk alone: they are captured whole."
	}
	d.note(s+" "+f.Advice, !f.Mirror)
}

// Partition is Probe for a partition of the disk, which takes into account its type and what the disk is.
func (d *Disk) Partition(p volume.Partition) (volume.FileSystem, error) {
	r := io.NewSectionReader(d.r, p.Start, p.Size)
	why := label.OfType(p.Type)
	switch {
	case why != "":
	case len(d.all) > 0:
		why = "It is captured whole because of what the disk is: " + d.all[0]
	default:
		why = d.in[p.Start]
	}
	if why == "" {
		fs, err := Probe(r, p.Size)
		if err != nil {
			return nil, err
		}
		return d.uncovered(p, fs), nil
	}
	// What a member says of itself is worth more: that is whole too.
	if fs, err := member.Open(r, p.Size); !errors.Is(err, volume.ErrNotThis) {
		return fs, err
	}
	return volume.Whole(volume.TypeRaw, p.Size, volume.Info{Notes: []string{why}}), nil
}
