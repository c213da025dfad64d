package memtest

import (
	"bytes"
	"debug/pe"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/bootdir"
	"github.com/diskcast/diskcast/mkimage/deb/debtest"
)

// bios and uefi are programs with the headers of Memtest86+ and nothing behind them.
func bios() []byte {
	b := make([]byte, 4096)
	b[sectorMark], b[sectorMark+1] = 0x55, 0xaa
	copy(b[headerMark:], "HdrS")
	copy(b[1024:], "Memtest86+ v7.20")
	return b
}

func uefi(machine uint16, subsystem uint16) []byte {
	var b bytes.Buffer
	b.WriteString("MZ")
	b.Write(make([]byte, 0x3c-2))
	head := pe.FileHeader{Machine: machine, SizeOfOptionalHeader: 112 + 16*8}
	opt := pe.OptionalHeader64{Magic: 0x20b, Subsystem: subsystem, NumberOfRvaAndSizes: 16}
	for _, v := range []any{uint32(0x40), []byte("PE\x00\x00"), head, opt} {
		if err := binary.Write(&b, binary.LittleEndian, v); err != nil {
			panic(err)
		}
	}
	b.WriteString("Memtest86+ v7.20")
	b.Write(make([]byte, 4096))
	return b.Bytes()
}

func writeDeb(t *testing.T, name string, files ...debtest.File) {
	t.Helper()
	if err := os.WriteFile(name, debtest.Package(t, ".xz", files...), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestOpen takes programs from files, from a package, and from where one is installed; what they are is found in them,
// not in their names.
func TestOpen(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, data, 0o644); err != nil {
			t.Fatal(err)
		}
		return file
	}
	efi := uefi(pe.IMAGE_FILE_MACHINE_AMD64, efiProgram)
	a, b := write("a", bios()), write("b", efi)
	pkg := filepath.Join(dir, "memtest86+_7.20_amd64.deb")
	writeDeb(t, pkg, debtest.File{Name: "boot/memtest86+x64.bin", Text: string(bios())},
		debtest.File{Name: "boot/memtest86+x64.efi", Text: string(efi)},
		debtest.File{Name: "boot/memtest86+ia32.bin", Text: "not asked for"})
	installed := t.TempDir()
	for name, data := range map[string][]byte{"memtest86+x64.bin": bios(), "memtest86+x64.efi": efi} {
		if err := os.WriteFile(filepath.Join(installed, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, from := range [][]string{{a, b}, {b, a, a}, {pkg}, {Auto}} {
		got, _, err := Open(from, installed)
		if err != nil || !bytes.Equal(got[bootdir.MemtestBIOS], bios()) ||
			!bytes.Equal(got[bootdir.MemtestUEFI], efi) || len(got) != 2 {
			t.Errorf("%q: %d programs, %v", from, len(got), err)
		}
	}
	other := bios()
	copy(other[2048:], "another build")
	for want, from := range map[string][]string{
		"it is no Memtest86+":    {write("grub", bytes.Replace(efi, []byte("Memtest86+"), []byte("GRUB loader"), 1))},
		"64-bit UEFI":            {write("ia32", uefi(pe.IMAGE_FILE_MACHINE_I386, efiProgram))},
		"no program for 64-bit":  {write("driver", uefi(pe.IMAGE_FILE_MACHINE_AMD64, 11))},
		"no program for UEFI":    {write("cut", append([]byte("MZ Memtest86+"), make([]byte, 100)...))},
		"before version 6":       {write("old", append(make([]byte, 1024), "Memtest86+ v5.31b"...))},
		"it is no file":          {dir},
		"no such file":           {filepath.Join(dir, "none")},
		"differs from the first": {a, write("other", other)},
		"install the package":    {Auto},
	} {
		where := installed
		if from[0] == Auto {
			where = t.TempDir()
		}
		if _, _, err := Open(from, where); err == nil || !strings.Contains(err.Error(), want) ||
			!strings.Contains(err.Error(), "--memtest") {
			t.Errorf("%q: %v, want %q", from, err, want)
		}
	}
}

func FuzzKind(f *testing.F) {
	f.Add(bios())
	f.Add(uefi(pe.IMAGE_FILE_MACHINE_AMD64, efiProgram))
	f.Fuzz(func(t *testing.T, data []byte) {
		if name, err := kind(data); (err == nil) != (name != "") {
			t.Errorf("%q, %v", name, err)
		}
	})
}
