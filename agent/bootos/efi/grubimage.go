package efi

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
)

// GRUBImage is what grub-mkimage put into a GRUB besides its code.
type GRUBImage struct {
	Prefix  string // where it looks for grub.cfg: "/EFI/debian", "(,gpt2)/boot/grub"
	Config  string // the configuration that it runs first; empty when it has none
	Memdisk bool   // it carries a file system of its own, with more configuration in it
	Argon2  bool   // one of its modules is that of Argon2
	BLSUKI  bool   // one of its modules is GRUB 2.14's for boot entries, and none is Red Hat's
}

// Modules of a GRUB image as "struct grub_module_info" and "struct grub_module_header" of GRUB's kernel.h lay them out:
// a magic, the offset of the first module, the size of all; then for each a type and a size that counts its header. The
// numbers are little-endian.
const (
	moduleMagic    = "mimg"
	objectMemdisk  = 1
	objectConfig   = 2
	objectPrefix   = 3
	maxModuleBytes = 64 << 20
)

var errGRUBImage = errors.New("its modules cannot be read")

// GRUBImage reads what a GRUB for EFI carries.
func (p *Program) GRUBImage() (*GRUBImage, error) {
	for _, s := range p.sections {
		if s.name != "mods" || s.Size > maxModuleBytes {
			continue
		}
		b := make([]byte, s.Size)
		if n, err := p.r.ReadAt(b, s.Offset); n < len(b) {
			return nil, err
		}
		return parseModules(b)
	}
	return nil, errGRUBImage
}

// parseModules reads the modules of a 64-bit GRUB, or of a 32-bit one.
func parseModules(b []byte) (*GRUBImage, error) {
	if len(b) < 24 || string(b[:4]) != moduleMagic {
		return nil, errGRUBImage
	}
	at, size := uint64(binary.LittleEndian.Uint32(b[4:])), uint64(binary.LittleEndian.Uint32(b[8:]))
	if at == 0 { // the 64-bit form has four bytes of padding and two 64-bit numbers
		at, size = binary.LittleEndian.Uint64(b[8:]), binary.LittleEndian.Uint64(b[16:])
	}
	if size > uint64(len(b)) || at > size {
		return nil, errGRUBImage
	}
	// A module has its name in itself, with a zero before and behind it. Others have the words argon2i and argon2id.
	has := func(module string) bool { return bytes.Contains(b[at:size], []byte("\x00"+module+"\x00")) }
	im := &GRUBImage{Argon2: has("argon2"), BLSUKI: has("blsuki") && !has("blscfg")}
	for b = b[at:size]; len(b) >= 8; {
		kind, n := binary.LittleEndian.Uint32(b), uint64(binary.LittleEndian.Uint32(b[4:]))
		if n < 8 || n > uint64(len(b)) {
			return nil, errGRUBImage
		}
		text, _, _ := strings.Cut(string(b[8:n]), "\x00")
		switch kind {
		case objectMemdisk:
			im.Memdisk = true
		case objectConfig:
			im.Config = text
		case objectPrefix:
			im.Prefix = text
		}
		b = b[n:]
	}
	if im.Prefix == "" {
		return nil, errors.New("it does not say where its configuration is")
	}
	return im, nil
}
