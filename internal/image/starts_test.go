package image

import (
	"strings"
	"testing"
)

func TestStartNotes(t *testing.T) {
	for name, c := range map[string]struct {
		efi  *EFI
		want string // in the only note; empty: no note
	}{
		"not for UEFI, or not recorded": {nil, ""},
		"a fallback":                    {&EFI{Fallbacks: []string{"EFI/BOOT/BOOTX64.EFI"}, Loaders: []string{"EFI/debian/shimx64.efi"}}, ""},
		"loaders without fallback":      {&EFI{Loaders: []string{"EFI/debian/shimx64.efi", "EFI/debian/grubx64.efi"}}, "no EFI/BOOT/BOOT*.EFI: a UEFI machine starts it only by a boot entry for EFI/debian/shimx64.efi, EFI/debian/grubx64.efi"},
		"nothing to start":              {&EFI{}, "no UEFI machine starts it by itself"},
		"not readable":                  {&EFI{Problem: "partition 1: its boot sector is damaged"}, "is not known: partition 1"},
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

func TestFirmwareWarning(t *testing.T) {
	for _, c := range []struct{ image, machine, want string }{
		{UEFI, BIOS, "switch the firmware setup to UEFI"},
		{BIOS, UEFI, "switch the firmware setup to BIOS"},
		{UEFI, UEFI, ""}, {BIOS, BIOS, ""}, {Both, UEFI, ""}, {Both, BIOS, ""}, {"", UEFI, ""}, {"", BIOS, ""}, {UEFI, "", ""}, {BIOS, "", ""},
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
		{&EFI{}, UEFI, true}, {&EFI{}, BIOS, false}, {&EFI{}, "", false}, {&EFI{Problem: "not readable"}, UEFI, false}, {nil, UEFI, false},
		{&EFI{Loaders: []string{"EFI/debian/shimx64.efi"}}, UEFI, false}, {&EFI{Fallbacks: []string{"EFI/BOOT/BOOTX64.EFI"}}, UEFI, false},
	} {
		got := (&Config{Firmware: Both, EFI: c.efi}).FirmwareWarning(c.machine)
		if strings.Contains(got, "has no boot loader that is known") != c.want || (got != "") != c.want {
			t.Errorf("EFI system partition with %+v on machine %q: %q, want a warning: %v", c.efi, c.machine, got, c.want)
		}
	}
}
