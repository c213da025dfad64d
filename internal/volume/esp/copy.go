package esp

import (
	"path"
	"strings"
)

// Copy says which file makes a disk start without a boot entry, where firmware keeps none: its loader under the name
// that firmware looks for by itself (UEFI 2.10, 3.5.1.1), and how installers put it there.
func Copy(loader, arch string) string {
	words := "copy " + loader + " to EFI/BOOT/BOOT" + strings.ToUpper(arch) + ".EFI on its EFI system partition"
	if strings.HasPrefix(strings.ToLower(path.Base(loader)), "shim") {
		words += ", and the grub" + arch + ".efi beside it"
	}
	return words + ", best before it is captured (grub-install --force-extra-removable and bootctl install do so)"
}

// ArchOf is the architecture in a loader's name, as in shimx64.efi; empty where there is none. "arm" is left out, which
// other names end with.
func ArchOf(loader string) string {
	base := strings.TrimSuffix(strings.ToLower(path.Base(loader)), ".efi")
	for _, arch := range arches {
		if arch != "arm" && strings.HasSuffix(base, arch) {
			return arch
		}
	}
	return ""
}
