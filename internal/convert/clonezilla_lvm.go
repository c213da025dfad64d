package convert

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"

	"github.com/diskcast/diskcast/internal/rx"
	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/lvm"
)

const (
	mdaAt   = 4096
	mdaEnd  = 1 << 20
	mdaHead = 512
)

var peStart = rx.New(`(?m)^\s*pe_start\s*=\s*([0-9]+)`)

// physical makes a partition an LVM physical volume again, if the image says that it was one, and places the images of
// the logical volumes on it. lvm_vg_dev.list has lines of group, device and UUID; lvm_GROUP.conf is vgcfgbackup(8)'s
// text, which is what a physical volume holds too.
func (c *clonezilla) physical(p sfPart, w *window) (bool, error) {
	for _, line := range strings.Split(c.text("lvm_vg_dev.list"), "\n") {
		f := strings.Fields(line)
		if len(f) < 3 || f[1] != "/dev/"+p.name {
			continue
		}
		text, err := c.small("lvm_" + f[0] + ".conf")
		if err != nil {
			return true, fmt.Errorf("the metadata of volume group %s: %w", f[0], err)
		}
		// On the device the group comes first, and what vgcfgbackup says of itself behind it.
		about, body, found := bytes.Cut(text, []byte("\n"+f[0]+" {"))
		if !found {
			return true, fmt.Errorf("lvm_%s.conf does not describe the volume group", f[0])
		}
		text = slices.Concat([]byte(f[0]+" {"), body, []byte("\n"), about)
		if err := writePhysical(text, f[2], w); err != nil {
			return true, err
		}
		return true, c.logicalVolumes(f[0], p, w)
	}
	return false, nil
}

// lvmSum is LVM's CRC-32: begun with its own number, not inverted at its end.
func lvmSum(p []byte) uint32 { return ^crc32.Update(^uint32(0xf597a6cf), crc32.IEEETable, p) }

// writePhysical writes label, header and metadata area of a physical volume.
func writePhysical(text []byte, uuid string, w *window) error {
	id := strings.ReplaceAll(uuid, "-", "")
	m := peStart().FindSubmatch(text)
	if len(id) != 32 || m == nil {
		return fmt.Errorf("the metadata has no pe_start, or the UUID %q is none", uuid)
	}
	start := int64(0)
	if _, err := fmt.Sscan(string(m[1]), &start); err != nil {
		return err
	}
	start *= 512
	text = append(text, 0)
	if start < mdaEnd || int64(len(text)) > mdaEnd-mdaAt-mdaHead {
		return fmt.Errorf("its first extent is at %d, which leaves no room for %d bytes of metadata", start, len(text))
	}
	label := make([]byte, 512)
	copy(label, "LABELONE")
	le.PutUint64(label[8:], 1)
	le.PutUint32(label[20:], 32)
	copy(label[24:], "LVM2 001")
	copy(label[32:], id)
	le.PutUint64(label[64:], uint64(w.size))
	le.PutUint64(label[72:], uint64(start)) // data area to the end; a list of one, then a list of one metadata area
	le.PutUint64(label[104:], mdaAt)
	le.PutUint64(label[112:], uint64(mdaEnd-mdaAt))
	le.PutUint32(label[136:], 2) // version of the extension, without further areas; flag: in use
	le.PutUint32(label[140:], 1)
	le.PutUint32(label[16:], lvmSum(label[20:]))

	head := make([]byte, mdaHead)
	copy(head[4:], " LVM2 x[5A%r0N*>")
	le.PutUint32(head[20:], 1)
	le.PutUint64(head[24:], mdaAt)
	le.PutUint64(head[32:], uint64(mdaEnd-mdaAt))
	le.PutUint64(head[40:], mdaHead)
	le.PutUint64(head[48:], uint64(len(text)))
	le.PutUint32(head[56:], lvmSum(text))
	le.PutUint32(head, lvmSum(head[4:]))
	return errors.Join(w.write(label, 512), w.write(head, mdaAt), w.write(text, mdaAt+mdaHead))
}

func (c *clonezilla) logicalVolumes(group string, p sfPart, w *window) error {
	pv, err := lvm.Open(offsetReader{c.out, p.start}, p.size)
	if err != nil {
		return err
	}
	for _, v := range pv.Volumes() {
		name := group + "-" + v.Name
		var pieces []volume.Extent
		for _, s := range v.Segments {
			pieces = append(pieces, volume.Extent{Offset: p.start + s.Physical, Length: s.Length})
		}
		err := c.place(name, &window{out: w.out, pieces: pieces, size: v.Size, name: name})
		switch {
		case errors.Is(err, errNoImage):
			c.out.note(fmt.Sprintf("The image has nothing for logical volume %s; it is empty.", name))
		case err != nil:
			return fmt.Errorf("logical volume %s: %w", name, err)
		case !v.Linear:
			return fmt.Errorf("%w: logical volume %s is not linear (%s); restore the image with Clonezilla and "+
				"capture the result", ErrFormat, name, v.Why)
		}
	}
	return nil
}

// offsetReader reads a part of the disk.
type offsetReader struct {
	d  *scratch
	at int64
}

func (o offsetReader) ReadAt(p []byte, off int64) (int, error) { return o.d.ReadAt(p, o.at+off) }
