package doc

import "time"

// States of a lease.
const (
	LeaseOffered = "offered" // the machine was offered the address and did not take it yet
	LeaseHeld    = "held"    // it is the machine's
	LeaseOver    = "over"    // it ended; the machine gets the address again unless another needs it
	// a machine that it was not given to uses the address; MAC is that machine's where it answered
	LeaseConflict = "conflict"
)

// DHCP is what the server does for the addresses of the LAN: GET /v1/dhcp.
type DHCP struct {
	Mode string `json:"mode"` // "full" or "proxy"
	// Range, Addresses (how many it has to give) and Free (how many nobody holds) are of the full mode.
	Range     string  `json:"range,omitempty"`
	Addresses int     `json:"addresses"`
	Free      int     `json:"free"`
	Leases    []Lease `json:"leases"` // by address
	// Others are DHCP servers that were heard besides this one.
	Others   []DHCPServer `json:"others"`
	Warnings []string     `json:"warnings,omitempty"` // sentences about what goes wrong now
}

// Lease is one address of the range that is not free, or was somebody's.
type Lease struct {
	Addr  string `json:"addr"`
	MAC   string `json:"mac"`
	State string `json:"state"`
	// Known says that the machine booted from this server: its lease is for the whole time and is never reclaimed.
	Known bool      `json:"known"`
	Given time.Time `json:"given,omitzero"`
	Until time.Time `json:"until"`
}

// DHCPServer is another DHCP server on the LAN.
type DHCPServer struct {
	Server string `json:"server"`        // its identifier (DHCP option 54), an address
	MAC    string `json:"mac,omitempty"` // of the frame its answer came in; a relay's where there is one
	// Gives is "addresses", "boot files" (a proxy), or "unknown": a machine asked for its offer, and it was not heard
	// itself.
	Gives string `json:"gives"`
	// BootFile is the boot file that its offer of an address names, and NextServer where it is; empty for none.
	BootFile   string    `json:"boot_file,omitempty"`
	NextServer string    `json:"next_server,omitempty"`
	First      time.Time `json:"first"`
	Last       time.Time `json:"last"`
}
