package image

import (
	"slices"
	"strings"

	"github.com/diskcast/diskcast/internal/volume/esp"
)

// StartNotes are what the operator should know of how a disk with this image starts, whatever the machine.
func (c *Config) StartNotes() []string {
	switch e := c.EFI; {
	case e == nil && c.Firmware == "" && c.noBootCode():
		return []string{"it has no boot code in its first sector and no EFI system partition: no machine starts it " +
			"by itself"}
	case e == nil || len(e.Fallbacks) > 0:
		return nil
	case e.Problem != "":
		return []string{"what UEFI firmware can start of it is not known: " + e.Problem}
	case len(e.Loaders) == 0:
		return []string{"its EFI system partition has no boot loader that is known: no UEFI machine starts it by " +
			"itself"}
	default:
		words := "it has no EFI/BOOT/BOOT*.EFI: a UEFI machine starts it only by a boot entry for " +
			strings.Join(e.Loaders[:min(len(e.Loaders), 4)], ", ") +
			", which a node makes after a restore; a disk that is put into another machine needs its entry there"
		if arch := esp.ArchOf(e.Loaders[0]); arch != "" {
			words += ". For machines whose firmware keeps none: " + esp.Copy(e.Loaders[0], arch)
		}
		return []string{words}
	}
}

// noBootCode tells whether a disk with a partition table surely has no boot code in its first sector: its first 440
// bytes are zeros.
func (c *Config) noBootCode() bool {
	const code = 440
	return c.Table != nil && len(c.Table.Partitions) > 0 && len(c.Table.MBR) >= code &&
		!slices.ContainsFunc(c.Table.MBR[:code], func(b byte) bool { return b != 0 })
}

// FirmwareWarning says why a machine whose firmware is BIOS or UEFI will not start a disk with this image; empty when
// it may. What cannot be told from partition table and EFI system partition is not warned of.
func (c *Config) FirmwareWarning(firmware string) string {
	switch {
	case firmware == BIOS && c.Firmware == UEFI:
		return "the image starts by UEFI and this machine by BIOS: the disk will not start by itself; switch the " +
			"firmware setup to UEFI"
	case firmware == UEFI && c.Firmware == BIOS:
		return "the image starts by BIOS and this machine by UEFI: the disk will not start by itself; switch the " +
			"firmware setup to BIOS (CSM)"
	case firmware == UEFI && c.EFI != nil && c.EFI.Problem == "" && len(c.EFI.Fallbacks)+len(c.EFI.Loaders) == 0:
		return "the image's EFI system partition has no boot loader that is known, and this machine starts by UEFI: " +
			"the disk will not start by itself"
	}
	return ""
}
