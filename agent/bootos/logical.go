package bootos

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/lvm"
	"github.com/diskcast/diskcast/internal/volume/probe"
)

// Logical is a logical volume of LVM. One that is linear and in one piece is a run of bytes of its physical volume.
type Logical struct {
	Words    string   // "logical volume vg/root"
	Links    []string // names of its device in a system: the device mapper's, LVM's own, udev's
	GRUB     []string // names of its device in GRUB; a search comes to the first
	At, Size int64    // where it is on the physical volume, bytes
	Type     string   // of what is in it, as blkid calls it
	Writable bool     // neither it nor its group is read-only or exported
	Why      string   // it is no run of bytes; empty when it is one
}

// Group is what a physical volume of LVM has of its volume group.
type Group struct {
	Name    string
	ID      string // of the physical volume
	Volumes []Logical
	Why     string // what is against all of them; empty when nothing is
}

// ReadGroup reads a physical volume. The error is volume.ErrNotThis for what is none, and else one of reading.
func ReadGroup(r io.ReaderAt, size int64) (*Group, error) {
	pv, err := lvm.Open(r, size)
	switch {
	case errors.Is(err, volume.ErrNotThis):
		return nil, err
	case err != nil:
		return &Group{Why: err.Error()}, nil
	}
	sight, err := probe.Look(r, size)
	if err != nil {
		return nil, err
	}
	g := &Group{Name: pv.Info().Label, ID: pv.Info().UUID}
	switch {
	case sight.Type != pv.Type(): // a mirror with its superblock at the end is one: its other half would differ
		g.Why = "it is a part of something else too, " + cmp.Or(strings.Join(sight.Signatures, " and "), sight.Type)
	case pv.Members() == 0:
		g.Why = "it is in no volume group, or does not say in which"
	case pv.Members() > 1:
		// Which of several copies of the metadata is the newest, lvm knows when it sees all of them.
		g.Why = fmt.Sprintf("its volume group has %d physical volumes, and this agent reads groups of one",
			pv.Members())
	}
	if g.Why != "" {
		return g, nil
	}
	for _, v := range pv.Volumes() {
		l, err := logicalOf(r, g.Name, &v)
		if err != nil {
			return nil, err
		}
		g.Volumes = append(g.Volumes, l)
	}
	return g, nil
}

func logicalOf(r io.ReaderAt, group string, v *lvm.Volume) (Logical, error) {
	// The device mapper's name, which is GRUB's too, doubles the dashes of both names (lvm(8)).
	twice := strings.NewReplacer("-", "--").Replace
	mapped := twice(group) + "-" + twice(v.Name)
	l := Logical{
		Words: fmt.Sprintf("logical volume %s/%s", group, v.Name),
		// Ubuntu's installer takes the one with the UUID.
		Links: []string{"/dev/mapper/" + mapped, "/dev/" + group + "/" + v.Name, "/dev/disk/by-id/dm-name-" + mapped,
			"/dev/disk/by-id/dm-uuid-LVM-" + v.UUID},
		GRUB: []string{"lvm/" + mapped}, Size: v.Size, Writable: v.Writable,
	}
	const id = 32 // characters of a UUID, of which the volume's name has the group's and its own
	if len(v.UUID) == 2*id {
		l.GRUB = append(l.GRUB, "lvmid/"+dashed(v.UUID[:id])+"/"+dashed(v.UUID[id:]))
	}
	at, ok := v.Run()
	switch {
	case !v.Linear:
		l.Why = v.Why
		return l, nil
	case !ok:
		l.Why = "it is in several pieces, and this agent reads those of one"
		return l, nil
	}
	l.At = at
	sight, err := probe.Look(io.NewSectionReader(r, at, v.Size), v.Size)
	if err != nil {
		return l, fmt.Errorf("%s: %w", l.Words, err)
	}
	l.Type = sight.Type
	return l, nil
}

// dashed writes a UUID of LVM's, of 32 characters, as its tools and GRUB do: the dashes are behind the 6th character
// and then behind every fourth, but for the last six.
func dashed(id string) string {
	parts := []string{id[:6]}
	for at := 6; at < 26; at += 4 {
		parts = append(parts, id[at:at+4])
	}
	return strings.Join(append(parts, id[26:]), "-")
}
