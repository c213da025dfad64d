package convert

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/diskcast/diskcast/internal/regular"
	"github.com/diskcast/diskcast/internal/volume"
)

// maxSmall bounds the text files and table dumps of a Clonezilla directory.
const maxSmall = 64 << 20

// clonezilla is an image directory being put together into one disk.
type clonezilla struct {
	ctx    context.Context
	dir    string
	disk   string // "sda", "nvme0n1"
	table  sfdisk
	out    *scratch
	placed map[string]bool
	notes  []string
}

// brokenMark is the file that Clonezilla leaves in a directory when it failed.
const brokenMark = "THIS_IMAGE_DIR_IS_BROKEN.txt"

// byClonezilla is the way out for what is not read here.
const byClonezilla = "restore it with Clonezilla to a disk, and capture that disk"

// openClonezilla puts the disk of a Clonezilla image directory together: the table, what lies between it and the first
// partition, and each partition's image at its place.
func openClonezilla(ctx context.Context, dir string, o Options) (Disk, error) {
	c := &clonezilla{ctx: ctx, dir: dir, placed: map[string]bool{}}
	disks := strings.Fields(c.text("disk"))
	parts := strings.Fields(c.text("parts"))
	switch {
	case exists(filepath.Join(dir, brokenMark)):
		return nil, fmt.Errorf("it was not finished, and Clonezilla marked it so (%s: %.200q); save it again",
			brokenMark, strings.TrimSpace(c.text(brokenMark)))
	case len(disks) == 0 && len(parts) == 0:
		return nil, noClonezilla(dir)
	case len(disks) > 1:
		return nil, fmt.Errorf("%w: it holds the disks %s; copy the directory once for each, and leave one name in "+
			"its file `disk` (and in `parts` that disk's partitions)", ErrFormat, strings.Join(disks, " "))
	case len(disks) == 0:
		found, err := filepath.Glob(filepath.Join(dir, "*-pt.sf"))
		if err != nil || len(found) != 1 {
			return nil, fmt.Errorf("%w: it holds partitions only (%s); open the partition's own image file instead",
				ErrFormat, strings.Join(parts, " "))
		}
		disks = []string{strings.TrimSuffix(filepath.Base(found[0]), "-pt.sf")}
		c.notes = append(c.notes,
			fmt.Sprintf("The image was made of single partitions (%s), not of the whole disk.",
				strings.Join(parts, " ")))
	}
	c.disk = disks[0]
	if c.disk != filepath.Base(c.disk) {
		return nil, fmt.Errorf("its disk is called %q", c.disk)
	}
	for refused, what := range map[string]string{"luks-dev.list": "LUKS volumes", "mdadm.conf": "md sets",
		"ecryptfs.info": "encrypted images"} {
		if strings.TrimSpace(c.text(refused)) != "" {
			return nil, fmt.Errorf("%w: it has %s (%s); %s", ErrFormat, what, refused, byClonezilla)
		}
	}
	var err error
	if c.table, err = parseSfdisk(c.text(c.disk+"-pt.sf"), c.text(c.disk+"-pt.parted")); err != nil {
		return nil, err
	}
	if c.out, err = newScratch(o); err != nil {
		return nil, err
	}
	if c.table.guessed {
		c.notes = append(c.notes,
			"The image does not say how large its disk was: it ends where its last partition does.")
	}
	c.out.sector, c.out.format, c.out.notes = int(c.table.sector), "clonezilla", c.notes
	if err := c.assemble(parts); err != nil {
		c.out.Close()
		return nil, err
	}
	c.out.done()
	return c.out, nil
}

// text reads a small file; one that is not there is empty.
func (c *clonezilla) text(name string) string {
	p, _ := c.small(name)
	return string(p)
}

func (c *clonezilla) small(name string) ([]byte, error) {
	f, err := regular.Open(filepath.Join(c.dir, name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	p, err := io.ReadAll(io.LimitReader(f, maxSmall+1))
	if err == nil && len(p) > maxSmall {
		err = fmt.Errorf("%s is larger than %d bytes", name, maxSmall)
	}
	return p, err
}

func (c *clonezilla) assemble(parts []string) error {
	if err := c.out.setSize(c.table.size); err != nil {
		return err
	}
	for _, p := range c.table.parts {
		if p.start < 0 || p.size < 0 || p.start > c.table.size || p.size > c.table.size-p.start {
			return fmt.Errorf("partition %s does not lie within the disk of %d bytes", p.name, c.table.size)
		}
	}
	if err := c.head(); err != nil {
		return err
	}
	var empty []string
	for _, p := range c.table.parts {
		if p.extended() {
			continue
		}
		w := &window{out: c.out, pieces: []volume.Extent{{Offset: p.start, Length: p.size}}, size: p.size, name: p.name}
		err := c.place(p.name, w)
		if errors.Is(err, errNoImage) {
			var held bool
			if held, err = c.physical(p, w); err == nil && !held {
				if slices.Contains(parts, p.name) {
					return fmt.Errorf("its file `parts` names %s, and there is no image of that; if it is to be "+
						"empty, take the name out of `parts`", p.name)
				}
				empty = append(empty, p.name)
			}
		}
		if err != nil {
			return fmt.Errorf("partition %s: %w", p.name, err)
		}
	}
	if len(empty) > 0 {
		c.out.note(fmt.Sprintf("The image has nothing for partition %s: there it is empty.", strings.Join(empty, ", ")))
	}
	for _, name := range parts {
		if !c.placed[name] && !slices.ContainsFunc(c.table.parts, func(p sfPart) bool { return p.name == name }) {
			return fmt.Errorf("its file `parts` names %s, which the partition table does not have; %s", name,
				byClonezilla)
		}
	}
	c.out.note("Clonezilla keeps partitions: what lay between them, or behind the last one, is not in the image.")
	return nil
}

// noClonezilla is the error for a directory that is none. It names the images in it.
func noClonezilla(dir string) error {
	found, _ := filepath.Glob(filepath.Join(globQuote(dir), "*", "parts"))
	if len(found) > 0 {
		return fmt.Errorf("%w: the directory holds Clonezilla images and is none: give one of them, such as %s",
			ErrFormat, filepath.Dir(found[0]))
	}
	if found, _ := filepath.Glob(filepath.Join(globQuote(dir), "*-pt.sf")); len(found) > 0 {
		return fmt.Errorf("%w: the directory has neither a file named disk nor one named parts: Clonezilla did not "+
			"finish it; save it again", ErrFormat)
	}
	if found, _ := filepath.Glob(filepath.Join(globQuote(dir), "DiskDescriptor.xml")); len(found) > 0 {
		return fmt.Errorf("%w: it is a Parallels disk; %s (IN is the .hds file in the directory)", ErrFormat,
			convertBy("qemu-img convert -f parallels -O raw IN OUT"))
	}
	return fmt.Errorf("%w: the directory has neither a file named disk nor one named parts, so it is no Clonezilla "+
		"image; of another program's, give the image file itself", ErrFormat)
}

// window is a part of the disk, in one piece or in several.
type window struct {
	out    *scratch
	pieces []volume.Extent // on the disk, in the order of the part
	size   int64
	name   string
}

func (w *window) limit() int64  { return w.size }
func (w *window) note(s string) { w.out.note(w.name + ": " + s) }

func (w *window) setSize(n int64) error {
	if n < 0 || n > w.size {
		return fmt.Errorf("its image is of %d bytes, and it has %d", n, w.size)
	}
	return nil
}

// ReadAt reads what was written so far.
func (w *window) ReadAt(p []byte, off int64) (int, error) {
	done := 0
	err := w.each(off, int64(len(p)), func(at, n int64) error {
		k, err := w.out.ReadAt(p[done:done+int(n)], at)
		done += k
		return err
	})
	return done, err
}

func (w *window) write(p []byte, off int64) error {
	if off < 0 || off > w.size || int64(len(p)) > w.size-off {
		return fmt.Errorf("it has %d bytes for offset %d of %d", len(p), off, w.size)
	}
	return w.each(off, int64(len(p)), func(at, n int64) error {
		err := w.out.write(p[:n], at)
		p = p[n:]
		return err
	})
}

// each calls f with the places on the disk of n bytes of the part.
func (w *window) each(off, n int64, f func(at, n int64) error) error {
	for _, e := range w.pieces {
		if n == 0 {
			break
		}
		if off >= e.Length {
			off -= e.Length
			continue
		}
		k := min(n, e.Length-off)
		if err := f(e.Offset+off, k); err != nil {
			return err
		}
		n, off = n-k, 0
	}
	return nil
}
