package personalize

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/agent/bootos"
	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/grow"
	"github.com/diskcast/diskcast/internal/volume/lvm"
	"github.com/diskcast/diskcast/internal/volume/probe"
)

// maxLogical bounds the logical volumes of a disk that are made devices of.
const maxLogical = 64

// logical are devices of logical volumes. One that is linear and in one piece is a run of bytes of its partition, so a
// loop device over that run is what the device mapper would make of it. All others, and what a snapshot or a cache
// depends on, are left alone: to write to them is not to write to a run of bytes.
type logical struct {
	devices []bootos.Device
	lacking []string // in words, what no device was made of
	loops   []*os.File
}

// logicalVolumes makes devices of the logical volumes that may hold a root, until close.
func logicalVolumes(devices []bootos.Device) (l *logical, err error) {
	l = &logical{}
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	for i := range devices {
		if err := l.add(&devices[i]); err != nil {
			return nil, err
		}
	}
	return l, nil
}

func (l *logical) close() {
	for _, f := range l.loops {
		f.Close()
	}
}

func (l *logical) lacks(what, why string) { l.lacking = append(l.lacking, what+": "+why) }

// add adds the logical volumes of a partition.
func (l *logical) add(d *bootos.Device) error {
	f, err := os.Open(d.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	pv, err := lvm.Open(f, size)
	if errors.Is(err, volume.ErrNotThis) {
		return nil
	}
	what := (&root{vol: bootos.Volume{Number: d.Number, Type: "LVM2_member"}}).words()
	if err != nil {
		l.lacks(what, err.Error())
		return nil
	}
	sight, err := probe.Look(f, size)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	switch {
	case sight.Type != pv.Type(): // a mirror with its superblock at the end is one: its other half would differ
		l.lacks(what, "it is a part of something else too, "+
			cmp.Or(strings.Join(sight.Signatures, " and "), sight.Type))
		return nil
	case pv.Members() == 0:
		l.lacks(what, "it is in no volume group, or does not say in which")
		return nil
	case pv.Members() > 1:
		// Which of several copies of the metadata is the newest, lvm knows when it sees all of them.
		l.lacks(what, fmt.Sprintf("its volume group has %d physical volumes, and this agent personalizes those of one",
			pv.Members()))
		return nil
	}
	for _, v := range pv.Volumes() {
		if err := l.volume(d, f, pv.Info().Label, &v); err != nil {
			return err
		}
	}
	return nil
}

// volume adds one, if a root may be in it.
func (l *logical) volume(d *bootos.Device, f *os.File, group string, v *lvm.Volume) error {
	name := plain.Line(fmt.Sprintf("logical volume %s/%s", group, v.Name), 200)
	at, ok := v.Run()
	switch {
	case !v.Linear:
		l.lacks(name, v.Why)
		return nil
	case !ok:
		l.lacks(name, "it is in several pieces, and this agent personalizes those of one")
		return nil
	}
	sight, err := probe.Look(io.NewSectionReader(f, at, v.Size), v.Size)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if !slices.Contains([]string{"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs"}, sight.Type) {
		return nil
	}
	switch {
	case !v.Writable:
		l.lacks(name, "it is read-only, or its volume group is exported")
		return nil
	case len(l.loops) == maxLogical:
		return fmt.Errorf("the disk has more than %d logical volumes with a file system", maxLogical)
	}
	sector, err := unix.IoctlGetInt(int(f.Fd()), unix.BLKSSZGET)
	if err != nil {
		return fmt.Errorf("%s: the size of its sectors: %w", d.Path, err)
	}
	loop, err := grow.Loop(d.Path, at, v.Size, sector)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	l.loops = append(l.loops, loop)
	l.devices = append(l.devices, bootos.Device{Number: -len(l.loops), Path: loop.Name(), Name: name,
		Links: links(group, v)})
	return nil
}

// links are the names of a logical volume's device: the device mapper's, in which dashes of the names are doubled
// (lvm(8)), LVM's own, and udev's, of which Ubuntu's installer takes the one with the UUID.
func links(group string, v *lvm.Volume) []string {
	twice := strings.NewReplacer("-", "--").Replace
	mapped := twice(group) + "-" + twice(v.Name)
	return []string{"/dev/mapper/" + mapped, "/dev/" + group + "/" + v.Name, "/dev/disk/by-id/dm-name-" + mapped,
		"/dev/disk/by-id/dm-uuid-LVM-" + v.UUID}
}
