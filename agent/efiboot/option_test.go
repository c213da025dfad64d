package efiboot

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
		"04012a00" + "01000000" + "0008000000000000" + "00a0000000000000" + "57ca5cd10100eb4d800000000000b00c" + "0202" +
		"04043400" + "5c004500460049005c00640065006200690061006e005c007300680069006d007800360034002e006500660069000000" +
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
	if p.Signature, p.GPT, err = signature(goldenGUID); err != nil || !p.GPT || p.id() != goldenGUID {
		t.Fatalf("signature = %x, %v, %v", p.Signature, p.GPT, err)
	}
	o := Option{Attributes: active, Description: "debian (diskcast)", Path: diskPath(&p, "EFI/debian/shimx64.efi")}
	if got, want := o.Bytes(), golden(t); !bytes.Equal(got, want) {
		t.Errorf("got  %x\nwant %x", got, want)
	}
	back, err := ParseOption(golden(t))
	if err != nil || !back.Equal(&o) {
		t.Fatalf("ParseOption = %+v, %v", back, err)
	}
	if q, file, ok := back.starts(); !ok || q != p || file != "EFI/debian/shimx64.efi" {
		t.Errorf("it starts %s of %+v, %v", file, q, ok)
	}
}

func TestStarts(t *testing.T) {
	p := Partition{Number: 5, Start: 4096, Size: 8192}
	var err error
	if p.Signature, p.GPT, err = signature("0x1234abcd"); err != nil || p.GPT || p.id() != "0x1234abcd" {
		t.Fatalf("signature = %x, %v, %v", p.Signature, p.GPT, err)
	}
	utf16 := func(s string) []byte {
		var b []byte
		for _, c := range s + "\x00" {
			b = append(b, byte(c), 0)
		}
		return b
	}
	full := appendNode(nil, 0x0201, make([]byte, 8)) // ACPI, PCI, SATA, as firmware itself writes paths
	full = appendNode(appendNode(full, 0x0101, []byte{0, 31}), 0x0312, make([]byte, 6))
	full = appendNode(full, nodeDisk, p.node())
	full = appendNode(appendNode(full, nodeFile, utf16(`\EFI`)), nodeFile, utf16(`Boot\BOOTX64.EFI`))
	o := &Option{Attributes: active, Path: appendNode(full, nodeEnd, nil)}
	q, file, ok := o.starts()
	if !ok || q != p || file != "EFI/Boot/BOOTX64.EFI" || o.onlyPartition() {
		t.Errorf("a full path starts %q of %+v, %v, only the partition: %v", file, q, ok, o.onlyPartition())
	}
	// What follows the end is another path, or rubbish.
	o.Path = append(appendNode(nil, nodeEnd, nil), full...)
	if _, _, ok := o.starts(); ok {
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
		"endless":             make([]byte, maxOption+1),
	} {
		if o, err := ParseOption(b); err == nil || !strings.Contains(err.Error(), "not a load option") {
			t.Errorf("%s: %+v, %v", name, o, err)
		}
	}
}

// FuzzOption takes any bytes for a variable and a boot order: whatever firmware or a broken tool left there.
func FuzzOption(f *testing.F) {
	b, err := hex.DecodeString(byEfibootmgr)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b, []byte{0, 0, 1, 0})
	f.Add((&Option{Attributes: active, Description: "PXE", Path: kinds["pxe4"].Path, Optional: []byte{1}}).Bytes(), []byte{1})
	f.Add([]byte{1, 0, 0, 0, 4, 0, 0, 0, 4, 1, 0, 0}, []byte{})
	f.Fuzz(func(t *testing.T, b, order []byte) {
		o, err := ParseOption(b)
		if err != nil {
			return
		}
		o.starts()
		c := o.class()
		if again, err := ParseOption(o.Bytes()); err == nil && again.class() != c {
			t.Errorf("class %d becomes %d", c, again.class())
		}
		ids, _, err := parseOrder(order)
		if err != nil {
			return
		}
		got := place(ids, 7, func(uint16) class { return c })
		count := 0
		for _, id := range got {
			if id == 7 {
				count++
			}
		}
		if count != 1 {
			t.Errorf("%x has the entry %d times", got, count)
		}
	})
}
