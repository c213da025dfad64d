// Package ukitest makes stubs for tests: headers and sections, and nothing that runs.
package ukitest

import (
	"debug/pe"
	"encoding/binary"
)

// Stub is a stub for x86-64 as far as its headers go.
func Stub() []byte { return stub(pe.IMAGE_FILE_MACHINE_AMD64) }

// ARM64 is one for 64-bit ARM.
func ARM64() []byte { return stub(pe.IMAGE_FILE_MACHINE_ARM64) }

func stub(machine uint16) []byte {
	const headers, section = 0x400, 0x200
	b := make([]byte, headers+2*section)
	copy(b, "MZ")
	le := binary.LittleEndian
	le.PutUint32(b[0x3c:], 0x40)
	copy(b[0x40:], "PE\x00\x00")
	coff := b[0x44:]
	le.PutUint16(coff, machine)
	le.PutUint16(coff[2:], 2)
	le.PutUint16(coff[16:], 240)
	opt := coff[20:]
	le.PutUint16(opt, 0x20b)
	le.PutUint32(opt[32:], 0x1000) // sections in memory
	le.PutUint32(opt[36:], section)
	le.PutUint32(opt[56:], 0x3000)
	le.PutUint32(opt[60:], headers)
	le.PutUint32(opt[108:], 16)
	for i, name := range []string{".text", ".sdmagic"} {
		h := opt[240+40*i:]
		copy(h[:8], name)
		for j, v := range []uint32{section, uint32(0x1000 * (i + 1)), section, uint32(headers + section*i)} {
			le.PutUint32(h[8+4*j:], v)
		}
	}
	copy(b[headers+section:], "#### LoaderInfo: systemd-stub 252 ####")
	return b
}
