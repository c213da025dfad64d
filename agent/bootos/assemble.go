package bootos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/agent/bootos/grub"
	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/internal/volume/grow"
)

// maxMade bounds the devices that are made of a disk's partitions.
const maxMade = 64

// assembly makes the devices that GRUB makes of partitions: RAID 1 of md's, of which a half has all, and logical
// volumes of LVM's that are a run of bytes. A loop device over these bytes, which cannot be written to, is what the
// system's own would show.
type assembly struct {
	others *neighbours // nil: not known
	parts  []Device
	made   []Device
	loops  []*os.File
	key    *Key // nil: nothing is opened

	encrypted []grub.Encrypted
	undo      []func() // what was done to open volumes, taken back in the opposite order
}

// assemble adds devices to a disk's partitions until detach. Partitions of which not all could be put together say so:
// in Layers, and why in Lacks. Encrypted volumes are opened where there is a key.
func assemble(ctx context.Context, devices []Device, others *neighbours, key *Key) (all []Device,
	encrypted []grub.Encrypted, detach func()) {
	a := &assembly{others: others, key: key}
	for _, d := range devices {
		a.partition(ctx, &d)
		a.parts = append(a.parts, d)
	}
	a.drop()
	return slices.Concat(a.parts, a.made), a.encrypted, func() {
		for _, f := range a.loops {
			f.Close()
		}
		for _, f := range slices.Backward(a.undo) {
			f()
		}
	}
}

// part is what is looked at for layers: a run of bytes of a partition.
type part struct {
	r        *io.SectionReader
	at, size int64 // on the partition
}

func (a *assembly) partition(ctx context.Context, d *Device) {
	f, err := os.Open(d.Path)
	if err != nil {
		return // Mount says so
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return
	}
	whole := part{io.NewSectionReader(f, 0, size), 0, size}
	switch layerOf(f, size) {
	case grub.MD:
		d.Asked = true
		if err := a.mirror(ctx, d, f, whole); err != nil {
			d.lacks(grub.MD, err.Error())
		}
	case grub.LVM:
		d.Asked = true
		a.group(ctx, d, f, whole, false)
	case grub.Crypto:
		if a.key != nil {
			a.crypt(ctx, d, whole, false)
		}
	}
}

// lacks notes that not all of a layer could be put together.
func (d *Device) lacks(l grub.Layer, why string) {
	if !slices.Contains(d.Layers, l) {
		d.Layers = append(d.Layers, l)
	}
	d.Lacks = append(d.Lacks, plain.Line(why, 300))
}

// mirror makes a device of a half of a RAID 1, or of what is in it.
func (a *assembly) mirror(ctx context.Context, d *Device, f *os.File, p part) error {
	m, err := readMirror(p.r, p.size)
	if err != nil {
		return err
	}
	if why := a.others.mirror(m); why != "" {
		return errors.New(why)
	}
	inside := part{io.NewSectionReader(f, m.start, m.size), m.start, m.size}
	switch l := layerOf(inside.r, inside.size); {
	case l == grub.LVM:
		a.group(ctx, d, f, inside, true)
		return nil
	case l == grub.Crypto && a.key != nil:
		a.crypt(ctx, d, inside, true)
		return nil
	case l != "":
		d.lacks(l, fmt.Sprintf("%s in %s is not read", l, m.words))
		return nil
	case m.start == 0: // the partition reads like the set
		d.GRUB = m.grub
		if k, _, _ := identify(inside.r); k == nil && !nothing(inside.r, inside.size) {
			return fmt.Errorf("%s has nothing in it that is read here", m.words)
		}
		return nil
	}
	return a.add(d, f, inside, Device{Name: m.words, GRUB: m.grub})
}

// group makes devices of the logical volumes of a volume group.
func (a *assembly) group(ctx context.Context, d *Device, f *os.File, p part, mirrored bool) {
	g, err := ReadGroup(p.r, p.size)
	switch {
	case err != nil:
		d.lacks(grub.LVM, err.Error())
		return
	case g.Why == "":
		g.Why = a.others.volumes(g.Name, g.ID, mirrored)
	}
	if g.Why != "" {
		d.lacks(grub.LVM, g.Why)
		return
	}
	for _, l := range g.Volumes {
		if l.Why != "" {
			d.lacks(grub.LVM, l.Words+": "+l.Why)
			continue
		}
		if !l.Writable {
			d.lacks(grub.LVM, l.Words+": it is read-only, or its volume group is exported")
			continue
		}
		inside := part{io.NewSectionReader(f, p.at+l.At, l.Size), p.at + l.At, l.Size}
		other := layerOf(inside.r, inside.size)
		if other == grub.Crypto && a.key != nil {
			a.crypt(ctx, d, inside, true)
			continue
		}
		if other != "" {
			d.lacks(other, fmt.Sprintf("%s in %s is not read", other, l.Words))
			continue
		}
		made := Device{Name: plain.Line(l.Words, 200), Links: l.Links, GRUB: l.GRUB}
		if err := a.add(d, f, inside, made); err != nil {
			d.lacks(grub.LVM, err.Error())
		}
	}
}

// add makes a device of a run of bytes, if a boot loader reads what is in it.
func (a *assembly) add(d *Device, f *os.File, p part, made Device) error {
	if k, _, _ := identify(p.r); k == nil {
		if !nothing(p.r, p.size) {
			return fmt.Errorf("%s has nothing in it that is read here", made.Name)
		}
		return nil
	}
	if len(a.made) == maxMade {
		return fmt.Errorf("%s: the disk has more than %d such devices", made.Name, maxMade)
	}
	sector := 512 // of a file
	if n, err := unix.IoctlGetInt(int(f.Fd()), unix.BLKSSZGET); err == nil {
		sector = n
	}
	loop, err := grow.LoopReadOnly(f.Name(), p.at, p.size, sector)
	if err != nil {
		return fmt.Errorf("%s: %w", made.Name, err)
	}
	a.loops = append(a.loops, loop)
	made.Number, made.Path, made.Asked, made.From = -len(a.loops), loop.Name(), true, d.Number
	a.made = append(a.made, made)
	return nil
}

// drop takes out devices that have a name of GRUB's in common: which of them it means is not known.
func (a *assembly) drop() {
	a.dropVolumes()
	count := map[string]int{}
	for _, d := range slices.Concat(a.parts, a.made) {
		for _, n := range d.GRUB {
			count[n]++
		}
	}
	several := func(d Device) bool { return slices.ContainsFunc(d.GRUB, func(n string) bool { return count[n] > 1 }) }
	for i := range a.parts {
		if d := &a.parts[i]; several(*d) {
			d.GRUB = nil
			d.lacks(grub.MD, "another partition has a half of the same RAID, or of one of the same name")
		}
	}
	a.made = slices.DeleteFunc(a.made, func(m Device) bool {
		if !several(m) {
			return false
		}
		for i := range a.parts {
			if d := &a.parts[i]; d.Number == m.From {
				for _, l := range []grub.Layer{grub.MD, grub.LVM} {
					d.lacks(l, m.Name+" is there twice")
				}
			}
		}
		return true
	})
}
