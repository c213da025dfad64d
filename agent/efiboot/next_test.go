package efiboot

import (
	"strings"
	"testing"

	"github.com/diskcast/diskcast/agent/efivars"
	"github.com/diskcast/diskcast/internal/session"
)

// TestNext is what firmware comes to when the network starts nothing, or why that is not said.
func TestNext(t *testing.T) {
	const shim, boot = "EFI/debian/shimx64.efi", "EFI/BOOT/BOOTX64.EFI"
	var (
		one   = makeDisk(t, "gpt", espGUID, map[string]string{shim: "s", boot: "b", "EFI/other/grubx64.efi": "o"})
		two   = makeDisk(t, "gpt", otherGUID, map[string]string{shim: "s", boot: "b"})
		bare  = makeDisk(t, "gpt", otherGUID, map[string]string{shim: "s"})
		entry = func(guid, file string) []byte { return to(t, "x", guid, 2048, file) }
		data  = append(entry(espGUID, shim), 1)
	)
	for _, c := range []struct {
		name    string
		disks   []session.Disk
		entries [][]byte // in the boot order
		want    string   // the file, with the beginning of the partition; after "!" a part of why it is left
	}{
		{"the network first, then a loader", []session.Disk{one}, [][]byte{pxe(), entry(espGUID, shim)},
			espGUID[:8] + " " + shim},
		{"of two loaders the first entry's", []session.Disk{one},
			[][]byte{pxe(), entry(espGUID, "EFI/other/grubx64.efi"), entry(espGUID, shim)},
			espGUID[:8] + " EFI/other/grubx64.efi"},
		{"a file that is gone, and a partition that is gone, are passed over", []session.Disk{one},
			[][]byte{entry(espGUID, "EFI/gone/grubx64.efi"), entry(goneGUID, shim), entry(espGUID, shim)},
			espGUID[:8] + " " + shim},
		{"the second disk's entry", []session.Disk{one, two}, [][]byte{entry(otherGUID, shim)},
			otherGUID[:8] + " " + shim},
		{"a partition without a file: its fallback", []session.Disk{one, two}, [][]byte{entry(otherGUID, "")},
			otherGUID[:8] + " " + boot},
		{"no entry, one fallback", []session.Disk{one, bare}, nil, espGUID[:8] + " " + boot},
		{"no entry, two fallbacks", []session.Disk{one, two}, nil, "!any of 2 partitions"},
		{"no entry, no fallback", []session.Disk{bare}, nil, "!no disk has a fallback"},
		{"the same partition on two disks", []session.Disk{one, one}, [][]byte{entry(espGUID, shim)},
			"!two disks have"},
		{"data for the program", []session.Disk{one}, [][]byte{data}, "!has data"},
		{"a partition of no disk alone", []session.Disk{bare}, [][]byte{entry(goneGUID, shim)}, "!no disk has"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := inOrder(c.entries)
			got := (&Machine{Root: uefi(t, 64), Disks: func() []session.Disk { return c.disks }, Vars: n}).Next()
			if part, left := strings.CutPrefix(c.want, "!"); left {
				if !strings.Contains(got.Firmware, part) || got.File != "" {
					t.Errorf("%+v, want it left to the firmware: %s", got, part)
				}
			} else if got.Firmware != "" || got.Partition[:8]+" "+got.File != c.want {
				t.Errorf("%+v, want %s", got, c.want)
			}
			if len(n.writes) > 0 {
				t.Errorf("it wrote %v", n.writes)
			}
		})
	}
	if got := (&Machine{Root: t.TempDir()}).Next(); got != nil {
		t.Errorf("a machine that was started by BIOS: %+v", got)
	}
}

// inOrder is a memory with these entries, in this order.
func inOrder(entries [][]byte) *nvram {
	n := &nvram{vars: map[string][]byte{}}
	var order []uint16
	for i, b := range entries {
		n.vars[efivars.Name(uint16(i))] = b
		order = append(order, uint16(i))
	}
	n.vars["BootOrder"] = efivars.OrderBytes(order)
	return n
}

// TestNextAfter is whether firmware goes on with the disk as soon as the network that the machine came by has failed.
func TestNextAfter(t *testing.T) {
	const shim = "EFI/debian/shimx64.efi"
	one := makeDisk(t, "gpt", espGUID, map[string]string{shim: "s"})
	here, gone := to(t, "x", espGUID, 2048, shim), to(t, "x", goneGUID, 2048, shim)
	card := func(ways ...int) []byte {
		path := efivars.AppendNode(nil, efivars.NodeMAC, make([]byte, 33))
		for _, way := range ways {
			path = efivars.AppendNode(path, way, make([]byte, 23))
		}
		return (&efivars.Option{Attributes: efivars.Active, Description: "net", Path: path}).Bytes()
	}
	v4, v6, http := card(efivars.NodeIPv4), card(efivars.NodeIPv6), card(efivars.NodeIPv4, efivars.NodeURI)
	any := (&efivars.Option{Attributes: efivars.Active, Description: "PCI LAN PXE"}).Bytes()
	for _, c := range []struct {
		name    string
		entries [][]byte
		came    []byte // BootCurrent
		want    string
	}{
		{"right behind PXE", [][]byte{v4, here, v6}, []byte{0, 0}, session.StartsAfterPXE},
		{"right behind HTTP", [][]byte{v4, http, here}, []byte{1, 0}, session.StartsAfterHTTP},
		{"an entry that is passed over between", [][]byte{v4, gone, here}, []byte{0, 0}, session.StartsAfterPXE},
		{"another protocol between", [][]byte{v4, v6, here}, []byte{0, 0}, ""},
		{"another protocol behind one that is passed over", [][]byte{v4, gone, v6, here}, []byte{0, 0}, ""},
		{"it came by IPv6", [][]byte{v6, here}, []byte{0, 0}, ""},
		{"an entry for all ways", [][]byte{any, here}, []byte{0, 0}, ""},
		{"it came by the disk", [][]byte{v4, here}, []byte{1, 0}, ""},
		{"it came from behind the disk", [][]byte{here, v4}, []byte{1, 0}, ""},
		{"it came by no entry of the order", [][]byte{v4, here}, []byte{9, 0}, ""},
		{"the firmware does not say", [][]byte{v4, here}, nil, ""},
		{"the firmware says half", [][]byte{v4, here}, []byte{0}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := inOrder(c.entries)
			if c.came != nil {
				n.vars["BootCurrent"] = c.came
			}
			disks := func() []session.Disk { return []session.Disk{one} }
			got := (&Machine{Root: uefi(t, 64), Disks: disks, Vars: n}).Next()
			if got.File != shim || got.After != c.want {
				t.Errorf("%+v, want %s after %q", got, shim, c.want)
			}
		})
	}
}
