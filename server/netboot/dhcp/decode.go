package dhcp

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// Where the fields of a packet are that are read of one that cannot be decoded, in bytes from its start (RFC 2131, 2).
const (
	opAt      = 0
	hlenAt    = 2
	macAt     = 28
	cookieAt  = 236
	optionsAt = 240
)

// cookie is in front of the options (RFC 2131, 3). A packet without it is one of BOOTP, which is not served.
var cookie = []byte{99, 130, 83, 99}

// decode reads a packet. RFC 2131 wants the end option, but some clients leave it out, as other servers let them. So
// one is put behind every packet: behind another it says nothing, and where the last option is cut off it becomes a
// part of that one, and there still is no end.
func decode(packet []byte) (*dhcpv4.DHCPv4, error) {
	return dhcpv4.FromBytes(append(slices.Clip(packet), dhcpv4.OptionEnd.Code()))
}

// cut says whose request a packet is that was not decoded, and what is wrong with it; nil when it is no client's.
func cut(packet []byte) (net.HardwareAddr, error) {
	if len(packet) < macAt+6 || packet[opAt] != byte(dhcpv4.OpcodeBootRequest) || packet[hlenAt] != 6 {
		return nil, nil
	}
	mac := net.HardwareAddr(packet[macAt : macAt+6])
	switch {
	case !ofOne(mac):
		return nil, nil
	case len(packet) < optionsAt:
		return mac, fmt.Errorf("it ends after %d bytes, within its header of %d", len(packet), optionsAt)
	case !bytes.Equal(packet[cookieAt:optionsAt], cookie):
		return nil, nil
	}
	return mac, errors.New("it ends within an option: its last is cut off")
}
