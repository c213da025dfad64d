// Package efitest makes EFI programs of sections and boot entries for tests.
package efitest

import (
	"encoding/binary"
	"unicode/utf16"
)

// Section is a section of a program.
type Section struct{ Name, Data string }

// Program makes a PE32+ program for x86-64 that has sections and no code.
func Program(sections ...Section) []byte {
	const headers, align = 0x1000, 0x200
	b := make([]byte, headers)
	copy(b, "MZ")
	le := binary.LittleEndian
	le.PutUint32(b[0x3c:], 0x80)
	copy(b[0x80:], "PE\x00\x00")
	coff := b[0x84:]
	le.PutUint16(coff, 0x8664)
	le.PutUint16(coff[2:], uint16(len(sections)))
	le.PutUint16(coff[16:], 240)
	le.PutUint16(coff[18:], 0x22e)
	opt := coff[20:]
	le.PutUint16(opt, 0x20b)
	le.PutUint32(opt[32:], 0x1000)
	le.PutUint32(opt[36:], align)
	le.PutUint16(opt[68:], 10) // an EFI application
	le.PutUint32(opt[108:], 16)
	va := uint32(headers)
	for i, s := range sections {
		h := opt[240+40*i:]
		copy(h[:8], s.Name)
		size := (len(s.Data) + align - 1) &^ (align - 1)
		le.PutUint32(h[8:], uint32(len(s.Data)))
		le.PutUint32(h[12:], va)
		le.PutUint32(h[16:], uint32(size))
		le.PutUint32(h[20:], uint32(len(b)))
		b = append(b, s.Data...)
		b = append(b, make([]byte, size-len(s.Data))...)
		opt = b[0x84+20:]
		va += uint32(size+0xfff) &^ 0xfff
	}
	return b
}

// BootEntry makes an active EFI_LOAD_OPTION for a file of a GPT partition, whose GUID is given as its 16 bytes on the
// disk.
func BootEntry(title string, partition [16]byte, number uint32, file string, options []byte) []byte {
	le := binary.LittleEndian
	hd := make([]byte, 42)
	copy(hd, []byte{4, 1, 42, 0})
	le.PutUint32(hd[4:], number)
	copy(hd[24:], partition[:])
	hd[40], hd[41] = 2, 2
	path := append(hd, fileNode(file)...)
	path = append(path, 0x7f, 0xff, 4, 0)
	b := le.AppendUint32(nil, 1)
	b = le.AppendUint16(b, uint16(len(path)))
	b = append(b, Wide(title)...)
	return append(append(b, path...), options...)
}

func fileNode(file string) []byte {
	w := Wide(file)
	return append(binary.LittleEndian.AppendUint16([]byte{4, 4}, uint16(4+len(w))), w...)
}

// Wide is text in UTF-16, little-endian, with a zero at its end.
func Wide(s string) []byte {
	var b []byte
	for _, c := range append(utf16.Encode([]rune(s)), 0) {
		b = binary.LittleEndian.AppendUint16(b, c)
	}
	return b
}
