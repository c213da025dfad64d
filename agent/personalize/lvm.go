package personalize

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/agent/bootos"
	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/grow"
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
	group, err := bootos.ReadGroup(f, size)
	if errors.Is(err, volume.ErrNotThis) {
		return nil
	}
	what := (&root{vol: bootos.Volume{Number: d.Number, Type: "LVM2_member"}}).words()
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", what, err)
	case group.Why != "":
		l.lacks(what, group.Why)
		return nil
	}
	for _, v := range group.Volumes {
		if err := l.volume(d, f, &v); err != nil {
			return err
		}
	}
	return nil
}

// volume adds one, if a root may be in it.
func (l *logical) volume(d *bootos.Device, f *os.File, v *bootos.Logical) error {
	name := plain.Line(v.Words, 200)
	if v.Why != "" {
		l.lacks(name, v.Why)
		return nil
	}
	if !slices.Contains([]string{"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs"}, v.Type) {
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
	loop, err := grow.Loop(d.Path, v.At, v.Size, sector)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	l.loops = append(l.loops, loop)
	l.devices = append(l.devices, bootos.Device{Number: -len(l.loops), Path: loop.Name(), Name: name, Links: v.Links})
	return nil
}
