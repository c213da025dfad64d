package grub

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/diskcast/diskcast/internal/rx"
)

// maxPartition is the highest partition number that a device may have.
const maxPartition = 128

// device writes a partition as GRUB names it; locate reads it back. The disk is hd0: the machine starts from it.
func (s *shell) device(n int) string {
	if n == 0 {
		return "hd0"
	}
	for _, m := range s.made() {
		if n < 0 && m.Device == n {
			return m.Names[0]
		}
	}
	return "hd0," + s.table() + strconv.Itoa(n)
}

// table is the word for the kind of partition table.
func (s *shell) table() string {
	switch {
	case s.options.Table != "":
		return s.options.Table
	case s.options.UEFI:
		return "gpt"
	}
	return "msdos"
}

// split cuts "(hd0,gpt2)/path" or "/path"; without a device it is on $root.
func (s *shell) split(name string) (dev, path string, err error) {
	dev, path = "", name
	if strings.HasPrefix(name, "(") {
		var is bool
		if dev, path, is = strings.Cut(name[1:], ")"); !is || dev == "" {
			return "", "", fmt.Errorf("%q %w", name, errRefused)
		}
		return dev, path, nil
	}
	if dev = s.get("root"); dev == "" {
		return "", "", fmt.Errorf("%q, with no $root, %w", name, errRefused)
	}
	return dev, path, nil
}

// locate finds what the name of a file means. The path of one begins with "/"; a list of blocks does not.
func (s *shell) locate(name string) (File, error) {
	dev, path, err := s.split(name)
	if err != nil {
		return File{}, err
	}
	n, err := s.partition(dev)
	if err != nil {
		return File{}, fmt.Errorf("%q: %w", name, err)
	}
	if !strings.HasPrefix(path, "/") && !isBlockList(path) {
		return File{}, fmt.Errorf("%q %w", name, errRefused)
	}
	return File{Device: n, Path: path}, nil
}

// locateTested finds what test means with a name. It is less strict: a name without "/" is in the root folder, a device
// alone is that folder.
func (s *shell) locateTested(name string) (File, error) {
	dev, path, err := s.split(name)
	if err != nil {
		return File{}, err
	}
	n, err := s.partition(dev)
	if err != nil {
		return File{}, fmt.Errorf("%q: %w", name, err)
	}
	path = strings.TrimRight(path, "/")
	switch {
	case !strings.Contains(path, "/"):
		path = "/" + path
	case path[0] != '/':
		return File{}, fmt.Errorf("%q %w", name, errRefused)
	}
	return File{Device: n, Path: path}, nil
}

// doubt says why a name's device is not sure: a search for $root did not find it here, and GRUB, which sees LVM, RAID
// and other disks, may. One without a device may have got none from a variable of any search.
func (s *shell) doubt(name string) string {
	switch {
	case strings.HasPrefix(name, "()"):
		for _, v := range slices.Sorted(maps.Keys(s.doubts)) {
			return s.doubts[v]
		}
	case !strings.HasPrefix(name, "("):
		return s.doubts["root"]
	}
	return ""
}

// Device returns the number of the partition that a name of GRUB's means, such as hd0,gpt2; 0 is the whole disk, and
// below zero is what GRUB makes of partitions. The error of a name that is not one of this disk's says why. Table is
// the disk's kind of partition table, empty when it is not known.
func Device(files Files, name, table string) (int, error) { return deviceOf(files.Made(), name, table) }

func deviceOf(made []Made, name, table string) (int, error) {
	for _, m := range made {
		if slices.Contains(m.Names, strings.Trim(name, "()")) {
			return m.Device, nil
		}
	}
	n, kind, err := cutDevice(name)
	if err == nil && kind != "" && table != "" && kind != table {
		return 0, fmt.Errorf("device %q %w: the disk's partition table is %s", name, errRefused, table)
	}
	return n, err
}

// partition is Device for this disk.
func (s *shell) partition(name string) (int, error) {
	return deviceOf(s.made(), name, s.options.Table)
}

// cutDevice reads GRUB's names of this disk's partitions: hd0,gpt2 hd0,msdos1 hd0,3. Only hd0 is this disk: it is what
// the machine starts from, and what a search here answers. Any other number or driver (hd1, ahci0) is another one.
// Partitions inside of partitions are not read here.
func cutDevice(name string) (n int, kind string, err error) {
	name = strings.Trim(name, "()")
	disk, part, given := strings.Cut(name, ",")
	switch {
	case !diskName().MatchString(disk):
		return 0, "", fmt.Errorf("device %q %w", name, errNoDevice)
	case disk != "hd0":
		return 0, "", fmt.Errorf("device %q %w", name, errOtherDisk)
	case !given:
		return 0, "", nil
	}
	number := strings.TrimLeftFunc(part, func(r rune) bool { return r < 128 && isLetter(byte(r)) })
	kind = part[:len(part)-len(number)]
	v, rest, err := leadingNumber(number)
	if err != nil || rest != "" || v < 1 || v > maxPartition || kind != "" && kind != "gpt" && kind != "msdos" {
		return 0, "", fmt.Errorf("device %q %w", name, errNoDevice)
	}
	return int(v), kind, nil
}

// absent tells whether a device is of a layer that no partition of this disk belongs to: GRUB has no such device
// either.
func (s *shell) absent(dev string) bool {
	for prefix, layer := range layers {
		if strings.HasPrefix(strings.Trim(dev, "()"), prefix) {
			return !s.files.Holds(layer)
		}
	}
	return false
}

// layers are how names of such devices begin.
var layers = map[string]Layer{
	"md/": MD, "mduuid/": MD, "lvm/": LVM, "lvmid/": LVM, "crypto": Crypto, "cryptouuid/": Crypto,
}

var (
	diskName  = rx.New(`^(hd|ata|ahci|scsi|usb|nvme)[0-9]+$`)
	blockList = rx.New(`^([0-9]+)\+([0-9]+)$`)
)

// isBlockList tells whether a path without "/" is a list of blocks, such as 512+1 or +1,8+2.
func isBlockList(path string) bool {
	return strings.Contains(path, "+") && strings.Trim(path, "0123456789+,") == ""
}

// read returns a file, or the sectors of a block list such as (hd0,gpt2)512+1.
func (s *shell) read(name string, max int64) ([]byte, error) {
	f, err := s.locate(name)
	if err != nil {
		return nil, err
	}
	if m := blockList().FindStringSubmatch(f.Path); m != nil {
		first, err1 := strconv.ParseInt(m[1], 10, 40)
		count, err2 := strconv.ParseInt(m[2], 10, 40)
		if err1 != nil || err2 != nil || count*512 > max {
			return nil, fmt.Errorf("%q is no block list of at most %d bytes", name, max)
		}
		return s.files.Blocks(f.Device, first, count)
	}
	return s.files.ReadFile(f.Device, f.Path, max)
}
