package efivars

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"
)

// byEfibootmgr is what efibootmgr 17 wrote, without the attributes of the variable:
//
//	efibootmgr -c -d /dev/loop0 -p 1 -l '\EFI\debian\shimx64.efi' -L 'debian (diskcast)'
//
// on a disk whose first partition has 0xa000 sectors from 0x800 and the GUID below.
const (
	byEfibootmgr = "01000000" + "6200" +
		"640065006200690061006e00200028006400690073006b0063006100730074002900" + "0000" +
		"04012a00" + "01000000" + "0008000000000000" + "00a0000000000000" + "57ca5cd10100eb4d800000000000b00c" +
		"0202" +
		"04043400" + "5c004500460049005c00640065006200690061006e005c00" + // \EFI\debian\
		"7300680069006d007800360034002e006500660069000000" + // shimx64.efi
		"7fff0400"
	goldenGUID = "d15cca57-0001-4deb-8000-00000000b00c"
)

func golden(t testing.TB) []byte {
	t.Helper()
	b, err := hex.DecodeString(byEfibootmgr)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestOptionIsWhatEfibootmgrWrites(t *testing.T) {
	p := Partition{Number: 1, Start: 0x800, Size: 0xa000}
	var err error
	if p.Signature, p.GPT, err = Signature(goldenGUID); err != nil || !p.GPT || p.ID() != goldenGUID {
		t.Fatalf("signature = %x, %v, %v", p.Signature, p.GPT, err)
	}
	o := Option{Attributes: Active, Description: "debian (diskcast)", Path: DiskPath(&p, "EFI/debian/shimx64.efi")}
	if got, want := o.Bytes(), golden(t); !bytes.Equal(got, want) {
		t.Errorf("got  %x\nwant %x", got, want)
	}
	back, err := ParseOption(golden(t))
	if err != nil || !back.Equal(&o) {
		t.Fatalf("ParseOption = %+v, %v", back, err)
	}
	if q, file, ok := back.Starts(); !ok || q != p || file != "EFI/debian/shimx64.efi" {
		t.Errorf("it starts %s of %+v, %v", file, q, ok)
	}
}

func TestStarts(t *testing.T) {
	p := Partition{Number: 5, Start: 4096, Size: 8192}
	var err error
	if p.Signature, p.GPT, err = Signature("0x1234abcd"); err != nil || p.GPT || p.ID() != "0x1234abcd" {
		t.Fatalf("signature = %x, %v, %v", p.Signature, p.GPT, err)
	}
	utf16 := func(s string) []byte {
		var b []byte
		for _, c := range s + "\x00" {
			b = append(b, byte(c), 0)
		}
		return b
	}
	full := AppendNode(nil, 0x0201, make([]byte, 8)) // ACPI, PCI, SATA, as firmware itself writes paths
	full = AppendNode(AppendNode(full, 0x0101, []byte{0, 31}), 0x0312, make([]byte, 6))
	full = AppendNode(full, NodeDisk, p.Node())
	full = AppendNode(AppendNode(full, NodeFile, utf16(`\EFI`)), NodeFile, utf16(`Boot\BOOTX64.EFI`))
	o := &Option{Attributes: Active, Path: AppendNode(full, NodeEnd, nil)}
	q, file, ok := o.Starts()
	if !ok || q != p || file != "EFI/Boot/BOOTX64.EFI" || o.OnlyPartition() {
		t.Errorf("a full path starts %q of %+v, %v, only the partition: %v", file, q, ok, o.OnlyPartition())
	}
	// What follows the end is another path, or rubbish.
	o.Path = append(AppendNode(nil, NodeEnd, nil), full...)
	if _, _, ok := o.Starts(); ok {
		t.Error("a path behind the end of the first one was followed")
	}
}

func TestParseOptionRefuses(t *testing.T) {
	good := golden(t)
	for name, b := range map[string][]byte{
		"nothing":             nil,
		"head alone":          good[:6],
		"description cut off": good[:20],
		"paths cut off":       good[:len(good)-1],
		"endless":             make([]byte, MaxSize+1),
	} {
		if o, err := ParseOption(b); err == nil || !strings.Contains(err.Error(), "not a load option") {
			t.Errorf("%s: %+v, %v", name, o, err)
		}
	}
}

// FuzzOption takes any bytes for a variable: whatever firmware or a broken tool left there.
func FuzzOption(f *testing.F) {
	b, err := hex.DecodeString(byEfibootmgr)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte{1, 0, 0, 0, 4, 0, 0, 0, 4, 1, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := ParseOption(b)
		if err != nil {
			return
		}
		p, file, ok := o.Starts()
		again, err := ParseOption(o.Bytes())
		if err != nil {
			return // a description that is not UTF-16 has become longer
		}
		if q, name, is := again.Starts(); q != p || name != file || is != ok || again.Tried() != o.Tried() {
			t.Errorf("it started %q of %+v, %v, and written again %q of %+v, %v", file, p, ok, name, q, is)
		}
	})
}
