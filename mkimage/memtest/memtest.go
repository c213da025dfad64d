// Package memtest finds Memtest86+, which a boot directory offers in the menus of machines: the program for UEFI and
// the one for BIOS, in the package memtest86+ or as files, and holds them against what they claim to be.
package memtest

import (
	"archive/tar"
	"bufio"
	"bytes"
	"debug/pe"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/diskcast/diskcast/internal/bootdir"
	"github.com/diskcast/diskcast/mkimage/pack"
)

// Installed is where Debian's and Ubuntu's package memtest86+ puts its files, from version 6 on.
const Installed = "/boot"

// Auto is the word for the installed one.
const Auto = "auto"

// names are what the package calls the programs, and what a boot directory does.
var names = map[string]string{"memtest86+x64.bin": bootdir.MemtestBIOS, "memtest86+x64.efi": bootdir.MemtestUEFI}

// maxProgram bounds a program, in bytes. Version 7 has 160 KB.
const maxProgram = 16 << 20

// Open reads the programs of the named files and packages, by the names that they have in a boot directory; of the
// package that is installed in the folder where a name is Auto.
func Open(from []string, installed string) (programs map[string][]byte, sources []bootdir.Source, err error) {
	programs = map[string][]byte{}
	for _, name := range from {
		var err error
		var more []bootdir.Source
		if name == Auto {
			err = installedIn(installed, programs)
		} else {
			more, err = read(name, programs)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("--memtest %s: %w", name, err)
		}
		sources = append(sources, more...)
	}
	return programs, sources, nil
}

func installedIn(dir string, into map[string][]byte) error {
	found := false
	for base := range names {
		file := filepath.Join(dir, base)
		_, err := read(file, into)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return fmt.Errorf("%s: %w", file, err)
		default:
			found = true
		}
	}
	if !found {
		return fmt.Errorf("there is no memtest86+x64.bin and memtest86+x64.efi in %s: install the package memtest86+ "+
			"of version 6 or later, or name it (apt-get download memtest86+) or its files", dir)
	}
	return nil
}

// read reads a file, or the programs of a package.
func read(name string, into map[string][]byte) ([]bootdir.Source, error) {
	st, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, errors.New("it is no file: name the package memtest86+, or memtest86+x64.efi and memtest86+x64.bin")
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := bufio.NewReader(f)
	if first, err := r.Peek(pack.MagicSize); err != nil || pack.Format(first) == "" {
		data, err := whole(r)
		if err != nil {
			return nil, err
		}
		return nil, add(into, data)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	found := false
	info, err := pack.Read(f, func(h *tar.Header, content io.Reader) error {
		base := path.Base(h.Name)
		if names[base] == "" || h.Typeflag != tar.TypeReg {
			return nil
		}
		data, err := whole(content)
		if err == nil {
			err = add(into, data)
		}
		if err != nil {
			return fmt.Errorf("%s in it: %w", base, err)
		}
		found = true
		return nil
	})
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, errors.New("the package has no memtest86+x64.bin and no memtest86+x64.efi: take memtest86+ of " +
			"version 6 or later (Debian 12)")
	}
	if info.Name == "" {
		return nil, nil
	}
	return []bootdir.Source{info.Source("memtest")}, nil
}

func whole(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxProgram+1))
	if err == nil && len(data) > maxProgram {
		err = fmt.Errorf("it has more than %d bytes, and is no Memtest86+", maxProgram)
	}
	return data, err
}

// add puts a program under the name that goes by what it is. One of each is wanted.
func add(into map[string][]byte, data []byte) error {
	name, err := kind(data)
	if err != nil {
		return err
	}
	if old, twice := into[name]; twice && !bytes.Equal(old, data) {
		return fmt.Errorf("it is a second %s, and differs from the first", name)
	}
	into[name] = data
	return nil
}

// Of a program that starts by Linux' boot protocol (Documentation/arch/x86/boot.rst): the boot sector's mark and the
// header's, which Memtest86+ has from version 6 on, for UEFI too.
const (
	sectorMark = 0x1fe // 0x55 0xaa
	headerMark = 0x202 // "HdrS"
	efiProgram = 10    // a subsystem of PE: an application of UEFI
)

// kind is the name in a boot directory of what the program is.
func kind(data []byte) (string, error) {
	if !bytes.Contains(data, []byte("Memtest86+")) {
		return "", errors.New("it is no Memtest86+: its name is not in it (MemTest86 without the plus is another " +
			"program)")
	}
	if bytes.HasPrefix(data, []byte("MZ")) {
		f, err := pe.NewFile(bytes.NewReader(data))
		if err != nil {
			return "", fmt.Errorf("it is no program for UEFI: %w", err)
		}
		h, ok := f.OptionalHeader.(*pe.OptionalHeader64)
		if !ok || f.Machine != pe.IMAGE_FILE_MACHINE_AMD64 || h.Subsystem != efiProgram {
			return "", errors.New("it is no program for 64-bit UEFI: take memtest86+x64.efi")
		}
		return bootdir.MemtestUEFI, nil
	}
	if len(data) < headerMark+4 || !bytes.Equal(data[sectorMark:sectorMark+2], []byte{0x55, 0xaa}) ||
		string(data[headerMark:headerMark+4]) != "HdrS" {
		return "", errors.New("it starts neither as a program for UEFI nor as Linux does: Memtest86+ before version " +
			"6, a CD's image, or a damaged file; take memtest86+x64.bin and memtest86+x64.efi")
	}
	return bootdir.MemtestBIOS, nil
}
