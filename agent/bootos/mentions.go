package bootos

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/diskcast/diskcast/agent/disk"
	"github.com/diskcast/diskcast/agent/imaging"
)

// naming are the files of a system that name file systems by their UUIDs, and maxNaming bounds one of them, in bytes.
var naming = []string{"/etc/fstab", "/etc/crypttab", "/boot/grub/grub.cfg", "/boot/grub2/grub.cfg", "/grub/grub.cfg",
	"/grub2/grub.cfg", "/boot/extlinux/extlinux.conf", "/extlinux/extlinux.conf", "/etc/kernel/cmdline"}

const maxNaming = 1 << 20

// Mentions lists the files on the disk that name the UUID, by partition. Nothing is mounted when it returns.
func (m *Machine) Mentions(r *imaging.Result, uuid string) (found []string, err error) {
	devices, err := Devices(r)
	if err != nil {
		return nil, err
	}
	disk.SetReadOnly(r.Disk.Path, true)
	defer disk.SetReadOnly(r.Disk.Path, false)
	v := Mount(m.Dir, devices)
	defer func() {
		if err := v.Unmount(); err != nil {
			m.log().Warn("the restored system is still mounted", "error", err)
		}
	}()
	return v.Mentions(uuid), nil
}

// Mentions lists the files that name the UUID.
func (v *Volumes) Mentions(uuid string) (found []string) {
	for _, dev := range v.Numbers() {
		for _, root := range v.roots(dev) {
			for _, name := range naming {
				text, err := v.ReadFile(dev, root+name, maxNaming)
				if err == nil && bytes.Contains(bytes.ToLower(text), []byte(strings.ToLower(uuid))) {
					found = append(found, fmt.Sprintf("%s of partition %d", root+name, dev))
				}
			}
		}
	}
	return found
}

// Mentions knows of none: nothing of another machine's is mounted.
func (Stay) Mentions(*imaging.Result, string) ([]string, error) {
	return nil, errStay
}
