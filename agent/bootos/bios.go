package bootos

import (
	"bytes"
	"errors"
	"fmt"
)

// bootCode is what the code in a boot sector is.
type bootCode string

const (
	noCode      bootCode = ""
	codeGRUB    bootCode = "GRUB"
	codeLegacy  bootCode = "GRUB Legacy"
	codeLILO    bootCode = "LILO"
	codeChain   bootCode = "a boot sector that starts the active partition"
	codeWindows bootCode = "Windows' boot sector"
	codeSyslinx bootCode = "SYSLINUX"
	codeIso     bootCode = "ISOLINUX"
	codeUnknown bootCode = "a boot sector that is not known"
)

// codeBytes is where the boot code of a sector ends: behind it are the disk's signature and the table.
const codeBytes = 440

// codeOf tells the boot code of a sector of 512 bytes by the words in it and, for the two GRUBs, by its first jump.
func codeOf(sector []byte) bootCode {
	if len(sector) < 512 {
		return noCode
	}
	code := sector[:codeBytes]
	has := func(words ...string) bool {
		for _, w := range words {
			if !bytes.Contains(sector[:510], []byte(w)) {
				return false
			}
		}
		return true
	}
	switch {
	case len(bytes.Trim(code, "\x00")) == 0:
		return noCode
	case has("GRUB ", "Geom") && code[0] == 0xeb && code[1] == 0x63:
		return codeGRUB
	case has("GRUB ", "Geom"):
		return codeLegacy
	case string(code[6:10]) == "LILO":
		return codeLILO
	case string(code[3:11]) == "SYSLINUX", string(code[3:11]) == "EXTLINUX":
		return codeSyslinx
	case has("isolinux.bin"):
		return codeIso
	case has("BOOTMGR"), has("NTLDR"):
		return codeWindows
	case has("Multiple active partitions"), has("Operating system load error"),
		has("Invalid partition table", "Error loading operating system"):
		return codeChain
	}
	return codeUnknown
}

// bios lists what a BIOS starts from the disk, by the code in its first sector; nothing when that is empty or not known
// to us at all.
func (f *finder) bios() []candidate {
	code, where := codeOf(f.fw.MBR), "the disk's first sector"
	if pbr := codeOf(f.fw.PBR); (code == codeChain || code == codeUnknown) && pbr != noCode {
		code, where = pbr, fmt.Sprintf("the first sector of partition %d", f.fw.Active)
	}
	what := fmt.Sprintf("%s, in %s", code, where)
	none := func(found []candidate) []candidate {
		if len(found) == 0 {
			return []candidate{refused(what, f.noConfig())}
		}
		return found
	}
	switch code {
	case noCode:
		return nil
	case codeGRUB:
		if f.fw.GRUB != nil {
			return f.grubImage(what, f.fw.GRUB, 0, "/")
		}
		return none(f.grubs())
	case codeLegacy:
		return none(f.legacies())
	case codeSyslinx:
		return none(f.extlinuxes(f.fw.Active))
	case codeChain:
		return []candidate{refused(what, errors.New("no partition is active, or the active one has no boot code"))}
	}
	return []candidate{refused(what, errNotFollowed)}
}
