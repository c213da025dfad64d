package inventory

import (
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/internal/rx"
	"github.com/diskcast/diskcast/internal/session"
)

// notDisks are block devices that are no target for an operating system: made of memory or of other devices, or media
// drives.
var notDisks = rx.New(`^(loop|ram|zram|sr|fd|dm-|md|nbd|mtdblock|bcache|drbd|rbd|zd|nullb|ublkb|` +
	`mmcblk[0-9]+(boot|rpmb|gp))[0-9]*`)

// unfit are block devices of a machine that look like disks, and that no image of one can start from: they are named,
// and no rule means them.
var unfit = []struct {
	name func() *regexp.Regexp
	why  string
}{
	{rx.New(`^pmem[0-9]`), "persistent memory, which no firmware starts a disk's image from"},
	{rx.New(`^dasd[a-z]+$`), "a DASD, whose tracks and boot records are not those of a disk's image"},
	{rx.New(`^(scm[a-z]+|dcssblk[0-9]+)$`), "storage of a mainframe, which no disk's image starts from"},
}

// maxWord bounds what a disk says of itself, in bytes.
const maxWord = 256

// Disks lists the whole disks, by path. A drive without a medium (size 0) is not one.
func (r *Reader) Disks() []session.Disk {
	entries, err := os.ReadDir(r.path("sys/block"))
	if err != nil {
		return nil
	}
	var disks []session.Disk
	for _, e := range entries {
		name := e.Name()
		if notDisks().MatchString(name) || r.line("sys/block", name, "hidden") == "1" {
			continue
		}
		if d := r.Disk(name); d.Size > 0 {
			disks = append(disks, d)
		}
	}
	sort.Slice(disks, func(i, j int) bool { return disks[i].Path < disks[j].Path })
	return disks
}

// Disk describes one block device by its name in sysfs.
func (r *Reader) Disk(name string) session.Disk {
	at := filepath.Join("sys/block", name)
	d := session.Disk{
		// sysfs writes "/" of a device name as "!": cciss!c0d0.
		Path:       "/dev/" + strings.ReplaceAll(name, "!", "/"),
		Size:       r.number(at, "size") * 512, // sysfs counts 512-byte units whatever the sector size
		SectorSize: int(r.number(at, "queue/logical_block_size")),
		Model:      strings.Join(strings.Fields(r.first(at, "device/model", "device/name")), " "),
		Serial:     r.first(at, "serial", "device/serial"),
		WWN:        r.first(at, "wwid", "device/wwid"),
		Rotational: r.line(at, "queue/rotational") == "1",
		ReadOnly:   r.line(at, "ro") == "1",
		Removable:  r.line(at, "removable") == "1" || r.line(at, "device/type") == "SD",
	}
	if d.SectorSize == 0 {
		d.SectorSize = 512
	}
	if d.Serial == "" {
		d.Serial = r.vpdSerial(at)
	}
	if d.Serial == "" {
		d.Serial = r.usbSerial(name)
	}
	d.Bus, d.BusPath = r.place(name)
	d.HCTL = r.hctl(at)
	for _, u := range unfit {
		if u.name().MatchString(name) {
			d.Unfit = u.why
		}
	}
	for _, s := range []*string{&d.Model, &d.Serial, &d.WWN} {
		*s = plain.Words(*s, maxWord) // as the server keeps it
	}
	return d
}

// hctl is what the kernel numbers a SCSI device by.
func (r *Reader) hctl(at string) string {
	link, err := os.Readlink(r.path(at, "device"))
	if err != nil || !scsiRE().MatchString(filepath.Base(link)) {
		return ""
	}
	return filepath.Base(link)
}

// first returns the first of several attributes that is there and not empty.
func (r *Reader) first(at string, names ...string) string {
	for _, n := range names {
		if v := r.line(at, n); v != "" {
			return v
		}
	}
	return ""
}

// usbSerial is what the innermost USB device on the way to a disk calls itself: the kernel asks disks behind USB for no
// page of SCSI, since some stop at it.
func (r *Reader) usbSerial(name string) string {
	at, err := os.Readlink(r.path("sys/block", name))
	if err != nil {
		return ""
	}
	_, at, _ = strings.Cut(at, "devices/")
	parts, serial := strings.Split(filepath.Clean(at), "/"), ""
	for i, p := range parts {
		if i > 0 && usbRE().MatchString(p) {
			serial = r.line("sys/devices", filepath.Join(parts[:i]...), "serial")
		}
	}
	return serial
}

// vpdSerial reads the unit serial number page of a SCSI or ATA disk (SPC-4 7.8.18): four bytes of header
// with the page code 0x80 and a 16-bit length, then ASCII.
func (r *Reader) vpdSerial(at string) string {
	b, err := os.ReadFile(r.path(at, "device/vpd_pg80"))
	if err != nil || len(b) < 4 || b[1] != 0x80 {
		return ""
	}
	n := int(b[2])<<8 | int(b[3])
	b = b[4:]
	if n < len(b) {
		b = b[:n]
	}
	clean := strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return -1
		}
		return c
	}, string(b))
	return strings.TrimSpace(clean)
}
