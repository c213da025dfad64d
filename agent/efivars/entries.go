package efivars

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf16"
)

// Source is where variables are read. Dir is one.
type Source interface {
	Names() ([]string, error)
	// Get wraps fs.ErrNotExist where there is no such variable.
	Get(name string) ([]byte, error)
}

var _ Source = Dir("")

// Entry is a boot entry: the variable with its number.
type Entry struct {
	Number uint16
	Option
}

// Options reads all boot entries; what is no load option is nil, but its number is taken.
func Options(s Source) (map[uint16]*Option, error) {
	names, err := s.Names()
	if err != nil {
		return nil, err
	}
	out := map[uint16]*Option{}
	for _, name := range names {
		n, ok := Number(name)
		if !ok {
			continue
		}
		b, err := s.Get(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		out[n] = nil
		if err == nil {
			if o, err := ParseOption(b); err == nil {
				out[n] = o
			}
		}
	}
	return out, nil
}

// Order reads the boot order. No variable is an empty order.
func Order(s Source) (order []uint16, damaged bool, err error) {
	b, err := s.Get("BootOrder")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	return ParseOrder(b)
}

// Current is the number of the entry that the firmware started this time (the variable BootCurrent, UEFI specification
// 2.10, section 3.3); false where it does not say so.
func Current(s Source) (uint16, bool) {
	b, err := s.Get("BootCurrent")
	if err != nil || len(b) != 2 {
		return 0, false
	}
	return binary.LittleEndian.Uint16(b), true
}

// Tried returns the entries that the boot manager tries, in its order. What cannot be read is left out: firmware skips
// it too.
func Tried(s Source) ([]Entry, error) {
	order, _, err := Order(s)
	if err != nil {
		return nil, err
	}
	var out []Entry
	for _, n := range order {
		b, err := s.Get(Name(n))
		if err != nil {
			continue
		}
		if o, err := ParseOption(b); err == nil && o.Tried() {
			out = append(out, Entry{n, *o})
		}
	}
	return out, nil
}

// Number is #### of Boot####: four hexadecimal digits, upper case.
func Number(name string) (uint16, bool) {
	digits, ok := strings.CutPrefix(name, "Boot")
	if !ok || len(digits) != 4 || digits != strings.ToUpper(digits) {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 16, 16)
	return uint16(n), err == nil
}

// Name is the variable of a number.
func Name(n uint16) string { return fmt.Sprintf("Boot%04X", n) }

// ParseOrder reads the variable BootOrder, 16-bit numbers in little endian. Of one with an odd byte at its end the
// whole numbers count, as they do for EDK II's boot manager; damaged tells so.
func ParseOrder(b []byte) (order []uint16, damaged bool, err error) {
	if len(b) > MaxSize {
		return nil, false, fmt.Errorf("the variable BootOrder has %d bytes", len(b))
	}
	for ; len(b) >= 2; b = b[2:] {
		order = append(order, binary.LittleEndian.Uint16(b))
	}
	return order, len(b) > 0, nil
}

// OrderBytes is the content of the variable BootOrder.
func OrderBytes(order []uint16) []byte {
	var b []byte
	for _, n := range order {
		b = binary.LittleEndian.AppendUint16(b, n)
	}
	return b
}

// Readable tells whether there are variables at all.
func (d Dir) Readable() bool {
	names, err := os.ReadDir(string(d))
	return err == nil && len(names) > 0
}

// Loader returns a variable of the Boot Loader Interface, such as LoaderEntryDefault, text in UTF-16; empty when it is
// not set.
func (d Dir) Loader(name string) string {
	b, err := read(filepath.Join(string(d), name+loader))
	if err != nil {
		return ""
	}
	return text(b)
}

// text reads UTF-16 up to a zero.
func text(b []byte) string {
	var units []uint16
	for ; len(b) >= 2; b = b[2:] {
		u := binary.LittleEndian.Uint16(b)
		if u == 0 {
			break
		}
		units = append(units, u)
	}
	return string(utf16.Decode(units))
}
