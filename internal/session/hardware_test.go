package session

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBoundHardware(t *testing.T) {
	nic := Device{Alias: "pci:v00008086d0000100Esv00001AF4sd00001100bc02sc00i00", Driver: "e1000", Module: "e1000"}
	disk := Device{Alias: "virtio:d00000002v00001AF4", Driver: "virtio_blk"}
	usb := Device{Alias: "pci:v00008086d00001111sv00001AF4sd00001100bc0Csc03i30"}
	usb.Alias = strings.ToLower(usb.Alias)
	bridge := Device{Alias: "pci:v00008086d00001237sv00001AF4sd00001100bc06sc00i00"}
	phy := Device{Driver: "RTL8211F Gigabit Ethernet", Module: "realtek"}
	inv := Inventory{Hardware: &Hardware{More: -5, Firmware: []string{"b.bin", "a.bin", "b.bin", "", "x\x1b.bin"},
		Devices: []Device{bridge, {}, phy, usb, disk, nic, nic, {Alias: "a\nb"}, {Alias: strings.Repeat("x", 257)}}}}
	inv.BoundHardware()
	want := &Hardware{Devices: []Device{nic, disk, usb, phy, bridge}, Firmware: []string{"a.bin", "b.bin"}, More: 2}
	if d := cmp.Diff(want, inv.Hardware); d != "" {
		t.Error(d)
	}
	(&Inventory{}).BoundHardware() // an older agent says nothing
}

// TestBoundHardwareSize: a list that is too long keeps what a node needs most, and counts the rest.
func TestBoundHardwareSize(t *testing.T) {
	h := &Hardware{}
	for i := range 2000 {
		h.Devices = append(h.Devices, Device{Alias: fmt.Sprintf("acpi:PNP%04d:", i)})
		h.Firmware = append(h.Firmware, fmt.Sprintf("vendor/card-%04d.bin", i))
	}
	h.Devices = append(h.Devices, Device{Alias: "pci:v00008086d0000100Esv00001AF4sd00001100bc01sc06i01"})
	inv := Inventory{Hardware: h}
	inv.BoundHardware()
	text, err := json.Marshal(inv.Hardware)
	if err != nil || len(text) > MaxHardware {
		t.Errorf("%d bytes, %v", len(text), err)
	}
	got := inv.Hardware
	if len(got.Devices)+got.More != 2001 || len(got.Firmware) < 100 || !got.Devices[0].Controls() {
		t.Errorf("%d devices and %d more, %d files of firmware, the first %v", len(got.Devices), got.More,
			len(got.Firmware), got.Devices[0])
	}
	inv.BoundHardware()
	if inv.Hardware.More != got.More || len(inv.Hardware.Devices) != len(got.Devices) {
		t.Error("bounded twice, it is another list")
	}
}
