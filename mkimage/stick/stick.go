// Package stick makes media for machines that cannot start from the network: a disk image for a USB stick, and an ISO
// image for a CD or a BMC's virtual one, which a stick takes too. UEFI firmware finds one file system in both, with the
// program EFI/BOOT/BOOTX64.EFI or BOOTAA64.EFI in it, a unified kernel image. BIOS finds ISOLINUX, where that is
// wanted. The same input gives the same bytes.
package stick

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/diskcast/diskcast/internal/bootdir"
	"github.com/diskcast/diskcast/mkimage/fat"
)

// Program is a UEFI program, a unified kernel image.
type Program struct {
	Arch bootdir.Arch
	Data []byte
}

// Name is the file that UEFI firmware starts from a medium that nobody told it of (UEFI 2.10, 3.5.1.1).
func (p *Program) Name() string { return "EFI/BOOT/" + p.Arch.Fallback() }

const (
	sector = 512
	mib    = 1 << 20
	label  = "DISKCAST"
)

// system is the EFI system partition with the program, hidden sectors behind the medium's start.
func system(program *Program, hidden uint32, modTime time.Time) ([]byte, error) {
	sum := sha256.Sum256(program.Data)
	esp, err := fat.Make(map[string][]byte{program.Name(): program.Data},
		fat.Options{Label: label, ID: binary.LittleEndian.Uint32(sum[:]), Time: modTime, Hidden: hidden})
	if err != nil {
		return nil, fmt.Errorf("EFI system partition: %w", err)
	}
	return esp, nil
}

// Disk is the image of a USB stick: a GPT and one partition, the EFI system partition. With bios, which may be nil, it
// is the image of a CD, from which a stick starts with BIOS too.
func Disk(program *Program, bios *BIOS, modTime time.Time) ([]byte, error) {
	if bios != nil {
		return hybrid(program, bios, modTime)
	}
	const start = mib
	esp, err := system(program, start/sector, modTime)
	if err != nil {
		return nil, err
	}
	out := make([]byte, align(start+len(esp)+backupSize, mib))
	copy(out[start:], esp)
	return out, writeGPT(out, start, len(esp), sha256.Sum256(program.Data))
}

func align(n, to int) int { return (n + to - 1) / to * to }
