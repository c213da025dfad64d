// Package dhcp tells machines that boot over the network who they are and what to load: as the only DHCP server of
// the LAN (full), or beside the site's own, which gives the addresses (proxy).
//
// The core is Responder: one packet in, at most one packet out, no sockets. Server puts it on UDP ports 67 and 4011 of
// one interface.
//
// A machine asks up to three times on its way: its firmware (PXE or UEFI HTTP boot), the iPXE that the firmware
// loaded, and the agent's userland. The hardware address is the key of all three, so that all get one address.
package dhcp

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strings"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"
)

// Kind says what sort of program asks.
type Kind int

// Kinds of clients.
const (
	Plain Kind = iota // an operating system: wants an address, boots nothing
	PXE               // firmware that loads by TFTP
	HTTP              // firmware that loads by HTTP (UEFI 2.5 HTTP boot)
	IPXE              // iPXE: loads by HTTP, runs scripts
)

func (k Kind) String() string {
	return [...]string{"plain", "PXE", "UEFI HTTP", "iPXE"}[k]
}

// Client is what a request says of its sender.
type Client struct {
	MAC   net.HardwareAddr
	Kind  Kind
	Arch  iana.Arch // RFC 4578 2.1 and IANA's registry; meaningful for Kind other than Plain
	Relay Relay     // who passed the request on
	// Transaction is the client's number of this exchange, big endian (RFC 2131, 2: 32 bits; RFC 8415, 8: 24). A
	// request that is sent again bears the same.
	Transaction uint32
}

// UEFI reports whether the client runs on UEFI firmware.
func (c Client) UEFI() bool { return c.Arch != iana.INTEL_X86PC }

// classify reads who asks. iPXE is told by its user class (option 77): iPXE writes the bare four letters where RFC 3004
// wants a length before them, and some builds do it by the RFC, so both are looked for; option 175 is its own space.
func classify(m *dhcpv4.DHCPv4) Client {
	c := Client{MAC: m.ClientHWAddr, Arch: iana.INTEL_X86PC, Relay: relayOf(m),
		Transaction: binary.BigEndian.Uint32(m.TransactionID[:])}
	if archs := m.ClientArch(); len(archs) > 0 {
		c.Arch = archs[0]
	}
	class := m.ClassIdentifier()
	switch {
	case strings.Contains(string(m.Options.Get(dhcpv4.OptionUserClassInformation)), "iPXE"):
		c.Kind = IPXE
	case strings.HasPrefix(class, "HTTPClient"):
		c.Kind = HTTP
	case strings.HasPrefix(class, "PXEClient"):
		c.Kind = PXE
	}
	return c
}

// Seen is what a request told about a machine, for its timeline.
type Seen struct {
	Client Client
	// Addr is the machine's address where the server knows it: always after an ACK of the full mode.
	Addr netip.Addr
	// Given is the boot file or URL in the answer, empty when none was.
	Given string
	// Problem says in words why a machine that wants to boot gets nothing.
	Problem string
	// Final is set on the answer that ends an exchange (an ACK, or the proxy's only answer).
	Final bool
	// Silent is set when the request is not answered because the machine boots nothing from here.
	Silent bool
}
