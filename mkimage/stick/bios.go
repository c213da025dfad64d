package stick

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
)

// BIOS is what a medium has for machines with BIOS: ISOLINUX of the Syslinux project, unchanged but for where it lies,
// and what it starts.
type BIOS struct {
	Loader []byte // isolinux.bin
	Module []byte // ldlinux.c32, the rest of it
	MBR    []byte // isohdpfx.bin, which starts the loader from a stick

	Linux, Initrd []byte
	Config        string // isolinux.cfg
}

// Check tells whether the parts are what they should be.
func (b *BIOS) Check() error {
	switch {
	// isohybrid knows a loader that starts from a stick by these bytes (Syslinux, utils/isohybrid.c).
	case len(b.Loader) < 2*block || binary.LittleEndian.Uint32(b.Loader[64:]) != 0x7078c0fb:
		return errors.New("isolinux.bin is none that starts from sticks too")
	case !bytes.HasPrefix(b.Module, []byte("\x7fELF\x01")):
		return errors.New("ldlinux.c32 is no module for BIOS")
	case len(b.MBR) == 0 || len(b.MBR) > mbrCode:
		return fmt.Errorf("isohdpfx.bin has %d bytes instead of at most %d", len(b.MBR), mbrCode)
	}
	return nil
}

// mbrCode is the code's part of an MBR, in bytes; behind it are where the loader lies, in sectors, and the partitions.
const mbrCode = 432

// file is one file of the image's folder.
type file struct {
	name string
	data []byte
	at   int // block
}

// files lays the parts out from a block on, and tells the loader where it lies.
func (b *BIOS) files(at int) []file {
	loader := bytes.Clone(b.Loader)
	list := []file{{"INITRD.IMG;1", b.Initrd, 0}, {loaderName, loader, 0},
		{"ISOLINUX.CFG;1", []byte(b.Config), 0}, {"LDLINUX.C32;1", b.Module, 0}, {"VMLINUZ.;1", b.Linux, 0}}
	for i := range list {
		list[i].at = at
		at += align(len(list[i].data), block) / block
	}
	// The boot information table, as mkisofs -boot-info-table writes it: the volume descriptor, the loader, its length
	// and the sum of its words behind the table.
	le := binary.LittleEndian
	for i, v := range []int{primaryBlock, list[1].at, len(loader)} {
		le.PutUint32(loader[8+4*i:], uint32(v))
	}
	var sum uint32
	for rest := append(loader[64:len(loader):len(loader)], 0, 0, 0); len(rest) >= 4; rest = rest[4:] {
		sum += le.Uint32(rest)
	}
	le.PutUint32(loader[20:], sum)
	clear(loader[24:64])
	return list
}

// start makes the MBR start the loader, which lies at a block. The partition that covers the disk is marked to be
// started from, without which some BIOS takes no disk; UEFI firmware must pass over the mark (UEFI 2.10, 5.2.3).
func (b *BIOS) start(disk []byte, at int) {
	copy(disk, b.MBR)
	binary.LittleEndian.PutUint64(disk[mbrCode:], uint64(at*block/sector))
	disk[446] = 0x80
}

// hybrid is an image with files behind the EFI system partition, for BIOS.
func hybrid(program *Program, b *BIOS, modTime time.Time) ([]byte, error) {
	if err := b.Check(); err != nil {
		return nil, err
	}
	if total := len(b.Linux) + len(b.Initrd) + len(program.Data); total > math.MaxInt32 {
		return nil, fmt.Errorf("%d bytes of kernel and archive do not fit", total)
	}
	return iso(program, b, modTime)
}
