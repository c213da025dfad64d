package restore

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/partition"
	"github.com/diskcast/diskcast/internal/volume/probe"
)

// Partition is one partition of a target, and what the file systems on the disk are called.
type Partition struct {
	*partition.Found
	Window *Window // the partition's bytes, and no others
	uuids  map[int]string
	here   string   // what is in it now, in words
	unread []string // partitions that cannot be looked at, in words
}

// OpenPartition finds a partition of a target that may be written: in a table that is beyond doubt, read anew.
func OpenPartition(t Target, by partition.By) (*Partition, error) {
	found, err := partition.Find(t, t.Size(), t.SectorSize(), by)
	if err != nil {
		return nil, err
	}
	w, err := NewWindow(t, found.Start, found.Size)
	if err != nil {
		return nil, err
	}
	p := &Partition{Found: found, Window: w, uuids: map[int]string{}}
	for i := range found.Table.Partitions {
		q := &found.Table.Partitions[i]
		fs, err := probe.Probe(io.NewSectionReader(t, q.Start, q.Size), q.Size)
		if err != nil {
			// It is another one, or is overwritten: no reason to refuse.
			p.unread = append(p.unread, fmt.Sprintf("what is in partition %d cannot be read, so it is not known "+
				"whether its file system has a name of the image's: %v", q.Number, err))
			if q.Number == found.Number {
				p.here = "unreadable"
			}
			continue
		}
		if fs.Type() != volume.TypeRaw {
			p.uuids[q.Number] = fs.Info().UUID
		}
		if q.Number == found.Number {
			p.here = strings.TrimSpace(fs.Type() + " " + fs.Info().UUID)
		}
	}
	return p, nil
}

// Options are those of a plan for the partition.
func (p *Partition) Options() []PlanOption { return []PlanOption{InPartition(p.Number, p.Start)} }

// Here says what is in the partition now.
func (p *Partition) Here() string { return p.here }

// Holds reports whether the partition has the image's file system, perhaps with other files: then much of it may be in
// place.
func (p *Partition) Holds(c *image.Config) bool {
	return uuidOf(c) != "" && strings.EqualFold(p.uuids[p.Number], uuidOf(c))
}

// Gone is the UUID of the file system that a restore takes from the disk; empty when the disk has one with it
// afterwards too.
func (p *Partition) Gone(c *image.Config) string {
	old := p.uuids[p.Number]
	if old == "" || strings.EqualFold(old, uuidOf(c)) {
		return ""
	}
	for number, uuid := range p.uuids {
		if number != p.Number && strings.EqualFold(uuid, old) {
			return ""
		}
	}
	return old
}

// Warnings say what a restore of the image makes of the names of the disk's file systems.
func (p *Partition) Warnings(c *image.Config) []string {
	out := slices.Clone(p.unread)
	for i := range p.Table.Partitions {
		n := p.Table.Partitions[i].Number
		if n != p.Number && uuidOf(c) != "" && strings.EqualFold(p.uuids[n], uuidOf(c)) {
			out = append(out, fmt.Sprintf("partitions %d and %d will both have a file system with the UUID %s: what "+
				"is mounted or started by it may be either", p.Number, n, uuidOf(c)))
		}
	}
	if gone := p.Gone(c); gone != "" {
		out = append(out, fmt.Sprintf("the file system with the UUID %s is no longer in partition %d, that of the "+
			"image has %s: an /etc/fstab or grub.cfg on the disk that names the old one does not find it", gone,
			p.Number, orNone(uuidOf(c))))
	}
	return out
}

func orNone(uuid string) string {
	if uuid == "" {
		return "none"
	}
	return uuid
}

func uuidOf(c *image.Config) string {
	if len(c.Partitions) != 1 {
		return ""
	}
	return c.Partitions[0].UUID
}
