package nvme

import (
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/diskcast/diskcast/internal/plain"
)

// Identity is what of Identify Controller matters to an erase (Base 5.17.2.1).
type Identity struct {
	Model, Serial, Firmware string
	Namespaces              uint32 // the highest ID that there can be
	Format                  bool   // Format NVM
	Management              bool   // namespaces can be made and deleted
	// FormatAll and EraseAll say that a format, or a format with secure erase, concerns all namespaces.
	FormatAll, EraseAll, FormatCrypto                bool
	SanitizeCrypto, SanitizeBlock, SanitizeOverwrite bool
	Total, Unallocated                               uint64 // bytes; 0: it does not say. Of more than 64 bits: all ones
}

// maxWord bounds what a controller says of itself, in bytes.
const maxWord = 64

// ParseIdentity parses Identify Controller.
func ParseIdentity(b []byte) (*Identity, error) {
	if len(b) != Page {
		return nil, fmt.Errorf("Identify Controller has %d bytes, not %d", len(b), Page)
	}
	oacs, fna, sanicap := binary.LittleEndian.Uint16(b[256:]), b[524], binary.LittleEndian.Uint32(b[328:])
	id := &Identity{
		Serial: plain.Words(string(b[4:24]), maxWord), Model: plain.Words(string(b[24:64]), maxWord),
		Firmware:   plain.Words(string(b[64:72]), maxWord),
		Namespaces: binary.LittleEndian.Uint32(b[516:]),
		Format:     oacs>>1&1 == 1, Management: oacs>>3&1 == 1,
		FormatAll: fna&1 == 1, EraseAll: fna>>1&1 == 1, FormatCrypto: fna>>2&1 == 1,
		SanitizeCrypto: sanicap&1 == 1, SanitizeBlock: sanicap>>1&1 == 1, SanitizeOverwrite: sanicap>>2&1 == 1,
		Total: capped(b[280:296]), Unallocated: capped(b[296:312]),
	}
	if id.Namespaces == 0 {
		return nil, fmt.Errorf("Identify Controller says that there can be no namespace")
	}
	return id, nil
}

// capped is a number of 128 bits, or the highest of 64.
func capped(b []byte) uint64 {
	if binary.LittleEndian.Uint64(b[8:]) != 0 {
		return 1<<64 - 1
	}
	return binary.LittleEndian.Uint64(b)
}

// Namespace is what of Identify Namespace matters (NVM Command Set 4.1.5.1).
type Namespace struct {
	Blocks     uint64
	BlockSize  int // bytes of data
	Metadata   int // bytes a block
	format     byte
	extended   bool // metadata is at the end of the data
	protection byte // type in bits 2:0, place in bit 3
}

// ParseNamespace parses Identify Namespace.
func ParseNamespace(b []byte) (*Namespace, error) {
	if len(b) != Page {
		return nil, fmt.Errorf("Identify Namespace has %d bytes, not %d", len(b), Page)
	}
	n := &Namespace{Blocks: binary.LittleEndian.Uint64(b)}
	formats, flbas := int(b[25])+1, b[26]
	n.format = flbas&0xf | flbas>>5&3<<4
	n.extended, n.protection = flbas>>4&1 == 1, b[29]&0xf
	switch {
	case n.Blocks == 0:
		return nil, fmt.Errorf("the namespace is not active")
	case int(n.format) >= formats || n.format >= 64:
		return nil, fmt.Errorf("Identify Namespace says format %d of %d", n.format, formats)
	}
	f := binary.LittleEndian.Uint32(b[128+4*int(n.format):])
	shift := f >> 16 & 0xff
	if shift < 9 || shift > 16 {
		return nil, fmt.Errorf("Identify Namespace says blocks of 2^%d bytes", shift)
	}
	n.BlockSize, n.Metadata = 1<<shift, int(f&0xffff)
	if hi, size := bits.Mul64(n.Blocks, uint64(n.BlockSize)); hi != 0 || size > 1<<62 {
		return nil, fmt.Errorf("Identify Namespace says %d blocks", n.Blocks)
	}
	return n, nil
}

// Size is in bytes of data.
func (n *Namespace) Size() int64 { return int64(n.Blocks) * int64(n.BlockSize) }

// ParseList parses a list of namespace IDs: ascending, zeros behind (Base 5.17.2.3).
func ParseList(b []byte) ([]uint32, error) {
	if len(b) != Page {
		return nil, fmt.Errorf("a list of namespaces has %d bytes, not %d", len(b), Page)
	}
	var ids []uint32
	for at := 0; at < Page; at += 4 {
		id := binary.LittleEndian.Uint32(b[at:])
		if id == 0 {
			break
		}
		if len(ids) > 0 && id <= ids[len(ids)-1] || id > Every-2 {
			return nil, fmt.Errorf("a list of namespaces has %d at place %d, which is out of order", id, at/4)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// What Identify is asked for (CNS).
const (
	cnsNamespace  = 0x00
	cnsController = 0x01
	cnsActive     = 0x02
	cnsAllocated  = 0x10
)

func ask(c Controller, name string, cns, nsid uint32) ([]byte, error) {
	b := make([]byte, Page)
	return b, c.Do(&Command{Name: name, Opcode: identify, NSID: nsid, DW10: cns, Data: b, Timeout: probe})
}

// Identify asks what the controller is.
func Identify(c Controller) (*Identity, error) {
	b, err := ask(c, "Identify Controller", cnsController, 0)
	if err != nil {
		return nil, err
	}
	return ParseIdentity(b)
}

// IdentifyNamespace asks what a namespace is.
func IdentifyNamespace(c Controller, nsid uint32) (*Namespace, error) {
	b, err := ask(c, "Identify Namespace", cnsNamespace, nsid)
	if err != nil {
		return nil, err
	}
	return ParseNamespace(b)
}

// Others lists the namespaces beside one: those that this controller sees, and where they can be managed also those
// that are attached to none. The first 1024 are enough to know that there are others.
func Others(c Controller, id *Identity, nsid uint32) ([]uint32, error) {
	name, cns := "Identify, list of active namespaces", uint32(cnsActive)
	if id.Management {
		name, cns = "Identify, list of allocated namespaces", cnsAllocated
	}
	b, err := ask(c, name, cns, 0)
	if err != nil {
		return nil, err
	}
	all, err := ParseList(b)
	if err != nil {
		return nil, err
	}
	var others []uint32
	found := false
	for _, n := range all {
		if n == nsid {
			found = true
		} else {
			others = append(others, n)
		}
	}
	if !found {
		return nil, fmt.Errorf("the controller's list of namespaces does not have namespace %d, which the kernel "+
			"says this "+
			"disk is", nsid)
	}
	return others, nil
}
