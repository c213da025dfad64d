package secureboot

import (
	"bytes"
	"crypto/x509"
	"debug/elf"
	"debug/pe"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/diskcast/diskcast/internal/bootdir"
)

// maxModules bounds the modules of a GRUB; Debian's has 99.
const maxModules = 1000

// machines are the architectures by their numbers in the headers of UEFI programs.
var machines = map[uint16]bootdir.Arch{pe.IMAGE_FILE_MACHINE_AMD64: bootdir.AMD64,
	pe.IMAGE_FILE_MACHINE_ARM64: bootdir.ARM64}

// image reads the headers of a program for 64-bit UEFI.
func image(data []byte) (*pe.File, *pe.OptionalHeader64, error) {
	f, err := pe.NewFile(bytes.NewReader(data))
	if err != nil {
		return nil, nil, fmt.Errorf("not a UEFI program: %w", err)
	}
	h, ok := f.OptionalHeader.(*pe.OptionalHeader64)
	if !ok || machines[f.Machine] == "" {
		return nil, nil, errors.New("not a UEFI program for x86-64 or 64-bit ARM")
	}
	return f, h, nil
}

// ArchOf is the architecture of a UEFI program.
func ArchOf(data []byte) (bootdir.Arch, error) {
	f, _, err := image(data)
	if err != nil {
		return "", err
	}
	return machines[f.Machine], nil
}

// signatures returns the PKCS #7 signatures of a program. The table of them is not among the sections: its "address" is
// a place in the file (PE format, "The Attribute Certificate Table").
func signatures(data []byte) ([][]byte, error) {
	_, h, err := image(data)
	if err != nil {
		return nil, err
	}
	if h.NumberOfRvaAndSizes <= pe.IMAGE_DIRECTORY_ENTRY_SECURITY {
		return nil, nil
	}
	dir := h.DataDirectory[pe.IMAGE_DIRECTORY_ENTRY_SECURITY]
	start, end := int64(dir.VirtualAddress), int64(dir.VirtualAddress)+int64(dir.Size)
	if dir.Size == 0 {
		return nil, nil
	}
	if start == 0 || end > int64(len(data)) {
		return nil, errors.New("the table of signatures is damaged")
	}
	var all [][]byte
	// Length of the entry with this header (4), revision (2), type (2: PKCS #7); entries begin at multiples of eight.
	for table := data[start:end]; len(table) >= 8; {
		n := int64(binary.LittleEndian.Uint32(table))
		if n < 8 || n > int64(len(table)) {
			return nil, errors.New("the table of signatures is damaged")
		}
		if binary.LittleEndian.Uint16(table[6:]) == 2 {
			all = append(all, table[8:n])
		}
		table = table[min(int64(len(table)), (n+7)&^7):]
	}
	return all, nil
}

// signed holds that a program is for the architecture and carries a signature.
func signed(data []byte, arch bootdir.Arch) error {
	f, _, err := image(data)
	if err != nil {
		return err
	}
	if is := machines[f.Machine]; is != arch {
		return fmt.Errorf("it is for machines of %s, and the kernel for those of %s", is, arch)
	}
	all, err := signatures(data)
	if err == nil && len(all) == 0 {
		err = errors.New("it carries no signature, and firmware with Secure Boot on would refuse it; the files with " +
			"one end in .efi.signed")
	}
	return err
}

// signers returns the certificates that came with the signatures, mostly that of the signer alone.
func signers(data []byte) ([]*x509.Certificate, error) {
	all, err := signatures(data)
	if err != nil {
		return nil, err
	}
	var certs []*x509.Certificate
	for _, der := range all {
		// RFC 2315, 7 and 9.1, as far as the certificates. The bytes behind the structure are padding.
		var outer struct {
			Type    asn1.ObjectIdentifier
			Content asn1.RawValue `asn1:"explicit,tag:0"`
		}
		if _, err := asn1.Unmarshal(der, &outer); err != nil {
			return nil, fmt.Errorf("signature: %w", err)
		}
		var inner struct {
			Version      int
			Digests      asn1.RawValue
			Content      asn1.RawValue
			Certificates asn1.RawValue `asn1:"optional,tag:0"`
			Rest         asn1.RawValue
		}
		if _, err := asn1.Unmarshal(outer.Content.Bytes, &inner); err != nil {
			return nil, fmt.Errorf("signature: %w", err)
		}
		some, err := x509.ParseCertificates(inner.Certificates.Bytes)
		if err != nil {
			return nil, fmt.Errorf("signature: %w", err)
		}
		certs = append(certs, some...)
	}
	return certs, nil
}

// vendorKey returns the certificate that was built into a shim: the one that it trusts beside the firmware's. The
// section begins with four numbers: size of the certificate, size of the list of what is revoked, and where they begin,
// from the section's start, as Debian's shim has it.
func vendorKey(shim []byte) (*x509.Certificate, error) {
	data, err := section(shim, ".vendor_cert")
	if err != nil {
		return nil, err
	}
	if len(data) < 16 {
		return nil, errors.New("shim's own key is damaged")
	}
	size, start := uint64(binary.LittleEndian.Uint32(data)), uint64(binary.LittleEndian.Uint32(data[8:]))
	if start+size > uint64(len(data)) {
		return nil, errors.New("shim's own key is damaged")
	}
	return x509.ParseCertificate(data[start : start+size])
}

func section(data []byte, name string) ([]byte, error) {
	f, _, err := image(data)
	if err != nil {
		return nil, err
	}
	for _, s := range f.Sections {
		if s.Name == name && int64(s.Offset)+int64(s.Size) <= int64(len(data)) {
			return data[s.Offset : int64(s.Offset)+int64(s.Size)], nil
		}
	}
	return nil, fmt.Errorf("no section %s", name)
}

// grubModules lists the modules that a GRUB carries. Its section "mods" is a header (the magic "mimg", where the
// modules begin, size of all) and objects, each behind its type and its size with this header; an object of type 0 is a
// module in ELF, whose section .modname holds its name. So it is in Debian's signed GRUB 2.06 and 2.12.
func grubModules(data []byte) ([]string, error) {
	mods, err := section(data, "mods")
	if err != nil || len(mods) < 24 || string(mods[:4]) != "mimg" {
		return nil, errors.New("not a GRUB")
	}
	damaged := errors.New("GRUB's modules are damaged")
	at, end := binary.LittleEndian.Uint64(mods[8:]), binary.LittleEndian.Uint64(mods[16:])
	if end > uint64(len(mods)) || at > end {
		return nil, damaged
	}
	var names []string
	for rest := mods[at:end]; len(rest) >= 8 && len(names) < maxModules; {
		kind, size := binary.LittleEndian.Uint32(rest), uint64(binary.LittleEndian.Uint32(rest[4:]))
		if size < 8 || size > uint64(len(rest)) {
			return nil, damaged
		}
		if kind == 0 {
			name, err := moduleName(rest[8:size])
			if err != nil {
				return nil, fmt.Errorf("%w: %w", damaged, err)
			}
			names = append(names, name)
		}
		rest = rest[size:]
	}
	return names, nil
}

func moduleName(data []byte) (string, error) {
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return "", err
	}
	s := f.Section(".modname")
	if s == nil {
		return "", errors.New("a module without a name")
	}
	name, err := s.Data()
	return strings.TrimRight(string(name), "\x00"), err
}

// grubVersion reads the release of GRUB's that a distribution's is made from, out of the lines by which firmware may
// revoke it (shim's SBAT.md): component, generation, vendor, package, version, address.
func grubVersion(data []byte) string {
	text, err := section(data, ".sbat")
	if err != nil {
		return ""
	}
	for line := range bytes.Lines(text) {
		if f := strings.Split(string(line), ","); f[0] == "grub" && len(f) >= 5 {
			return f[4]
		}
	}
	return ""
}

func atLeast(version string, major, minor int) bool {
	a, b, _ := strings.Cut(version, ".")
	x, err := strconv.Atoi(a)
	// 2.12~rc1, 2.14-git
	if i := strings.IndexFunc(b, func(r rune) bool { return r < '0' || r > '9' }); i >= 0 {
		b = b[:i]
	}
	y, err2 := strconv.Atoi(b)
	return err == nil && err2 == nil && (x > major || x == major && y >= minor)
}
