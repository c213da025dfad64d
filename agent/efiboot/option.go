package efiboot

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"unicode/utf16"
)

// Option is a load option, the content of a variable Boot#### (UEFI specification 2.10, section 3.1.3): attributes (32 bits), length of
// the device paths in bytes (16), description (UCS-2, ended by zero), device paths, optional data; all little endian.
type Option struct {
	Attributes  uint32
	Description string
	Path        []byte // device paths, node after node; the first path is what is started
	Optional    []byte // for the program that is started
}

// Attributes of a load option.
const (
	active      = 0x00000001 // tried by the boot manager
	categoryApp = 0x00000100 // a program that the boot order does not start: the firmware's setup
	categories  = 0x00001f00
)

// maxOption bounds an option, in bytes. Firmware's own variables have at most 64 KiB.
const maxOption = 64 << 10

var errOption = errors.New("not a load option")

// ParseOption reads the content of a variable Boot####.
func ParseOption(b []byte) (*Option, error) {
	if len(b) < 8 || len(b) > maxOption {
		return nil, fmt.Errorf("%w: %d bytes", errOption, len(b))
	}
	le := binary.LittleEndian
	o := &Option{Attributes: le.Uint32(b)}
	paths := int(le.Uint16(b[4:]))
	var units []uint16
	rest := b[6:]
	for {
		if len(rest) < 2 {
			return nil, fmt.Errorf("%w: its description has no end", errOption)
		}
		u := le.Uint16(rest)
		rest = rest[2:]
		if u == 0 {
			break
		}
		units = append(units, u)
	}
	if paths > len(rest) {
		return nil, fmt.Errorf("%w: device paths of %d bytes in %d", errOption, paths, len(rest))
	}
	o.Description, o.Path, o.Optional = string(utf16.Decode(units)), rest[:paths], rest[paths:]
	return o, nil
}

// Bytes is the content of the variable.
func (o *Option) Bytes() []byte {
	le := binary.LittleEndian
	b := le.AppendUint32(nil, o.Attributes)
	b = le.AppendUint16(b, uint16(len(o.Path)))
	for _, u := range utf16.Encode([]rune(o.Description)) {
		b = le.AppendUint16(b, u)
	}
	b = append(b, 0, 0)
	return append(append(b, o.Path...), o.Optional...)
}

// Types of device path nodes (UEFI specification 2.10, chapter 10): type in the upper byte, subtype in the lower.
const (
	nodeATAPI     = 0x0301
	nodeSCSI      = 0x0302
	nodeFibre     = 0x0303
	nodeUSB       = 0x0305
	nodeVendor    = 0x030a // a GUID, and what its owner makes of it
	nodeMAC       = 0x030b
	nodeIPv4      = 0x030c
	nodeIPv6      = 0x030d
	nodeUSBWWID   = 0x0310
	nodeSATA      = 0x0312
	nodeISCSI     = 0x0313
	nodeVLAN      = 0x0314
	nodeFibreEx   = 0x0315
	nodeSASEx     = 0x0316
	nodeNVMe      = 0x0317
	nodeURI       = 0x0318
	nodeUFS       = 0x0319
	nodeSD        = 0x031a
	nodeWiFi      = 0x031c
	nodeEMMC      = 0x031d
	nodeDNS       = 0x031f
	nodeNVDIMM    = 0x0320
	nodeNVMeOF    = 0x0322
	nodeDisk      = 0x0401 // a partition of a disk
	nodeCDROM     = 0x0402
	nodeFile      = 0x0404
	nodeFVFile    = 0x0406 // a program in the firmware itself
	nodeFV        = 0x0407
	nodeBBS       = 0x0501 // what a BIOS would have started
	nodeEnd       = 0x7fff
	nodeEndOfPath = 0x7f01 // another path follows
)

// node is one node of a device path.
type node struct {
	kind int
	data []byte
}

// nodes cuts the first device path up; a path that is broken ends where it breaks.
func (o *Option) nodes() []node {
	var out []node
	for b := o.Path; len(b) >= 4; {
		n := int(binary.LittleEndian.Uint16(b[2:]))
		if n < 4 || n > len(b) {
			break
		}
		kind := int(b[0])<<8 | int(b[1])
		if kind == nodeEnd || kind == nodeEndOfPath {
			break
		}
		out = append(out, node{kind, b[4:n]})
		b = b[n:]
	}
	return out
}

func appendNode(b []byte, kind int, data []byte) []byte {
	b = append(b, byte(kind>>8), byte(kind))
	b = binary.LittleEndian.AppendUint16(b, uint16(4+len(data)))
	return append(b, data...)
}

// Partition is a partition as a device path names it (section 10.3.5.1). A path may begin with it: firmware then finds the disk by
// the signature (section 3.1.2).
type Partition struct {
	Number    uint32
	Start     uint64 // in sectors of the disk
	Size      uint64 // in sectors
	Signature [16]byte
	GPT       bool // Signature is the partition's GUID; else its first four bytes are the disk's signature in an MBR
}

func (p *Partition) node() []byte {
	le := binary.LittleEndian
	b := le.AppendUint32(nil, p.Number)
	b = le.AppendUint64(b, p.Start)
	b = le.AppendUint64(b, p.Size)
	b = append(b, p.Signature[:]...)
	if p.GPT {
		return append(b, 2, 2) // partition format GPT, signature is a GUID
	}
	return append(b, 1, 1)
}

func parsePartition(b []byte) (p Partition, ok bool) {
	if len(b) != 38 || b[36] != b[37] || b[36] != 1 && b[36] != 2 {
		return p, false
	}
	le := binary.LittleEndian
	p = Partition{Number: le.Uint32(b), Start: le.Uint64(b[4:]), Size: le.Uint64(b[12:]), GPT: b[36] == 2}
	copy(p.Signature[:], b[20:36])
	return p, true
}

// same tells whether firmware takes both for the same partition: a GUID is enough, the signature of an MBR is the whole disk's.
func (p *Partition) same(q *Partition) bool {
	return p.GPT == q.GPT && p.Signature == q.Signature && (p.GPT || p.Number == q.Number)
}

// id is the signature as tools print it.
func (p *Partition) id() string {
	s := p.Signature
	if !p.GPT {
		return fmt.Sprintf("0x%08x", binary.LittleEndian.Uint32(s[:]))
	}
	return fmt.Sprintf("%08x-%04x-%04x-%x-%x", binary.LittleEndian.Uint32(s[:]), binary.LittleEndian.Uint16(s[4:]), binary.LittleEndian.Uint16(s[6:]), s[8:10], s[10:])
}

// signature is the inverse of id.
func signature(id string) (s [16]byte, gpt bool, err error) {
	if rest, ok := strings.CutPrefix(id, "0x"); ok {
		raw, err := hex.DecodeString(rest)
		if err != nil || len(raw) != 4 {
			return s, false, fmt.Errorf("%q is not a disk signature", id)
		}
		s[0], s[1], s[2], s[3] = raw[3], raw[2], raw[1], raw[0]
		return s, false, nil
	}
	raw, err := hex.DecodeString(strings.ReplaceAll(id, "-", ""))
	if err != nil || len(raw) != 16 {
		return s, false, fmt.Errorf("%q is not a GUID", id)
	}
	copy(s[:], raw)
	// The first three groups are little endian (appendix A).
	s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7] = s[3], s[2], s[1], s[0], s[5], s[4], s[7], s[6]
	return s, true, nil
}

// diskPath is the device path of a file on a partition; file has slashes.
func diskPath(p *Partition, file string) []byte {
	var name []byte
	for _, u := range utf16.Encode([]rune(`\` + strings.ReplaceAll(strings.TrimPrefix(file, "/"), "/", `\`) + "\x00")) {
		name = binary.LittleEndian.AppendUint16(name, u)
	}
	b := appendNode(nil, nodeDisk, p.node())
	b = appendNode(b, nodeFile, name)
	return appendNode(b, nodeEnd, nil)
}

// starts returns which partition an option starts from, and which file there, with slashes; ok is false when it starts from elsewhere. Full paths,
// from the root of the machine, are understood too. A file may be spread over several nodes.
func (o *Option) starts() (p Partition, file string, ok bool) {
	for _, n := range o.nodes() {
		switch n.kind {
		case nodeDisk:
			p, ok = parsePartition(n.data)
		case nodeFile:
			var units []uint16
			for i := 0; i+1 < len(n.data); i += 2 {
				units = append(units, binary.LittleEndian.Uint16(n.data[i:]))
			}
			part, _, _ := strings.Cut(string(utf16.Decode(units)), "\x00")
			file += "/" + strings.ReplaceAll(part, `\`, "/")
		}
	}
	return p, strings.Join(strings.FieldsFunc(file, func(r rune) bool { return r == '/' }), "/"), ok
}

// onlyPartition tells whether the path begins with the partition: then firmware finds it by nothing else.
func (o *Option) onlyPartition() bool {
	n := o.nodes()
	return len(n) > 0 && n[0].kind == nodeDisk
}

// Equal compares two options byte for byte.
func (o *Option) Equal(q *Option) bool { return bytes.Equal(o.Bytes(), q.Bytes()) }
