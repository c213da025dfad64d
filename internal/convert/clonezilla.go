package convert

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

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
}

// openClonezilla puts the disk of a Clonezilla image directory together: the table, what lies between it and the first partition,
// and each partition's image at its place.
func openClonezilla(ctx context.Context, dir string, o Options) (Disk, error) {
	c := &clonezilla{ctx: ctx, dir: dir, placed: map[string]bool{}}
	disks := strings.Fields(c.text("disk"))
	parts := strings.Fields(c.text("parts"))
	switch {
	case len(disks) == 0 && len(parts) == 0:
		return nil, fmt.Errorf("%w: the directory has neither a file named disk nor one named parts, so it is no Clonezilla image", ErrFormat)
	case len(disks) > 1:
		return nil, fmt.Errorf("%w: it holds the disks %s; move the others' files away, and leave one name in its file `disk`", ErrFormat, strings.Join(disks, " "))
	case len(disks) == 0:
		found, err := filepath.Glob(filepath.Join(dir, "*-pt.sf"))
		if err != nil || len(found) != 1 {
			return nil, fmt.Errorf("%w: it holds partitions only (%s); open the partition's own image file instead", ErrFormat, strings.Join(parts, " "))
		}
		disks = []string{strings.TrimSuffix(filepath.Base(found[0]), "-pt.sf")}
	}
	c.disk = disks[0]
	if c.disk != filepath.Base(c.disk) {
		return nil, fmt.Errorf("its disk is called %q", c.disk)
	}
	for _, refused := range []string{"luks-dev.list", "mdadm.conf"} {
		if strings.TrimSpace(c.text(refused)) != "" {
			return nil, fmt.Errorf("%w: it has LUKS volumes or md sets (%s); restore it with Clonezilla and capture the result", ErrFormat, refused)
		}
	}
	var err error
	if c.table, err = parseSfdisk(c.text(c.disk+"-pt.sf"), c.text(c.disk+"-pt.parted")); err != nil {
		return nil, err
	}
	if c.out, err = newScratch(o); err != nil {
		return nil, err
	}
	c.out.sector, c.out.format = int(c.table.sector), "clonezilla"
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
	f, err := os.Open(filepath.Join(c.dir, name))
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
	if err := c.head(); err != nil {
		return err
	}
	for _, p := range c.table.parts {
		if p.start < 0 || p.size < 0 || p.start > c.table.size || p.size > c.table.size-p.start {
			return fmt.Errorf("partition %s does not lie within the disk of %d bytes", p.name, c.table.size)
		}
	}
	if err := c.logicals(); err != nil {
		return err
	}
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
					return fmt.Errorf("its file `parts` names %s, and there is no image of that", p.name)
				}
				c.out.note(fmt.Sprintf("The image has nothing for partition %s; it is empty.", p.name))
			}
		}
		if err != nil {
			return fmt.Errorf("partition %s: %w", p.name, err)
		}
	}
	for _, name := range parts {
		if !c.placed[name] && !slices.ContainsFunc(c.table.parts, func(p sfPart) bool { return p.name == name }) {
			return fmt.Errorf("its file `parts` names %s, which the partition table does not have", name)
		}
	}
	return nil
}

// head writes what is before the first partition, and the backup of a GPT at the end.
func (c *clonezilla) head() error {
	found := false
	for _, f := range []struct {
		suffix string
		at     int64
	}{{"-hidden-data-after-mbr", 512}, {"-mbr", 0}, {"-gpt-1st", 0}, {"-gpt-2nd", -1}} {
		p, err := c.small(c.disk + f.suffix)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		found = found || f.suffix == "-mbr" || f.suffix == "-gpt-1st"
		switch f.suffix {
		case "-mbr":
			p = p[:min(len(p), 512)]
		case "-hidden-data-after-mbr":
			p = p[:max(0, min(int64(len(p)), c.table.first()-512))]
		case "-gpt-2nd":
			f.at = c.table.size - int64(len(p))
		}
		if err := c.out.write(p, f.at); err != nil {
			return fmt.Errorf("%s%s: %w", c.disk, f.suffix, err)
		}
	}
	if !found {
		return fmt.Errorf("the image has neither %s-mbr nor %s-gpt-1st", c.disk, c.disk)
	}
	return nil
}

var errNoImage = errors.New("no image")

// place finds a device's image and unpacks it into w.
func (c *clonezilla) place(name string, w sink) error {
	c.placed[name] = true
	if info, err := c.small("swappt-" + name + ".info"); err == nil {
		return writeSwap(string(info), w)
	}
	found, err := filepath.Glob(filepath.Join(c.dir, globQuote(name)+".*"))
	if err != nil {
		return err
	}
	found = slices.DeleteFunc(found, func(path string) bool {
		ext := filepath.Ext(path)
		split := (len(ext) == 3 || len(ext) == 4) && strings.Trim(ext[1:], "abcdefghijklmnopqrstuvwxyz") == "" && !isFirst(ext) && splitSibling(path, ext)
		return split || !strings.Contains(filepath.Base(path), "-img") && !isFirst(ext)
	})
	switch {
	case len(found) == 0:
		return errNoImage
	case len(found) > 1:
		return fmt.Errorf("there are several images of it: %s", strings.Join(found, ", "))
	}
	pieces, err := splitPieces(found[0])
	if err != nil {
		return err
	}
	s, err := openStream(pieces)
	if err != nil {
		return err
	}
	defer s.Close()
	if _, err := unpackTo(&cancelReader{c.ctx, s}, w); err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(found[0]), err)
	}
	return nil
}

// splitSibling tells a further piece of a split image from a file that happens to have such an ending.
func splitSibling(path, ext string) bool {
	_, err := os.Stat(strings.TrimSuffix(path, ext) + "." + strings.Repeat("a", len(ext)-1))
	return err == nil
}

func globQuote(name string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(name)
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

func (w *window) write(p []byte, off int64) error {
	if off < 0 || off > w.size || int64(len(p)) > w.size-off {
		return fmt.Errorf("it has %d bytes for offset %d of %d", len(p), off, w.size)
	}
	for _, e := range w.pieces {
		if len(p) == 0 {
			break
		}
		if off >= e.Length {
			off -= e.Length
			continue
		}
		n := min(int64(len(p)), e.Length-off)
		if err := w.out.write(p[:n], e.Offset+off); err != nil {
			return err
		}
		p, off = p[n:], 0
	}
	return nil
}

// writeSwap makes a swap area with the UUID and label that the image keeps of it.
func writeSwap(info string, w sink) error {
	const page = 4096
	p := make([]byte, page)
	pages := w.limit()/page - 1
	if pages < 9 {
		return errors.New("it is too small for swap")
	}
	le.PutUint32(p[1024:], 1)
	le.PutUint32(p[1028:], uint32(min(pages, 1<<32-1)))
	for _, line := range strings.Fields(info) {
		key, value, _ := strings.Cut(line, "=")
		value = strings.Trim(value, `"`)
		switch key {
		case "UUID":
			digits := strings.ReplaceAll(value, "-", "")
			if len(digits) != 32 {
				continue
			}
			for i := range 16 {
				v, err := strconv.ParseUint(digits[2*i:2*i+2], 16, 8)
				if err != nil {
					return fmt.Errorf("its UUID is %q", value)
				}
				p[1036+i] = byte(v)
			}
		case "LABEL":
			copy(p[1052:1067], value)
		}
	}
	copy(p[page-10:], "SWAPSPACE2")
	return w.write(p, 0)
}
