package bootdir

import "strings"

// Arch is the processor that a boot directory's machines have, by Debian's and Go's name for it.
type Arch string

// Architectures.
const (
	AMD64 Arch = "amd64" // x86-64
	ARM64 Arch = "arm64" // 64-bit ARM
)

// OrDefault is the architecture of a manifest, which older releases made for amd64 without a word about it.
func (a Arch) OrDefault() Arch {
	if a == "" {
		return AMD64
	}
	return a
}

// EFI is the architecture in the names of UEFI programs: BOOTX64.EFI, shimaa64.efi.
func (a Arch) EFI() string {
	if a == ARM64 {
		return "aa64"
	}
	return "x64"
}

// Shim is the program that firmware loads first where shim and GRUB are in the directory.
func (a Arch) Shim() string { return "shim" + a.EFI() + ".efi" }

// GRUB is the program that shim loads, from beside itself.
func (a Arch) GRUB() string { return "grub" + a.EFI() + ".efi" }

// Fallback is the program that UEFI firmware starts from a disk that it knows nothing of (UEFI 2.10, 3.5.1.1).
func (a Arch) Fallback() string { return "BOOT" + strings.ToUpper(a.EFI()) + ".EFI" }

// Prefix is what stands before the names of the architecture's files on the network. An amd64 machine's have none, as
// they had none before there was another.
func (a Arch) Prefix() string {
	if a == ARM64 {
		return "arm64/"
	}
	return ""
}

// Beside is the boot directory of the architecture's machines, given that of amd64: its name with -arm64 at its end.
func (a Arch) Beside(dir string) string {
	if a == ARM64 {
		return strings.TrimRight(dir, "/") + "-arm64"
	}
	return dir
}
