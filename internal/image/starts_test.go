package image

import (
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/volume"
)

func TestStartNotes(t *testing.T) {
	for name, c := range map[string]struct {
		efi  *EFI
		want string // in the only note; empty: no note
	}{
		"not for UEFI, or not recorded": {nil, ""},
		"a fallback": {&EFI{Fallbacks: []string{"EFI/BOOT/BOOTX64.EFI"},
			Loaders: []string{"EFI/debian/shimx64.efi"}}, ""},
		"loaders without fallback": {&EFI{Loaders: []string{"EFI/debian/shimx64.efi", "EFI/debian/grubx64.efi"}},
			"no EFI/BOOT/BOOT*.EFI: a UEFI machine starts it only by a boot entry for EFI/debian/shimx64.efi, " +
				"EFI/debian/grubx64.efi, which a node makes after a restore; a disk that is put into another machine " +
				"needs its entry there. For machines whose firmware keeps none: copy EFI/debian/shimx64.efi to " +
				"EFI/BOOT/BOOTX64.EFI on its EFI system partition, and the grubx64.efi beside it, best before it is " +
				"captured"},
		"a loader whose name says no processor": {&EFI{Loaders: []string{"EFI/Microsoft/Boot/bootmgfw.efi"}},
			"needs its entry there"},
		"nothing to start": {&EFI{}, "no UEFI machine starts it by itself"},
		"not readable":     {&EFI{Problem: "partition 1: its boot sector is damaged"}, "is not known: partition 1"},
	} {
		got := (&Config{EFI: c.efi}).StartNotes()
		if c.want == "" && len(got) == 0 {
			continue
		}
		if len(got) != 1 || c.want == "" || !strings.Contains(got[0], c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestNothingToStart: only what surely has neither boot code nor an EFI system partition is told.
func TestNothingToStart(t *testing.T) {
	empty, code := make([]byte, 512), append([]byte{0xeb, 0x63}, make([]byte, 510)...)
	parts := []volume.Partition{{Number: 1}}
	for name, c := range map[string]struct {
		config Config
		want   bool
	}{
		"a disk for data":     {Config{Table: &volume.Table{Kind: "gpt", MBR: empty, Partitions: parts}}, true},
		"an MBR without code": {Config{Table: &volume.Table{Kind: "dos", MBR: empty, Partitions: parts}}, true},
		"code before a GPT":   {Config{Table: &volume.Table{Kind: "gpt", MBR: code, Partitions: parts}}, false},
		"for BIOS": {Config{Firmware: BIOS,
			Table: &volume.Table{Kind: "gpt", MBR: empty, Partitions: parts}}, false},
		"no table: not known":      {Config{Table: &volume.Table{Kind: "none"}}, false},
		"an image without its MBR": {Config{Table: &volume.Table{Kind: "gpt", Partitions: parts}}, false},
		"an EFI system partition": {Config{Firmware: UEFI, EFI: &EFI{Fallbacks: []string{"EFI/BOOT/BOOTX64.EFI"}},
			Table: &volume.Table{Kind: "gpt", MBR: empty, Partitions: parts}}, false},
		"of a time before EFI lists": {Config{Firmware: UEFI,
			Table: &volume.Table{Kind: "gpt", MBR: empty, Partitions: parts}}, false},
	} {
		notes := c.config.StartNotes()
		if got := len(notes) == 1 && strings.Contains(notes[0], "no machine starts it by itself"); got != c.want ||
			!c.want && len(notes) > 0 {
			t.Errorf("%s: %q, want it told: %v", name, notes, c.want)
		}
	}
}

func TestFirmwareWarning(t *testing.T) {
	for _, c := range []struct{ image, machine, want string }{
		{UEFI, BIOS, "switch the firmware setup to UEFI"},
		{BIOS, UEFI, "switch the firmware setup to BIOS"},
		{UEFI, UEFI, ""}, {BIOS, BIOS, ""}, {Both, UEFI, ""}, {Both, BIOS, ""}, {"", UEFI, ""}, {"", BIOS, ""},
		{UEFI, "", ""}, {BIOS, "", ""},
	} {
		got := (&Config{Firmware: c.image}).FirmwareWarning(c.machine)
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("image %q on machine %q: %q, want %q", c.image, c.machine, got, c.want)
		}
	}
	for _, c := range []struct {
		efi     *EFI
		machine string
		want    bool
	}{
		{&EFI{}, UEFI, true}, {&EFI{}, BIOS, false}, {&EFI{}, "", false}, {&EFI{Problem: "not readable"}, UEFI, false},
		{nil, UEFI, false},
		{&EFI{Loaders: []string{"EFI/debian/shimx64.efi"}}, UEFI, false},
		{&EFI{Fallbacks: []string{"EFI/BOOT/BOOTX64.EFI"}}, UEFI, false},
	} {
		got := (&Config{Firmware: Both, EFI: c.efi}).FirmwareWarning(c.machine)
		if strings.Contains(got, "has no boot loader that is known") != c.want || (got != "") != c.want {
			t.Errorf("EFI system partition with %+v on machine %q: %q, want a warning: %v", c.efi, c.machine, got,
				c.want)
		}
	}
}
