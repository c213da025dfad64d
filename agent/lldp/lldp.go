// Package lldp hears which port of which switch a network card is plugged into: the Link Layer Discovery Protocol, IEEE
// 802.1AB-2016. A switch says it every 30 seconds, unasked; nothing is sent. What it says is the word of whoever is at
// the other end of the cable.
package lldp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"unicode/utf8"
)

// EtherType is that of LLDP frames.
const EtherType = 0x88cc

// Bounds of what is read.
const (
	maxFrame = 1518
	maxTLVs  = 128
	maxName  = 63 // of what is told; the standard allows 255
)

// Neighbour is the other end of a cable.
type Neighbour struct {
	Switch string // its name, or else its chassis' id
	Port   string // as the switch calls it
}

// Types of TLVs, 8.4.1 to 8.5.6.
const (
	end             = 0
	chassisID       = 1
	portID          = 2
	ttl             = 3
	portDescription = 4
	systemName      = 5
)

// Subtypes of ids. The numbers of an address are the same in both.
const (
	chassisMAC = 4 // table 8-2
	chassisNet = 5
	portMAC    = 3 // table 8-3
	portNet    = 4
)

// Errors of Parse.
var (
	ErrShutdown = errors.New("the switch says that it has nothing to say any more (TTL 0)")
	errFormat   = errors.New("no LLDP data unit")
)

// Parse reads an LLDP data unit: what follows the EtherType in a frame.
func Parse(b []byte) (*Neighbour, error) {
	if len(b) > maxFrame {
		return nil, fmt.Errorf("%w: %d bytes", errFormat, len(b))
	}
	var n Neighbour
	var name, description, port string
	portIsMAC := false
	for i := 0; ; i++ {
		if i == maxTLVs {
			return nil, fmt.Errorf("%w: more than %d TLVs", errFormat, maxTLVs)
		}
		if len(b) == 0 && i >= ttl { // some leave the end out
			break
		}
		if len(b) < 2 {
			return nil, fmt.Errorf("%w: it is cut", errFormat)
		}
		head := binary.BigEndian.Uint16(b)
		kind, size := int(head>>9), int(head&0x1ff)
		if len(b) < 2+size {
			return nil, fmt.Errorf("%w: TLV %d is cut", errFormat, kind)
		}
		v := b[2 : 2+size]
		b = b[2+size:]
		// The first three are there, in this order, and nowhere else: 8.2.
		if must := i + 1; (must <= ttl || kind >= chassisID && kind <= ttl) && kind != must {
			return nil, fmt.Errorf("%w: TLV %d is in place %d", errFormat, kind, must)
		}
		switch kind {
		case end:
			b = nil
		case chassisID:
			n.Switch, _ = id(v, chassisMAC, chassisNet)
		case portID:
			port, portIsMAC = id(v, portMAC, portNet)
		case ttl:
			if len(v) < 2 {
				return nil, fmt.Errorf("%w: its TTL has %d bytes", errFormat, len(v))
			}
			if binary.BigEndian.Uint16(v) == 0 {
				return nil, ErrShutdown
			}
		case portDescription:
			description = text(v)
		case systemName:
			name = text(v)
		}
		if kind == end {
			break
		}
	}
	if name != "" {
		n.Switch = name
	}
	// A port whose id is an address is known to people by its description (Linux switches: "swp7").
	if n.Port = port; portIsMAC && description != "" {
		n.Port = description
	}
	if n.Switch == "" || n.Port == "" {
		return nil, fmt.Errorf("%w: it names no switch or no port", errFormat)
	}
	return &n, nil
}

// id reads the id of a chassis or a port.
func id(v []byte, mac, network byte) (s string, isMAC bool) {
	if len(v) < 2 || len(v) > 256 {
		return "", false
	}
	kind, v := v[0], v[1:]
	switch {
	case kind == mac && len(v) == 6:
		return net.HardwareAddr(v).String(), true
	case kind == network && len(v) == 5 && v[0] == 1: // IANA's address family: IPv4
		return net.IP(v[1:]).String(), false
	case kind == network && len(v) == 17 && v[0] == 2:
		return net.IP(v[1:]).String(), false
	}
	return text(v), false
}

// text is a string of the frame, which may end in zeros; what is no text is written as hex digits.
func text(v []byte) string {
	for len(v) > 0 && (v[len(v)-1] == 0 || v[len(v)-1] == ' ') {
		v = v[:len(v)-1]
	}
	for len(v) > 0 && v[0] == ' ' {
		v = v[1:]
	}
	if !printable(v) {
		v = fmt.Appendf(nil, "%x", v)
	}
	for len(v) > maxName || !utf8.Valid(v) {
		v = v[:len(v)-1]
	}
	return string(v)
}

func printable(v []byte) bool {
	for _, c := range v {
		if c < ' ' || c == 0x7f {
			return false
		}
	}
	return utf8.Valid(v)
}
