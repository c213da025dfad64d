package inventory

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Undriven lists controllers of disks and network cards that no driver of this kernel has claimed, each in one line
// with its numbers: what is missing in the boot directory when a machine seems to have no disk or no network.
func (r *Reader) Undriven() []string {
	var out []string
	// PCI classes: PCI Code and ID Assignment Specification, base classes 01 and 02.
	pci := map[string]string{"01": "storage controller", "02": "network card"}
	for _, name := range r.names("sys/bus/pci/devices") {
		at := "sys/bus/pci/devices/" + name
		class := strings.TrimPrefix(r.line(at, "class"), "0x")
		if len(class) == 6 && pci[class[:2]] != "" && !r.driven(at) {
			out = append(out, fmt.Sprintf("%s %s, PCI %s:%s", pci[class[:2]], name, r.hex(at, "vendor"),
				r.hex(at, "device")))
		}
	}
	// Virtio device ids: Virtual I/O Device specification 1.2, chapter 5.
	virtio := map[string]string{"0001": "network card", "0002": "disk", "0008": "SCSI host"}
	for _, name := range r.names("sys/bus/virtio/devices") {
		at := "sys/bus/virtio/devices/" + name
		if what := virtio[r.hex(at, "device")]; what != "" && !r.driven(at) {
			out = append(out, "virtio "+what+" "+name)
		}
	}
	return out
}

// driven tells whether a device has its link to a driver.
func (r *Reader) driven(at string) bool {
	_, err := os.Lstat(r.path(at, "driver"))
	return err == nil
}

// names lists a directory.
func (r *Reader) names(dir string) []string {
	entries, err := os.ReadDir(r.path(dir))
	if err != nil {
		return nil
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

// hex is a number of sysfs, "0x8086", as four digits.
func (r *Reader) hex(elem ...string) string {
	n, err := strconv.ParseUint(strings.TrimPrefix(r.line(elem...), "0x"), 16, 32)
	if err != nil {
		return "????"
	}
	return fmt.Sprintf("%04x", n)
}
