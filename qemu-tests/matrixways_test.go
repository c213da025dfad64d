package qemutests

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/qemu-tests/osimage"
	"github.com/diskcast/diskcast/qemu-tests/pairs"
	"github.com/diskcast/diskcast/qemu-tests/site"
	"github.com/diskcast/diskcast/qemu-tests/vm"
	"github.com/diskcast/diskcast/server/doc"
)

// armUEFI is Debian's EDK II for 64-bit ARM.
var armUEFI = vm.Firmware{Code: aavmf + "AAVMF_CODE.fd", Vars: aavmf + "AAVMF_VARS.fd", ARM64: true}

// way is a way to the agent in the matrix; TestFirmware has more, each with one disk and one card.
type way struct {
	name string
	// roms says that the firmware runs the ROMs of cards, so that a card needs no driver of the firmware's.
	roms  bool
	media bool // the machine starts from a CD, and the network is for the agent alone
	// lacks is why a card other than virtio-net does not come this way; empty where roms or media are.
	lacks   string
	not     map[string]string // why a single card does not come this way
	limit   time.Duration     // of one machine; 6 minutes when zero
	steps   map[string]string // how the words of steps begin, with any card
	prepare func(t *testing.T) prepared
}

// prepared is what the site of a way is made of.
type prepared struct {
	site     site.Options
	firmware vm.Firmware
	cert     []byte // put into the firmware's db, in Microsoft's place; nil: the firmware is as it is
	extra    []string
	// begun is called when the site is there, and returns more of QEMU's arguments; nil: there is nothing to do.
	begun func(b *bench, kernel string) []string
}

// Ways that other tests have too.
const (
	wayBIOS = "bios"      // SeaBIOS and the card's iPXE
	wayUEFI = "uefi-pxe"  // OVMF: its own PXE and snponly.efi, or the card's iPXE where OVMF has no driver for it
	wayHTTP = "uefi-http" // OVMF told to try HTTP boot alone, over the card's iPXE where OVMF has no driver for it
	wayShim = "shim-grub"
)

// Why a card does not come some way.
const (
	romsUnsigned = "with Secure Boot on, the ROMs of QEMU's cards are not run, for nobody signed them, and OVMF " +
		"itself has a driver of virtio-net alone"
	romsForeign = "QEMU's ROMs are programs for x86, and EDK II for 64-bit ARM has a driver of virtio-net alone"
	romsNone    = "no firmware here has a driver of a USB network adapter, and no ROM can be in one: it starts from " +
		"a CD"
	vmxnet3Deaf = "undionly.kpxe hears nothing by the iPXE ROM of QEMU's vmxnet3: the answers to its DHCP requests " +
		"reach the card, and it goes on asking"
	igbNone = "Debian's ROMs of QEMU's cards have none for igb, and no firmware here a driver of it: it starts " +
		"from a CD"
)

// Cards that not all ways have.
const (
	cardIGB     = "igb"
	cardVMXNET3 = "vmxnet3"
)

// ways are all of them.
var ways = []way{
	{name: wayBIOS, roms: true, prepare: byIPXE(vm.Firmware{})},
	{name: wayUEFI, roms: true, prepare: byIPXE(uefi)},
	{name: wayHTTP, roms: true, prepare: byIPXE(uefi, onlyHTTP...)},
	{name: wayShim, roms: true, prepare: func(t *testing.T) prepared {
		debian := debianImage(t.Context(), t)
		return prepared{firmware: checked(t, uefi), site: site.Options{Shim: debian.Shim, GRUB: debian.GRUB,
			ServeArgs: []string{"--uefi-loader", "shim"}}}
	}},
	{name: "own-key", lacks: romsUnsigned, prepare: func(t *testing.T) prepared { // a unified kernel image by PXE
		keyFile, certFile, cert := siteKey(t, t.TempDir())
		return prepared{firmware: checked(t, uefi), cert: cert, site: site.Options{
			MkimageArgs: []string{"--boot-uki", "--sign", keyFile, "--cert", certFile},
			ServeArgs:   []string{"--uefi-loader", "uki"}}}
	}},
	{name: "iso", media: true, prepare: func(t *testing.T) prepared {
		p := byIPXE(uefi)(t)
		p.begun = func(b *bench, kernel string) []string {
			disc := filepath.Join(b.dir, "node.iso")
			b.medium(kernel, "ttyS0,115200", "--iso", disc, "--isolinux", "none")
			return sataCD(disc)
		}
		return p
	}},
	{name: "undionly", roms: true, // SeaBIOS, whose ROM DHCP takes for another maker's
		not:   map[string]string{cardVMXNET3: vmxnet3Deaf},
		steps: map[string]string{doc.StepBootfile: "undionly.kpxe by tftp", doc.StepScript: "boot.ipxe by http"},
		prepare: func(*testing.T) prepared {
			return prepared{site: site.Options{ServeArgs: []string{"--dhcp", "off"}},
				begun: func(b *bench, _ string) []string { b.otherROM(); return nil }}
		}},
	{name: "ipxe-shim", lacks: romsUnsigned,
		steps: map[string]string{doc.StepDHCP: "PXE on UEFI, sent to sb/snponly-shim.efi",
			doc.StepScript: "boot.ipxe by http"},
		prepare: func(t *testing.T) prepared {
			options, cert := signedIPXE(t)
			return prepared{firmware: checked(t, uefi), cert: cert, site: options}
		}},
	{name: "arm64-pxe", lacks: romsForeign, limit: 15 * time.Minute, // shim and GRUB of Debian 13
		steps: map[string]string{doc.StepDHCP: "PXE on UEFI, sent to arm64/shimaa64.efi",
			doc.StepScript: "grub.cfg by "},
		prepare: func(t *testing.T) prepared {
			debs := armPackages(t, "DISKCAST_KERNEL_ARM64", "DISKCAST_SHIM_ARM64", "DISKCAST_GRUB_ARM64")
			return prepared{firmware: checked(t, armUEFI), site: site.Options{
				ARM64: &osimage.Image{Kernel: debs[0], Shim: debs[1], GRUB: debs[2]}}}
		}},
	{name: "arm64-iso", media: true, limit: 15 * time.Minute, prepare: func(t *testing.T) prepared {
		debs := armPackages(t, "DISKCAST_KERNEL_ARM64", "DISKCAST_STUB_ARM64")
		return prepared{firmware: checked(t, armUEFI), begun: func(b *bench, _ string) []string {
			disc := filepath.Join(b.dir, "node.iso")
			b.medium(debs[0], "ttyAMA0", "--stub", debs[1], "--iso", disc)
			return []string{"-drive", cdrom(disc), "-device", "virtio-scsi-pci,id=cd", "-device",
				"scsi-cd,bus=cd.0,drive=medium,bootindex=0"}
		}}
	}},
}

// cdrom is the drive of a CD.
func cdrom(disc string) string {
	return "if=none,id=medium,format=raw,readonly=on,media=cdrom,file=" + disc
}

// sataCD is a CD behind a controller of its own, since the board's is off, that the machine starts from.
func sataCD(disc string) []string {
	return []string{"-drive", cdrom(disc), "-device", "ahci,id=cd",
		"-device", "ide-cd,drive=medium,bus=cd.0,bootindex=0"}
}

// byIPXE is a way by iPXE with nothing of its own.
func byIPXE(f vm.Firmware, extra ...string) func(*testing.T) prepared {
	return func(t *testing.T) prepared {
		if f.Code != "" {
			checked(t, f)
		}
		return prepared{firmware: f, extra: extra, site: site.Options{ServeArgs: []string{"--uefi-loader", "ipxe"}}}
	}
}

func checked(t *testing.T, f vm.Firmware) vm.Firmware {
	t.Helper()
	installed(t, f)
	return f
}

// armPackages are those that make test-matrix fetches for machines of 64-bit ARM.
func armPackages(t *testing.T, names ...string) (files []string) {
	t.Helper()
	need.Tools(t, vm.QEMUARM64)
	for _, name := range names {
		file := os.Getenv(name)
		if file == "" {
			need.Skip(t, "%s names no package: .ci/deb13 fetches one", name)
		}
		files = append(files, file)
	}
	return files
}

func wayOf(name string) *way {
	return &ways[slices.IndexFunc(ways, func(w way) bool { return w.name == name })]
}

// cannot says why a card does not come this way; empty where it does.
func (w *way) cannot(card string) string {
	switch {
	case w.media || card == "virtio-net":
		return ""
	case card == "usb-net":
		return romsNone
	case card == cardIGB:
		return igbNone
	}
	return cmp.Or(w.not[card], w.lacks)
}

// leftOut names what is not in the matrix, with the reason.
func leftOut() (list []string) {
	for i := range ways {
		for _, c := range matrixCards {
			if why := ways[i].cannot(c.name); why != "" {
				list = append(list, fmt.Sprintf("%s with %s: %s", ways[i].name, c.name, why))
			}
		}
	}
	return list
}

// matrixRows are the machines: each way, disk and card that can be together meet in one.
func matrixRows() []pairs.Row {
	names, disks, cards := pairs.Factor{Name: "way"}, pairs.Factor{Name: "disk"}, pairs.Factor{Name: "card"}
	for _, w := range ways {
		names.Values = append(names.Values, w.name)
	}
	for _, d := range matrixDisks {
		disks.Values = append(disks.Values, d.name)
	}
	for _, c := range matrixCards {
		cards.Values = append(cards.Values, c.name)
	}
	rows := pairs.Cover([]pairs.Factor{names, disks, cards}, func(r pairs.Row) bool {
		return wayOf(r[0]).cannot(r[2]) == ""
	})
	slices.SortStableFunc(rows, func(a, b pairs.Row) int {
		return slices.Index(names.Values, a[0]) - slices.Index(names.Values, b[0])
	})
	return rows
}

// TestMatrixRows holds that a card which does not come some way is left out with a reason and no other is, and that
// each way, disk and card is in some machine.
func TestMatrixRows(t *testing.T) {
	rows, met := matrixRows(), map[string]bool{}
	for _, r := range rows {
		met[r[0]+" "+r[1]], met[r[0]+" "+r[2]] = true, true
	}
	for i := range ways {
		w := &ways[i]
		if w.roms && w.lacks != "" || !w.roms && !w.media && w.lacks == "" {
			t.Errorf("%s: a way whose firmware runs no ROMs says why other cards do not come, and no other way", w.name)
		}
		for _, d := range matrixDisks {
			if !met[w.name+" "+d.name] {
				t.Errorf("%s is not tried with %s", w.name, d.name)
			}
		}
		for _, c := range matrixCards {
			if why := w.cannot(c.name); met[w.name+" "+c.name] == (why != "") {
				t.Errorf("%s with %s: in the matrix: %v, reason against it: %q", w.name, c.name, why == "", why)
			}
		}
	}
	t.Logf("%d machines: %v", len(rows), rows)
}
