package session

import (
	"encoding/json"
	"slices"
	"strings"
)

// Hardware is what a machine asks the kernel for: mkimage --for takes the drivers and the firmware by it.
type Hardware struct {
	Devices []Device `json:"devices"`
	// Firmware are the files below /lib/firmware that drivers asked for, as far as the kernel's log says it.
	Firmware []string `json:"firmware,omitempty"`
	// More is how many devices are left out.
	More int `json:"more,omitempty"`
}

// Device is a device as its bus names it to find a driver. Devices with the same words are listed once.
type Device struct {
	Alias  string `json:"alias,omitempty"`  // its modalias: pci:v00001AF4d00001000sv...; some buses have none
	Driver string `json:"driver,omitempty"` // that has taken it
	Module string `json:"module,omitempty"` // of the driver; empty where the kernel has it built in
}

// Bounds of a machine's hardware, for who tells it and for who is told.
const (
	MaxHardware     = 12 << 10 // bytes of JSON
	MaxHardwareWord = 256      // bytes of a string; an alias that is cut would match another driver
	maxMore         = 1 << 16
)

// Controls reports whether the device is a controller of disks or a network card, without a driver of which a node has
// no disk or no network.
func (d *Device) Controls() bool {
	if class, ok := d.pciClass(); ok {
		// PCI Code and ID Assignment Specification, base classes 01 and 02.
		return strings.HasPrefix(class, "01") || strings.HasPrefix(class, "02")
	}
	// Virtual I/O Device specification 1.2, chapter 5: network card, block device, SCSI host.
	for _, id := range []string{"1", "2", "8"} {
		if strings.HasPrefix(d.Alias, "virtio:d0000000"+id+"v") {
			return true
		}
	}
	return false
}

// pciClass is base class and subclass of a PCI device, "0200", from the end of its alias: bc02sc00i00.
func (d *Device) pciClass() (string, bool) {
	at := strings.LastIndex(d.Alias, "bc")
	if !strings.HasPrefix(d.Alias, "pci:v") || at < 0 || len(d.Alias) < at+6 || d.Alias[at+4:at+6] != "sc" ||
		len(d.Alias) < at+8 {
		return "", false
	}
	return d.Alias[at+2:at+4] + d.Alias[at+6:at+8], true
}

// rank orders devices by what a node needs most, for a list that is too long.
func (d *Device) rank() int {
	class, pci := d.pciClass()
	switch {
	case d.Controls():
		return 0
	case pci && (strings.HasPrefix(class, "0c") || class == "0805"): // USB and other buses; SD cards
		return 1
	case pci:
		return 3
	case strings.HasPrefix(d.Alias, "acpi:") || strings.HasPrefix(d.Alias, "platform:"):
		return 4
	}
	return 2
}

// BoundHardware puts the devices in their order, once each, and leaves of them what may be told. What cannot be an
// alias or a name is left out and counted: a cut one would stand for another driver.
func (inv *Inventory) BoundHardware() {
	h := inv.Hardware
	if h == nil {
		return
	}
	bounded := Hardware{More: min(max(h.More, 0), maxMore)}
	devices := slices.Clone(h.Devices)
	slices.SortFunc(devices, func(a, b Device) int {
		if r := a.rank() - b.rank(); r != 0 {
			return r
		}
		return strings.Compare(a.words(), b.words())
	})
	room := MaxHardware - 64 // for the names of the fields
	for _, f := range slices.Compact(slices.Sorted(slices.Values(h.Firmware))) {
		if !hardwareWord(f) || f == "" {
			continue
		}
		if room -= size(f) + 1; room < MaxHardware/2 { // the devices matter more
			break
		}
		bounded.Firmware = append(bounded.Firmware, f)
	}
	full := false
	for _, d := range slices.Compact(devices) {
		if d == (Device{}) {
			continue
		}
		if !full && hardwareWord(d.Alias) && hardwareWord(d.Driver) && hardwareWord(d.Module) {
			room -= size(d) + 1
			if full = room < 0; !full {
				bounded.Devices = append(bounded.Devices, d)
				continue
			}
		}
		bounded.More = min(bounded.More+1, maxMore)
	}
	inv.Hardware = &bounded
}

func (d *Device) words() string { return d.Alias + "\x00" + d.Driver + "\x00" + d.Module }

func size(v any) int {
	b, err := json.Marshal(v)
	if err != nil {
		return MaxHardware
	}
	return len(b)
}

// hardwareWord reports whether a string can be an alias, or the name of a driver, a module or a file: short, and
// printable ASCII.
func hardwareWord(s string) bool {
	return len(s) <= MaxHardwareWord && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}
