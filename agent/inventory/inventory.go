// Package inventory finds out what machine this is: what DMI, firmware, /proc and /sys say of it, its disks and its
// NICs.
//
// Everything is read from files below a root directory, so that a test is a directory. What cannot be read is left
// empty: a machine with a strange sysfs is still to be imaged.
package inventory

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/diskcast/diskcast/internal/session"
)

// Reader reads the inventory below Root.
type Reader struct {
	Root string // "/" on a node
	// BootNIC is the name of the interface that the node booted from, once it is known.
	BootNIC string
	// Above is the interface that has its address, where that is a bond or VLAN on it.
	Above string
	// Addrs returns the addresses of an interface in CIDR notation; nil leaves them out.
	Addrs func(nic string) []string
}

// Read collects everything.
func (r *Reader) Read() session.Inventory {
	inv := r.Glance()
	inv.Hardware = r.Hardware()
	inv.BoundHardware()
	return inv
}

// Glance is Read without the devices of all buses, which are nine tenths of the work.
func (r *Reader) Glance() session.Inventory {
	const dmi = "sys/class/dmi/id/"
	inv := session.Inventory{
		UUID:     strings.ToLower(r.dmi(dmi + "product_uuid")),
		Serial:   r.dmi(dmi + "product_serial"),
		Vendor:   r.dmi(dmi + "sys_vendor"),
		Product:  r.dmi(dmi + "product_name"),
		Firmware: session.BIOS,
		Kernel:   r.line("proc/sys/kernel/osrelease"),
		CPUs:     runtime.NumCPU(),
		Memory:   r.Memory(),
		Lockdown: r.lockdown(),
		Disks:    r.Disks(),
		NICs:     r.NICs(),
		Undriven: r.Undriven(),
	}
	if r.exists("sys/firmware/efi") {
		inv.Firmware = session.UEFI
		inv.SecureBoot = r.secureBoot()
	}
	return inv
}

// path joins a name below the root.
func (r *Reader) path(elem ...string) string {
	return filepath.Join(append([]string{r.Root}, elem...)...)
}

func (r *Reader) exists(name string) bool {
	_, err := os.Stat(r.path(name))
	return err == nil
}

// line reads a one-line file; empty when it is not there.
func (r *Reader) line(elem ...string) string {
	b, err := os.ReadFile(r.path(elem...))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(strings.Trim(string(b), "\x00"))
}

func (r *Reader) number(elem ...string) int64 {
	n, err := strconv.ParseInt(r.line(elem...), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// dmi is a field of DMI. A placeholder as an identity is worse than none, because every board of a batch carries the
// same.
func (r *Reader) dmi(name string) string {
	v := r.line(name)
	if session.Placeholder(v) {
		return ""
	}
	return v
}

// Memory is MemTotal of /proc/meminfo in bytes.
func (r *Reader) Memory() int64 {
	for line := range strings.Lines(r.line("proc/meminfo")) {
		if rest, ok := strings.CutPrefix(line, "MemTotal:"); ok {
			kb, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return kb << 10
		}
	}
	return 0
}

// secureBoot reads the EFI variable: four bytes of attributes, then the value.
func (r *Reader) secureBoot() bool {
	b, err := os.ReadFile(r.path("sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"))
	return err == nil && len(b) >= 5 && b[4] == 1
}

// lockdown is the word in brackets of "none [integrity] confidentiality".
func (r *Reader) lockdown() string {
	_, rest, ok := strings.Cut(r.line("sys/kernel/security/lockdown"), "[")
	if !ok {
		return ""
	}
	word, _, _ := strings.Cut(rest, "]")
	return word
}
