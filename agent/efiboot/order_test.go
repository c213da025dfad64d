package efiboot

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/agent/efivars"
)

// entries as firmware makes them, by device path nodes alone.
var kinds = map[string]*efivars.Option{
	"pxe4": {Attributes: efivars.Active,
		Path: efivars.AppendNode(efivars.AppendNode(nil, efivars.NodeMAC, make([]byte, 33)), efivars.NodeIPv4,
			make([]byte, 23))},
	"pxe6":     {Attributes: efivars.Active, Path: efivars.AppendNode(nil, efivars.NodeIPv6, make([]byte, 56))},
	"http":     {Attributes: efivars.Active, Path: efivars.AppendNode(nil, efivars.NodeURI, nil)},
	"lan-bios": {Attributes: efivars.Active, Path: efivars.AppendNode(nil, efivars.NodeBBS, []byte{0x80, 0, 0, 0, 0})},
	"usb":      {Attributes: efivars.Active, Path: efivars.AppendNode(nil, efivars.NodeUSB, []byte{0, 0})},
	"dvd": {Attributes: efivars.Active, Description: "UEFI HL-DT-ST DVDRAM GH24 DVD",
		Path: efivars.AppendNode(nil, 0x0312, make([]byte, 6))},
	"sata": {Attributes: efivars.Active, Description: "UEFI Samsung SSD 860",
		Path: efivars.AppendNode(nil, 0x0312, make([]byte, 6))},
	"other-os": {Attributes: efivars.Active, Description: "Windows Boot Manager",
		Path: efivars.DiskPath(&efivars.Partition{Number: 1, GPT: true}, "EFI/Microsoft/Boot/bootmgfw.efi")},
	"usb-os": {Attributes: efivars.Active,
		Path: append(efivars.AppendNode(nil, efivars.NodeUSB, []byte{0, 0}),
			efivars.DiskPath(&efivars.Partition{Number: 1, GPT: true}, "EFI/BOOT/BOOTX64.EFI")...)},
	"shell": {Attributes: efivars.Active,
		Path: efivars.AppendNode(efivars.AppendNode(nil, efivars.NodeFV, make([]byte, 16)), efivars.NodeFVFile,
			make([]byte, 16))},
	"setup": {Attributes: efivars.Active | efivars.CategoryApp | 8,
		Path: efivars.AppendNode(nil, efivars.NodeFVFile, make([]byte, 16))},
	"off":      {Attributes: 0, Path: efivars.AppendNode(nil, 0x0312, make([]byte, 6))},
	"off-pxe":  {Attributes: 0, Path: efivars.AppendNode(nil, efivars.NodeIPv4, make([]byte, 23))},
	"gone":     nil,
	"tp-lan":   thinkPad("PCI LAN", "78a84aaf2b2afc4ea79cf5cc8f3d3803"),
	"tp-nvme":  thinkPad("NVMe0", "001c199932d94c4eae9aa0b6e98eb8a400"),
	"tp-hdd":   thinkPad("ATA HDD0", "91af625956449f41a7b91f4f892ab0f600"),
	"tp-usb":   thinkPad("USB HDD", "33e821aaaf33bc4789bd419f88c50803"),
	"tp-new":   thinkPad("ON-PREMISE", "00112233445566778899aabbccddeeff"),
	"tp-short": thinkPad("cut off", "78a8"),
	"vendor": {Attributes: efivars.Active, Description: "Slot 1",
		Path: efivars.AppendNode(nil, efivars.NodeVendor, make([]byte, 32))},
	"no-path":  {Attributes: efivars.Active, Description: "Onboard"},
	"bbs-odd":  {Attributes: efivars.Active, Path: efivars.AppendNode(nil, efivars.NodeBBS, []byte{0xff, 0, 0, 0, 0})},
	"bbs-disk": {Attributes: efivars.Active, Path: efivars.AppendNode(nil, efivars.NodeBBS, []byte{2, 0, 0, 0, 0})},
	"bt":       {Attributes: efivars.Active, Path: efivars.AppendNode(nil, 0x031b, make([]byte, 6))},
	"virtio": ovmf("010000001600550045004600490020004d00690073006300200044006500760069006300650000000201" +
		"0c00d041030a000000000101060000017fff04004eac0881119f594d850ee21a522c59b2"),
	"virtio-2": ovmf("010000001600550045004600490020004d006900730063002000440065007600690063006500200032000000" +
		"02010c00d041030a000000000101060000027fff04004eac0881119f594d850ee21a522c59b2"),
	"misc-usb": {Attributes: efivars.Active, Description: "UEFI Misc Device",
		Path: efivars.AppendNode(efivars.AppendNode(nil, 0x0101, make([]byte, 2)), 0x031b, make([]byte, 6))},
	"by-name": {Attributes: efivars.Active, Description: "UEFI: IPv4 Realtek",
		Path: efivars.AppendNode(nil, 0x0101, make([]byte, 2))},
	"fv-net": {Attributes: efivars.Active, Description: "Network Boot",
		Path: efivars.AppendNode(nil, efivars.NodeFVFile, make([]byte, 16))},
	"usb-lan": {Attributes: efivars.Active, Description: "USB LAN",
		Path: efivars.AppendNode(nil, efivars.NodeUSB, []byte{0, 0})},
	"lan-os": {Attributes: efivars.Active, Description: "LAN appliance",
		Path: efivars.DiskPath(&efivars.Partition{Number: 1, GPT: true}, "EFI/BOOT/BOOTX64.EFI")},
}

// ovmf is an entry as Debian 12's OVMF (2022.11) wrote it into its memory for a virtio-blk disk.
func ovmf(dump string) *efivars.Option {
	b, err := hex.DecodeString(dump)
	if err != nil {
		panic(err)
	}
	o, err := efivars.ParseOption(b)
	if err != nil {
		panic(err)
	}
	return o
}

// thinkPad is an entry for a kind of device, with the bytes that efibootmgr prints.
func thinkPad(description, kind string) *efivars.Option {
	b, err := hex.DecodeString(kind)
	if err != nil {
		panic(err)
	}
	return &efivars.Option{Attributes: efivars.Active, Description: description,
		Path: efivars.AppendNode(nil, efivars.NodeVendor, append([]byte(lenovo), b...))}
}

func TestPlace(t *testing.T) {
	for _, c := range []struct {
		name        string
		order, want []string
	}{
		{"an empty order", nil, []string{"NEW"}},
		{"network first, then other systems", []string{"pxe4", "pxe6", "other-os", "sata"},
			[]string{"pxe4", "pxe6", "NEW", "other-os", "sata"}},
		{"the firmware's setup before the network", []string{"setup", "pxe4", "sata"},
			[]string{"setup", "pxe4", "NEW", "sata"}},
		{"a disk first stays first", []string{"sata", "pxe4"}, []string{"NEW", "sata", "pxe4"}},
		{"another system first", []string{"other-os", "pxe4", "http"}, []string{"NEW", "other-os", "pxe4", "http"}},
		{"a USB slot before the disk keeps its place", []string{"usb", "sata", "pxe4"},
			[]string{"usb", "NEW", "sata", "pxe4"}},
		{"a system on a USB disk is a system", []string{"usb-os", "pxe4"}, []string{"NEW", "usb-os", "pxe4"}},
		{"a CD between two networks", []string{"pxe4", "dvd", "pxe6", "sata"},
			[]string{"pxe4", "dvd", "pxe6", "NEW", "sata"}},
		{"a CD before the network", []string{"dvd", "pxe4", "sata"}, []string{"dvd", "pxe4", "NEW", "sata"}},
		{"the network of a second card behind a disk", []string{"pxe4", "sata", "pxe6"},
			[]string{"pxe4", "NEW", "sata", "pxe6"}},
		{"what is switched off or gone decides nothing", []string{"off", "gone", "pxe4", "sata"},
			[]string{"off", "gone", "pxe4", "NEW", "sata"}},
		{"a network that is switched off is none", []string{"off-pxe", "sata"}, []string{"off-pxe", "NEW", "sata"}},
		{"the shell behind the network", []string{"pxe4", "shell"}, []string{"pxe4", "NEW", "shell"}},
		{"the shell alone", []string{"setup", "shell"}, []string{"setup", "NEW", "shell"}},
		{"the network alone", []string{"http"}, []string{"http", "NEW"}},
		{"a network card that a BIOS would start", []string{"lan-bios", "sata"}, []string{"lan-bios", "NEW", "sata"}},
		{"moved from behind another system", []string{"pxe4", "other-os", "NEW"}, []string{"pxe4", "NEW", "other-os"}},
		{"named twice, the first time before the network", []string{"NEW", "pxe4", "NEW", "sata"},
			[]string{"NEW", "pxe4", "sata"}},
		{"named twice behind the network", []string{"pxe4", "NEW", "sata", "NEW"}, []string{"pxe4", "NEW", "sata"}},
		{"its own disk was first and the network behind it", []string{"NEW", "pxe4"}, []string{"NEW", "pxe4"}},
		{"its own disk was first, another disk behind the network", []string{"NEW", "pxe4", "sata"},
			[]string{"NEW", "pxe4", "sata"}},
		{"its own disk was first of the disks, behind a USB slot", []string{"usb", "NEW", "pxe4"},
			[]string{"usb", "NEW", "pxe4"}},
		{"its own disk between two networks", []string{"pxe4", "NEW", "pxe6"}, []string{"pxe4", "NEW", "pxe6"}},
		{"its own disk behind the network and a CD", []string{"pxe4", "dvd", "NEW", "sata"},
			[]string{"pxe4", "dvd", "NEW", "sata"}},
		{"its own disk before what may be the network", []string{"NEW", "vendor", "sata"},
			[]string{"NEW", "vendor", "sata"}},
		{"its own disk behind the network and another disk", []string{"pxe4", "sata", "pxe6", "NEW"},
			[]string{"pxe4", "NEW", "sata", "pxe6"}},
		{"another disk first, its own behind the network", []string{"sata", "pxe4", "NEW"},
			[]string{"NEW", "sata", "pxe4"}},
		{"the shell first, its own disk behind it", []string{"shell", "NEW"}, []string{"NEW", "shell"}},
		{"a ThinkPad with the network first", []string{"tp-lan", "tp-nvme", "tp-hdd"},
			[]string{"tp-lan", "NEW", "tp-nvme", "tp-hdd"}},
		{"a ThinkPad with a disk first", []string{"tp-usb", "tp-nvme", "tp-lan"},
			[]string{"tp-usb", "NEW", "tp-nvme", "tp-lan"}},
		{"a ThinkPad's newer kind may be the network", []string{"tp-new", "tp-nvme"},
			[]string{"tp-new", "NEW", "tp-nvme"}},
		{"a ThinkPad's kind that is cut off", []string{"tp-short", "sata"}, []string{"tp-short", "NEW", "sata"}},
		{"another vendor's node may be the network", []string{"vendor", "sata", "pxe4"},
			[]string{"vendor", "NEW", "sata", "pxe4"}},
		{"nothing but a name", []string{"no-path", "sata"}, []string{"no-path", "NEW", "sata"}},
		{"what a BIOS does not name", []string{"bbs-odd", "bbs-disk"}, []string{"bbs-odd", "NEW", "bbs-disk"}},
		{"a BIOS disk first", []string{"bbs-disk", "lan-bios"}, []string{"NEW", "bbs-disk", "lan-bios"}},
		{"Bluetooth is no disk", []string{"bt", "sata"}, []string{"bt", "NEW", "sata"}},
		{"a virtio disk as EDK II names it", []string{"virtio", "pxe4"}, []string{"NEW", "virtio", "pxe4"}},
		{"a second one", []string{"pxe4", "virtio-2", "virtio"}, []string{"pxe4", "NEW", "virtio-2", "virtio"}},
		{"that name with a node of another bus may be the network", []string{"misc-usb", "sata"},
			[]string{"misc-usb", "NEW", "sata"}},
		{"what cannot be told, before the network", []string{"vendor", "pxe4", "sata"},
			[]string{"vendor", "pxe4", "NEW", "sata"}},
		{"what cannot be told, behind a disk", []string{"sata", "vendor"}, []string{"NEW", "sata", "vendor"}},
		{"the network by its name alone", []string{"by-name", "sata"}, []string{"by-name", "NEW", "sata"}},
		{"a program in the firmware that starts the network", []string{"fv-net", "sata"},
			[]string{"fv-net", "NEW", "sata"}},
		{"a USB network card by its name", []string{"usb-lan", "sata"}, []string{"usb-lan", "NEW", "sata"}},
		{"a system on a partition is a system whatever its name", []string{"lan-os", "pxe4"},
			[]string{"NEW", "lan-os", "pxe4"}},
		{"right already", []string{"pxe4", "NEW", "sata"}, []string{"pxe4", "NEW", "sata"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var names []string
			id := func(name string) uint16 {
				if i := slices.Index(names, name); i >= 0 {
					return uint16(i)
				}
				names = append(names, name)
				return uint16(len(names) - 1)
			}
			var order []uint16
			for _, n := range c.order {
				order = append(order, id(n))
			}
			got := []string{}
			for _, n := range place(order, id("NEW"), nil, func(n uint16) class {
				o, ok := kinds[names[n]]
				if !ok && names[n] != "NEW" {
					t.Fatalf("no kind %s", names[n])
				}
				return classOf(o)
			}) {
				got = append(got, names[n])
			}
			if fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("%v becomes %v, want %v", c.order, got, c.want)
			}
		})
	}
}

// TestPlaceBehind is the place of a disk of a machine that tells which entry it was started by.
func TestPlaceBehind(t *testing.T) {
	const four = "pxe4 pxe6 http lan-bios"
	for _, c := range []struct{ name, order, came, want string }{
		{"before the network's other ways", four + " sata", "pxe4", "pxe4 NEW pxe6 http lan-bios sata"},
		{"behind the way that worked", four + " sata", "http", "pxe4 pxe6 http NEW lan-bios sata"},
		{"an entry of an earlier restore comes up", four + " NEW sata", "pxe4", "pxe4 NEW pxe6 http lan-bios sata"},
		{"right already", "pxe4 NEW pxe6 sata", "pxe4", "pxe4 NEW pxe6 sata"},
		{"nothing behind the network", "setup pxe4 pxe6", "pxe4", "setup pxe4 NEW pxe6"},
		{"what is switched off or gone does not count", "pxe4 off gone pxe6 sata", "pxe4",
			"pxe4 NEW off gone pxe6 sata"},
		{"a CD behind the network", "pxe4 pxe6 dvd sata", "pxe4", "pxe4 NEW pxe6 dvd sata"},
		{"a CD that somebody put before its disk", "pxe4 dvd NEW sata", "pxe4", "pxe4 dvd NEW sata"},
		{"what cannot be told keeps its place", "pxe4 vendor pxe6 sata", "pxe4", "pxe4 vendor pxe6 NEW sata"},
		{"another disk before the network", "sata pxe4 pxe6", "pxe4", "NEW sata pxe4 pxe6"},
		{"it came by a USB stick", "usb pxe4 pxe6 sata", "usb", "usb pxe4 pxe6 NEW sata"},
		{"it came by an entry that is not in the order", "pxe4 pxe6 sata", "http", "pxe4 pxe6 NEW sata"},
		{"by BootNext it came from behind the disk", "sata pxe4", "pxe4", "NEW sata pxe4"},
	} {
		t.Run(c.name, func(t *testing.T) {
			names := []string{"NEW"}
			id := func(name string) uint16 {
				if !slices.Contains(names, name) {
					names = append(names, name)
				}
				return uint16(slices.Index(names, name))
			}
			var order []uint16
			for _, n := range strings.Fields(c.order) {
				order = append(order, id(n))
			}
			came := id(c.came)
			var got []string
			for _, n := range place(order, 0, &came, func(n uint16) class { return classOf(kinds[names[n]]) }) {
				got = append(got, names[n])
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("%s by %s becomes %v, want %s", c.order, c.came, got, c.want)
			}
		})
	}
}

// FuzzPlace takes any bytes for a variable and a boot order.
func FuzzPlace(f *testing.F) {
	f.Add((&efivars.Option{Attributes: efivars.Active, Description: "PXE", Path: kinds["pxe4"].Path,
		Optional: []byte{1}}).Bytes(), []byte{1})
	f.Add([]byte{1, 0, 0, 0, 4, 0, 0, 0, 4, 1, 0, 0}, []byte{0, 0, 1, 0})
	f.Fuzz(func(t *testing.T, b, order []byte) {
		o, err := efivars.ParseOption(b)
		if err != nil {
			return
		}
		c := classOf(o)
		if again, err := efivars.ParseOption(o.Bytes()); err == nil && classOf(again) != c {
			t.Errorf("class %d becomes %d", c, classOf(again))
		}
		ids, _, err := efivars.ParseOrder(order)
		if err != nil {
			return
		}
		count := 0
		came := uint16(len(order))
		got := place(ids, 7, &came, func(uint16) class { return c })
		for _, id := range got {
			if id == 7 {
				count++
			}
		}
		if count != 1 {
			t.Errorf("%x has the entry %d times", got, count)
		}
	})
}
