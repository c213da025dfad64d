package bootos

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/agent/bootos/efi/efitest"
)

// What else the head of a tree may have:
//
//	nvram: p1/EFI/debian/shimx64.efi p2/x.efi   (files of the firmware's boot entries, in order; p3 alone is the
//	                                            partition's fallback)
//	variables: LoaderEntryDefault=a.conf        (of the Boot Loader Interface; "none": they can be read, and none is
//	                                            set)
//	mbr: grub | legacy | lilo | chain | empty   (the first sector's boot code; without the line it is not known)
//	pbr: p1 extlinux | windows                  (the active partition and its boot code)
//	table: gpt | msdos                          (kind of the partition table; without the line it is not known)
//	unseen: p2 p3                               (partitions with file systems that are not read here)
//	holds: lvm | mdraid | cryptodisk            (what a partition is a member of)
//
// A file "pe pN/NAME" is an EFI program with sections, one line each: its name, a blank, its text as Go writes strings,
// without quotes; "wide pN/NAME" is text in UTF-16.

// firmware is what the head says of the firmware.
func (b *bootTree) firmware(t *testing.T) Firmware {
	t.Helper()
	fw := Firmware{UEFI: b.uefi, Table: b.head["table"]}
	for i, file := range strings.Fields(b.head["nvram"]) {
		part, name, ok := strings.Cut(file, "/")
		e := BootEntry{Name: fmt.Sprintf("Boot%04X", i), Title: "entry " + strconv.Itoa(i), Partition: "uuid-of-" +
			part}
		if ok {
			e.File = "/" + name
		}
		fw.BootEntries = append(fw.BootEntries, e)
	}
	if v := b.head["variables"]; v != "" {
		vars := treeVariables{}
		for _, w := range strings.Fields(v) {
			name, value, _ := strings.Cut(w, "=")
			vars[name] = value
		}
		fw.Variables = vars
	}
	var ok bool
	if v := b.head["mbr"]; v != "" {
		if fw.MBR, ok = sectors[v]; !ok {
			t.Fatalf("mbr: %q", v)
		}
	}
	if part, code, found := strings.Cut(b.head["pbr"], " "); found {
		fw.Active, _ = strconv.Atoi(strings.TrimPrefix(part, "p"))
		if fw.PBR, ok = sectors[code]; !ok {
			t.Fatalf("pbr: %q", code)
		}
	}
	return fw
}

type treeVariables map[string]string

func (v treeVariables) Loader(name string) string { return v[name] }

// sectors are boot sectors with the marks of their makers.
var sectors = map[string][]byte{
	"empty":  sector(""),
	"grub":   sector("\xeb\x63\x90" + strings.Repeat("\x00", 380) + "GRUB \x00Geom\x00Hard Disk\x00Read\x00 Error"),
	"legacy": sector("\xeb\x48\x90" + strings.Repeat("\x00", 380) + "GRUB \x00Geom\x00Hard Disk\x00Read\x00 Error"),
	"lilo":   sector("\xfa\xeb\x21\x01\xb4\x01LILO"),
	"chain": sector("\x33\xc0" + strings.Repeat("\x00", 300) +
		"Missing operating system.\r\nMultiple active partitions.\r\n"),
	"odd":      sector("\xfa\x31\xc0 something else"),
	"extlinux": sector("\xeb\x58\x90EXTLINUX"),
	"windows":  sector("\xeb\x52\x90NTFS    " + strings.Repeat("\x00", 200) + "BOOTMGR is missing"),
}

func sector(code string) []byte {
	b := make([]byte, 512)
	copy(b, code)
	b[510], b[511] = 0x55, 0xaa
	return b
}

// peFile makes the program of a file "pe pN/NAME".
func peFile(text string) (string, error) {
	var sections []efitest.Section
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		value, err := strconv.Unquote(`"` + value + `"`)
		if err != nil {
			return "", fmt.Errorf("%q: %w", line, err)
		}
		sections = append(sections, efitest.Section{Name: name, Data: value})
	}
	return string(efitest.Program(sections...)), nil
}
