package efivars

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"unicode/utf16"
)

// Option is a load option, the content of a variable Boot#### (UEFI specification 2.10, section 3.1.3): attributes (32
// bits), length of the device paths in bytes (16), description (UCS-2, ended by zero), device paths, optional data; all
// little endian.
type Option struct {
	Attributes  uint32
	Description string
	Path        []byte // device paths, node after node; the first path is what is started
	Optional    []byte // for the program that is started
}

// Attributes of a load option.
const (
	Active      = 0x00000001 // tried by the boot manager
	CategoryApp = 0x00000100 // a program that the boot order does not start: the firmware's setup
	categories  = 0x00001f00
)

// MaxSize bounds a variable, in bytes. Firmware's own have at most 64 KiB.
const MaxSize = 64 << 10

var errOption = errors.New("not a load option")

// ParseOption reads the content of a variable Boot####.
func ParseOption(b []byte) (*Option, error) {
	if len(b) < 8 || len(b) > MaxSize {
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

// Tried tells whether the boot manager tries an option of the boot order.
func (o *Option) Tried() bool {
	return o.Attributes&Active != 0 && o.Attributes&categories != CategoryApp
}

// Types of device path nodes (UEFI specification 2.10, chapter 10): type in the upper byte, subtype in the lower.
const (
	NodeATAPI     = 0x0301
	NodeSCSI      = 0x0302
	NodeFibre     = 0x0303
	NodeUSB       = 0x0305
	NodeVendor    = 0x030a // a GUID, and what its owner makes of it
	NodeMAC       = 0x030b
	NodeIPv4      = 0x030c
	NodeIPv6      = 0x030d
	NodeUSBWWID   = 0x0310
	NodeSATA      = 0x0312
	NodeISCSI     = 0x0313
	NodeVLAN      = 0x0314
	NodeFibreEx   = 0x0315
	NodeSASEx     = 0x0316
	NodeNVMe      = 0x0317
	NodeURI       = 0x0318
	NodeUFS       = 0x0319
	NodeSD        = 0x031a
	NodeWiFi      = 0x031c
	NodeEMMC      = 0x031d
	NodeDNS       = 0x031f
	NodeNVDIMM    = 0x0320
	NodeNVMeOF    = 0x0322
	NodeDisk      = 0x0401 // a partition of a disk
	NodeCDROM     = 0x0402
	NodeFile      = 0x0404
	NodeFVFile    = 0x0406 // a program in the firmware itself
	NodeFV        = 0x0407
	NodeBBS       = 0x0501 // what a BIOS would have started
	NodeEnd       = 0x7fff
	NodeEndOfPath = 0x7f01 // another path follows
)

// Node is one node of a device path.
type Node struct {
	Kind int // type and subtype
	Data []byte
}

// Nodes cuts the first device path up; a path that is broken ends where it breaks.
func (o *Option) Nodes() []Node {
	var out []Node
	for b := o.Path; len(b) >= 4; {
		n := int(binary.LittleEndian.Uint16(b[2:]))
		if n < 4 || n > len(b) {
			break
		}
		kind := int(b[0])<<8 | int(b[1])
		if kind == NodeEnd || kind == NodeEndOfPath {
			break
		}
		out = append(out, Node{kind, b[4:n]})
		b = b[n:]
	}
	return out
}

// AppendNode writes a node behind others.
func AppendNode(b []byte, kind int, data []byte) []byte {
	b = append(b, byte(kind>>8), byte(kind))
	b = binary.LittleEndian.AppendUint16(b, uint16(4+len(data)))
	return append(b, data...)
}

// Partition is a partition as a device path names it (section 10.3.5.1). A path may begin with it: firmware then finds
// the disk by the signature (section 3.1.2).
type Partition struct {
	Number    uint32
	Start     uint64 // in sectors of the disk
	Size      uint64 // in sectors
	Signature [16]byte
	GPT       bool // Signature is the partition's GUID; else its first four bytes are the disk's signature in an MBR
}

// Node is the data of the node that names the partition.
func (p *Partition) Node() []byte {
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

// Same tells whether firmware takes both for the same partition: a GUID is enough, the signature of an MBR is the whole
// disk's.
func (p *Partition) Same(q *Partition) bool {
	return p.GPT == q.GPT && p.Signature == q.Signature && (p.GPT || p.Number == q.Number)
}

// ID is the signature as tools print it.
func (p *Partition) ID() string {
	s := p.Signature
	if !p.GPT {
		return fmt.Sprintf("0x%08x", binary.LittleEndian.Uint32(s[:]))
	}
	return fmt.Sprintf("%08x-%04x-%04x-%x-%x", binary.LittleEndian.Uint32(s[:]), binary.LittleEndian.Uint16(s[4:]),
		binary.LittleEndian.Uint16(s[6:]), s[8:10], s[10:])
}

// PartUUID is the partition as Linux writes it: a GUID in lower case, or 1234abcd-01.
func (p *Partition) PartUUID() string {
	if p.GPT {
		return p.ID()
	}
	return fmt.Sprintf("%08x-%02x", binary.LittleEndian.Uint32(p.Signature[:]), p.Number)
}

// Signature is the inverse of ID.
func Signature(id string) (s [16]byte, gpt bool, err error) {
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

// DiskPath is the device path of a file on a partition; file has slashes.
func DiskPath(p *Partition, file string) []byte {
	var name []byte
	for _, u := range utf16.Encode([]rune(`\` + strings.ReplaceAll(strings.TrimPrefix(file, "/"), "/", `\`) + "\x00")) {
		name = binary.LittleEndian.AppendUint16(name, u)
	}
	b := AppendNode(nil, NodeDisk, p.Node())
	b = AppendNode(b, NodeFile, name)
	return AppendNode(b, NodeEnd, nil)
}

// Starts returns which partition an option starts from, and which file there, with slashes; ok is false when it starts
// from elsewhere. Full paths, from the root of the machine, are understood too. A file may be spread over several
// nodes.
func (o *Option) Starts() (p Partition, file string, ok bool) {
	for _, n := range o.Nodes() {
		switch n.Kind {
		case NodeDisk:
			p, ok = parsePartition(n.Data)
		case NodeFile:
			file += "/" + strings.ReplaceAll(text(n.Data), `\`, "/")
		}
	}
	return p, strings.Join(strings.FieldsFunc(file, func(r rune) bool { return r == '/' }), "/"), ok
}

// OnlyPartition tells whether the path begins with the partition: then firmware finds it by nothing else.
func (o *Option) OnlyPartition() bool {
	n := o.Nodes()
	return len(n) > 0 && n[0].Kind == NodeDisk
}

// Equal compares two options byte for byte.
func (o *Option) Equal(q *Option) bool { return bytes.Equal(o.Bytes(), q.Bytes()) }
