package convert

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"strings"

	"github.com/diskcast/diskcast/internal/volume/table"
)

// head writes the partition table, and what is between it and the first partition. What was written is read again, and
// must have the partitions of sfdisk's dump.
func (c *clonezilla) head() error {
	var err error
	if c.table.label == "gpt" {
		err = c.gpt()
	} else {
		err = c.mbr()
	}
	if err != nil {
		return err
	}
	c.out.done()
	t, err := table.Read(c.out, c.table.size, int(c.table.sector))
	if err != nil {
		return err
	}
	found := map[[2]int64]bool{}
	for _, p := range t.Partitions {
		found[[2]int64{p.Start, p.Size}] = true
	}
	for _, p := range c.table.parts {
		if !found[[2]int64{p.start, p.size}] && !p.extended() {
			return fmt.Errorf("partition %s (%d bytes at %d by %s-pt.sf) is not in the partition table that the "+
				"image keeps (%s); %s", p.name, p.size, p.start, c.disk,
				strings.Join(append([]string{t.Kind}, t.Notes...), " "), byClonezilla)
		}
	}
	return nil
}

// mbr writes the dos table, and what lies between it and the first partition: the second stage of a boot loader, as a
// rule.
func (c *clonezilla) mbr() error {
	boot, err := c.small(c.disk + "-mbr")
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("the image has no %s-mbr, in which its partition table is; %s", c.disk, byClonezilla)
	}
	if err != nil {
		return err
	}
	if len(boot) < 512 {
		return fmt.Errorf("%s-mbr has %d bytes, and not 512: it was cut", c.disk, len(boot))
	}
	boot = boot[:512]
	hidden, err := c.small(c.disk + "-hidden-data-after-mbr")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	room := max(0, c.table.first()-512)
	hidden = hidden[:min(int64(len(hidden)), room)]
	if lacks := room - int64(len(hidden)); lacks > 0 {
		what := fmt.Sprintf("%s-hidden-data-after-mbr is not in the image", c.disk)
		if err == nil {
			what = fmt.Sprintf("%s-hidden-data-after-mbr ends early", c.disk)
		}
		note := fmt.Sprintf("%s: %d bytes before the first partition are zeros now.", what, lacks)
		if len(bytes.Trim(boot[:440], "\x00")) > 0 {
			note += " If GRUB booted this disk by BIOS, its core image lay there, and the restored disk will not " +
				"boot before `grub-install` has run."
		}
		c.out.note(note)
	}
	if err := errors.Join(c.out.write(hidden, 512), c.out.write(boot, 0)); err != nil {
		return err
	}
	return c.logicals()
}

const (
	gptSize       = 92 // of a header, as far as it is specified
	gptMaxEntries = 1 << 20
)

// gptCopy is one of the two tables of a GPT disk: a header (UEFI 2.10, section 5.3.2) and its entries.
type gptCopy struct{ header, entries []byte }

func (g gptCopy) self() int64 { return int64(le.Uint64(g.header[24:])) }
func (g gptCopy) other() int64 {
	return int64(le.Uint64(g.header[32:]))
}
func (g gptCopy) place() int64 { return int64(le.Uint64(g.header[72:])) }

// gptHeader takes a header out of a sector; nil if its checksum is wrong.
func gptHeader(p []byte) []byte {
	if len(p) < gptSize || string(p[:8]) != "EFI PART" {
		return nil
	}
	n := le.Uint32(p[12:])
	if n < gptSize || int(n) > len(p) {
		return nil
	}
	h := bytes.Clone(p[:n])
	want := le.Uint32(h[16:])
	if le.PutUint32(h[16:], 0); crc32.ChecksumIEEE(h) != want {
		return nil
	}
	le.PutUint32(h[16:], want)
	return h
}

// gptAt takes a table out of a file, with the header at one place and the entries at another; false if either is not
// whole. Entries at -1 are where the header says, the file being the beginning of a disk with sectors of ss bytes.
func gptAt(file []byte, header, entries, ss int64) (gptCopy, bool) {
	if header < 0 || header > int64(len(file)) {
		return gptCopy{}, false
	}
	h := gptHeader(file[header:min(int64(len(file)), header+512)])
	if h == nil {
		return gptCopy{}, false
	}
	n := int64(le.Uint32(h[80:])) * int64(le.Uint32(h[84:]))
	if entries == -1 {
		entries = int64(min(le.Uint64(h[72:]), gptMaxEntries)) * ss
	}
	if n < 1 || n > gptMaxEntries || entries < 0 || entries > int64(len(file))-n {
		return gptCopy{}, false
	}
	e := file[entries : entries+n]
	return gptCopy{h, e}, crc32.ChecksumIEEE(e) == le.Uint32(h[88:])
}

// twin makes the other table of the disk: the same entries, and a header that says where it is.
func (g gptCopy) twin(place int64) gptCopy {
	h := bytes.Clone(g.header)
	le.PutUint64(h[24:], uint64(g.other()))
	le.PutUint64(h[32:], uint64(g.self()))
	le.PutUint64(h[72:], uint64(place))
	le.PutUint32(h[16:], 0)
	le.PutUint32(h[16:], crc32.ChecksumIEEE(h))
	return gptCopy{h, g.entries}
}

// gpt writes both tables of a GPT disk. Clonezilla keeps the first 34 sectors of 512 bytes, which on a disk with
// sectors of 4096 are not the whole table, and of the backup all but the first sector of its entries; sgdisk's copy
// (protective MBR, both headers, entries) is whole. One whole table is enough: the other is made from it.
func (c *clonezilla) gpt() error {
	ss := c.table.sector
	first, err1 := c.small(c.disk + "-gpt-1st")
	second, err2 := c.small(c.disk + "-gpt-2nd")
	gdisk, _ := c.small(c.disk + "-gpt.gdisk")
	boot, _ := c.small(c.disk + "-mbr")
	for _, p := range [][]byte{first, gdisk} {
		if len(boot) < 512 {
			boot = p
		}
	}
	if len(boot) < 512 {
		return fmt.Errorf("the image has no first sector: neither %s-mbr nor %s-gpt-1st; %s", c.disk, c.disk,
			byClonezilla)
	}
	primary, ok := gptAt(first, ss, -1, ss)
	if !ok {
		var from gptCopy
		if from, ok = gptAt(gdisk, 512, 3*512, ss); ok {
			c.out.note(fmt.Sprintf("%s-gpt-1st %s; the partition table was taken from %s-gpt.gdisk.", c.disk,
				missing(err1), c.disk))
			primary = from
		}
	}
	last := c.table.size/ss - 1
	if !ok { // 33 sectors, of a version that kept the whole backup
		backup, whole := gptAt(second, int64(len(second))-ss, int64(len(second))-33*ss, ss)
		if !whole || backup.self() != last || backup.other() != 1 {
			return fmt.Errorf("its GPT is not whole: %s-gpt-1st %s, and neither %s-gpt.gdisk nor %s-gpt-2nd has all "+
				"of it; %s", c.disk, missing(err1), c.disk, c.disk, byClonezilla)
		}
		c.out.note(fmt.Sprintf("%s-gpt-1st %s; the partition table was made from its backup.", c.disk, missing(err1)))
		primary = backup.twin(2)
	}
	if primary.self() != 1 || primary.place() < 2 || primary.other() <= 1 || primary.other() > last {
		return fmt.Errorf("its GPT says that it lies at sectors %d and %d of a disk with %d", primary.self(),
			primary.other(), last+1)
	}
	sectors := (int64(len(primary.entries)) + ss - 1) / ss
	place := primary.other() - sectors
	if h := gptHeader(second[max(0, int64(len(second))-ss):]); h != nil && int64(le.Uint64(h[24:])) == primary.other() {
		place = int64(le.Uint64(h[72:]))
	}
	backup := primary.twin(place)
	for _, g := range []gptCopy{primary, backup} {
		if g.place() < 2 || g.place() > last-sectors+1 {
			return fmt.Errorf("its GPT has entries at sector %d of a disk with %d", g.place(), last+1)
		}
		if err := errors.Join(c.out.write(g.header, g.self()*ss), c.out.write(g.entries, g.place()*ss)); err != nil {
			return err
		}
	}
	if err := c.out.write(boot[:512], 0); err != nil {
		return err
	}
	if err2 != nil {
		c.out.note(fmt.Sprintf("%s-gpt-2nd %s; the backup of the partition table was made from the first.", c.disk,
			missing(err2)))
	}
	return nil
}

func missing(err error) string {
	if errors.Is(err, os.ErrNotExist) {
		return "is not in the image"
	}
	if err != nil {
		return "cannot be read"
	}
	return "is damaged"
}
