package grub

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// maxPartition is the highest partition number that a device may have.
const maxPartition = 128

// device writes a partition as GRUB names it; locate reads it back. The disk is hd0: the machine starts from it.
func (s *shell) device(n int) string {
	if n == 0 {
		return "hd0"
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
		if dev, path, is = strings.Cut(name[1:], ")"); !is {
			return "", "", fmt.Errorf("%q is no file name", name)
		}
	}
	if dev == "" {
		dev = s.get("root")
	}
	return dev, path, nil
}

// locate finds what a name means.
func (s *shell) locate(name string) (File, error) {
	dev, path, err := s.split(name)
	if err != nil {
		return File{}, err
	}
	n, err := parseDevice(dev)
	if err != nil {
		return File{}, fmt.Errorf("%q: %w", name, err)
	}
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	return File{Device: n, Path: path}, nil
}

// doubt says why a name's device is not sure: a search did not find it here, and GRUB, which sees LVM, RAID and other disks, may.
func (s *shell) doubt(name string) string {
	dev, _, err := s.split(name)
	if err != nil {
		return ""
	}
	for v, what := range s.doubts {
		if value := s.get(v); value == dev || value == "" && strings.HasPrefix(name, "()") {
			return fmt.Sprintf("its configuration searches for %s, which is on no file system that can be read here", what)
		}
	}
	return ""
}

// Device returns the number of the partition that a name of GRUB's means, such as hd0,gpt2; 0 is the whole disk. The error of a name that is not
// one of this disk's says why.
func Device(name string) (int, error) { return parseDevice(name) }

// parseDevice reads GRUB's names of this disk's partitions: hd0,gpt2 hd0,msdos1 hd0,3, with sub-partitions cut off. Only hd0 is this
// disk: it is what the machine starts from, and what a search here answers. Any other number or driver (hd1, ahci0) is another one.
func parseDevice(name string) (int, error) {
	name = strings.Trim(name, "()")
	disk, part, given := strings.Cut(name, ",")
	switch {
	case !diskName.MatchString(disk):
		return 0, fmt.Errorf("device %q %w", name, errNoDevice)
	case strings.TrimRight(disk, "0") != "hd":
		return 0, fmt.Errorf("device %q %w", name, errOtherDisk)
	}
	if !given {
		return 0, nil
	}
	part, _, _ = strings.Cut(part, ",")
	for _, kind := range []string{"gpt", "msdos", "apple", "bsd", "part"} {
		part = strings.TrimPrefix(part, kind)
	}
	n, err := strconv.Atoi(part)
	if err != nil || n < 1 || n > maxPartition {
		return 0, fmt.Errorf("device %q %w", name, errNoDevice)
	}
	return n, nil
}

// absent tells whether a device is of a layer that no partition of this disk belongs to: GRUB has no such device either.
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
	diskName  = regexp.MustCompile(`^(hd|ata|ahci|scsi|usb|nvme)[0-9]+$`)
	blockList = regexp.MustCompile(`^/?([0-9]+)\+([0-9]+)$`)
)

// read returns a file, or the sectors of a block list such as (hd0,gpt2)512+1.
func (s *shell) read(name string, max int64) ([]byte, error) {
	f, err := s.locate(name)
	if err != nil {
		return nil, err
	}
	if m := blockList.FindStringSubmatch(f.Path); m != nil {
		first, err1 := strconv.ParseInt(m[1], 10, 40)
		count, err2 := strconv.ParseInt(m[2], 10, 40)
		if err1 != nil || err2 != nil || count*512 > max {
			return nil, fmt.Errorf("%q is no block list of at most %d bytes", name, max)
		}
		return s.files.Blocks(f.Device, first, count)
	}
	return s.files.ReadFile(f.Device, f.Path, max)
}
