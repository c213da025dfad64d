// Package wire is the packet format of a cast: header, sealing, replay windows, and the bodies of control messages.
// docs/cast-protocol.md is its specification. Nothing here allocates per packet, and every parser takes bytes from
// strangers.
package wire

import (
	"encoding/binary"
	"errors"
)

// Sizes in bytes.
const (
	HeaderLen  = 24
	TagLen     = 16
	Overhead   = HeaderLen + TagLen
	MaxReport  = 1352                   // body of a REPORT, so that it fits a 1500-byte MTU with room for tunnels
	MaxControl = MaxReport + ReportRoom // what is sealed of any control message
	MaxLabel   = 32
)

// Type of a packet.
type Type uint8

// The types of version 2.
const (
	Data     Type = 1
	Announce Type = 2
	Report   Type = 3
	Reply    Type = 4
	Stream   Type = 5
)

const (
	magic = 0xDC
	// ProtocolVersion is that of packets, and of the parameters that receivers are given.
	ProtocolVersion = 2
)

// MaxSeq is the largest sequence number; origins have as many bits.
const MaxSeq = 1<<48 - 1

// Header is the first 24 bytes of every packet. It is authenticated, not encrypted.
type Header struct {
	Type   Type
	Index  uint8
	Flags  uint8
	Cast   uint32
	Origin uint64 // 48 bits: the sender's epoch, or the receiver's id in a REPORT
	Seq    uint64 // 48 bits
	Block  uint32
}

// Put writes h to the first HeaderLen bytes of b.
func (h *Header) Put(b []byte) {
	_ = b[HeaderLen-1]
	b[0] = magic
	b[1] = ProtocolVersion<<4 | byte(h.Type)
	b[2] = h.Index
	b[3] = h.Flags
	binary.BigEndian.PutUint32(b[4:], h.Cast)
	put48(b[8:], h.Origin)
	put48(b[14:], h.Seq)
	binary.BigEndian.PutUint32(b[20:], h.Block)
}

// Version is that of a packet that is one of this protocol, whatever its version; 0 if it is none.
func Version(b []byte) int {
	if len(b) < Overhead || b[0] != magic {
		return 0
	}
	return int(b[1] >> 4)
}

// ErrForeign says that a packet is not of this protocol and version.
var ErrForeign = errors.New("not a cast packet")

// Parse reads the header of packet b. It checks what can be checked without the key.
func (h *Header) Parse(b []byte) error {
	if len(b) < Overhead || b[0] != magic || b[1]>>4 != ProtocolVersion {
		return ErrForeign
	}
	h.Type = Type(b[1] & 15)
	if h.Type < Data || h.Type > Stream {
		return ErrForeign
	}
	h.Index = b[2]
	h.Flags = b[3]
	h.Cast = binary.BigEndian.Uint32(b[4:])
	h.Origin = get48(b[8:])
	h.Seq = get48(b[14:])
	h.Block = binary.BigEndian.Uint32(b[20:])
	return nil
}

func put48(b []byte, v uint64) {
	_ = b[5]
	b[0], b[1], b[2], b[3], b[4], b[5] = byte(v>>40), byte(v>>32), byte(v>>24), byte(v>>16), byte(v>>8), byte(v)
}

func get48(b []byte) uint64 {
	_ = b[5]
	return uint64(b[0])<<40 | uint64(b[1])<<32 | uint64(b[2])<<24 | uint64(b[3])<<16 | uint64(b[4])<<8 | uint64(b[5])
}
