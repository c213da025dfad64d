package efi

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"unicode/utf16"
)

// BootEntry is one of the firmware's boot entries, as far as it starts a file of a partition.
type BootEntry struct {
	Name      string // Boot0001
	Title     string
	Active    bool
	Partition string // PARTUUID as Linux writes it: a GUID in lower case, or 1234abcd-01; empty when it starts no partition
	File      string // with slashes; empty: the partition's own fallback loader
	Options   []byte // what the program is given
}

// The variables' vendors: the UEFI specification's, and that of the Boot Loader Interface.
const (
	globalVendor = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
	loaderVendor = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
)

// Variables reads the firmware's variables from efivarfs.
type Variables struct{ Dir string }

// raw returns a variable without the four bytes of attributes that efivarfs puts before it.
func (v Variables) raw(name, vendor string) ([]byte, error) {
	b, err := os.ReadFile(filepath.Join(v.Dir, name+"-"+vendor))
	if err != nil {
		return nil, err
	}
	if len(b) < 4 || len(b) > 1<<20 {
		return nil, fmt.Errorf("the variable %s has %d bytes", name, len(b))
	}
	return b[4:], nil
}

// Readable tells whether there are variables at all.
func (v Variables) Readable() bool {
	names, err := os.ReadDir(v.Dir)
	return err == nil && len(names) > 0
}

// Loader returns a variable of the Boot Loader Interface, such as LoaderEntryDefault; empty when it is not set.
func (v Variables) Loader(name string) string {
	b, err := v.raw(name, loaderVendor)
	if err != nil {
		return ""
	}
	s, _ := cutWide(b)
	return s
}

// BootEntries returns the entries in the order in which firmware tries them. An entry that cannot be read is left out: firmware
// skips it too.
func (v Variables) BootEntries() []BootEntry {
	order, err := v.raw("BootOrder", globalVendor)
	if err != nil {
		return nil
	}
	var out []BootEntry
	for ; len(order) >= 2; order = order[2:] {
		name := fmt.Sprintf("Boot%04X", binary.LittleEndian.Uint16(order))
		b, err := v.raw(name, globalVendor)
		if err != nil {
			continue
		}
		if e, err := ParseBootEntry(name, b); err == nil {
			out = append(out, e)
		}
	}
	return out
}

var errBootEntry = errors.New("the boot entry is cut off")

// ParseBootEntry reads EFI_LOAD_OPTION (UEFI 2.10, 3.1.3) and its device path (10.3): little-endian numbers.
func ParseBootEntry(name string, b []byte) (BootEntry, error) {
	e := BootEntry{Name: name}
	if len(b) < 6 {
		return e, errBootEntry
	}
	e.Active = b[0]&1 != 0
	pathLen := int(binary.LittleEndian.Uint16(b[4:]))
	title, rest := cutWide(b[6:])
	e.Title = title
	if pathLen > len(rest) {
		return e, errBootEntry
	}
	e.Options = rest[pathLen:]
	for p := rest[:pathLen]; len(p) >= 4; {
		n := int(binary.LittleEndian.Uint16(p[2:]))
		if n < 4 || n > len(p) {
			return e, errBootEntry
		}
		node := p[:n]
		p = p[n:]
		switch {
		case node[0] == 0x7f: // the end of the path, or of one of several
			return e, nil
		case node[0] == 4 && node[1] == 1 && n >= 42: // a partition
			switch node[41] {
			case 2:
				e.Partition = guid(node[24:40])
			case 1:
				e.Partition = fmt.Sprintf("%08x-%02x", binary.LittleEndian.Uint32(node[24:]), binary.LittleEndian.Uint32(node[4:]))
			}
		case node[0] == 4 && node[1] == 4: // a file; several make one name
			part, _ := cutWide(node[4:])
			e.File = path.Join("/", e.File, strings.ReplaceAll(part, `\`, "/"))
		}
	}
	return e, nil
}

// guid writes 16 bytes, of which the first three numbers are little-endian, in lower case.
func guid(b []byte) string {
	return fmt.Sprintf("%08x-%04x-%04x-%x-%x", binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint16(b[4:]), binary.LittleEndian.Uint16(b[6:]), b[8:10], b[10:16])
}

// cutWide reads UTF-16 up to a zero, and returns what comes after it.
func cutWide(b []byte) (s string, rest []byte) {
	var u []uint16
	for ; len(b) >= 2; b = b[2:] {
		c := binary.LittleEndian.Uint16(b)
		if c == 0 {
			return string(utf16.Decode(u)), b[2:]
		}
		u = append(u, c)
	}
	return string(utf16.Decode(u)), nil
}
