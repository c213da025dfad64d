package session

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Look has a node that has nothing else to do look at its network and at itself: Descriptor.Look, of Idle. The answer
// is a LookResult.
type Look struct {
	ID string `json:"id"` // of this asking
	// Group is a multicast group to which the server sends packets with the ID meanwhile; the zero value: it cannot.
	Group netip.AddrPort `json:"group,omitzero"`
	// Packet is how large a cast's packets are, in bytes, with all headers.
	Packet int `json:"packet"`
	// Listen, in seconds, is how long the group and a querier are listened for.
	Listen float64 `json:"listen"`
}

// Bounds of a Look.
const (
	MaxLook     = 64 // bytes of its ID
	MaxListen   = 30 // seconds
	maxLookDisk = 256
)

func (l *Look) check() error {
	switch {
	case l.ID == "" || len(l.ID) > MaxLook:
		return fmt.Errorf("look: id %.80q", l.ID)
	case l.Group.IsValid() && (!l.Group.Addr().Is4() || !l.Group.Addr().IsMulticast() || l.Group.Port() == 0):
		return fmt.Errorf("look: group %v is not a multicast address of IPv4 and port", l.Group)
	case l.Packet < 64 || l.Packet > 65535:
		return fmt.Errorf("look: packets of %d bytes", l.Packet)
	case !(l.Listen > 0 && l.Listen <= MaxListen):
		return fmt.Errorf("look: listening for %v s", l.Listen)
	}
	return nil
}

// LookResult is what a node saw: POST /v1/node/{node}/look. What it could not see is in Missed, in words.
type LookResult struct {
	V     int       `json:"v"`
	ID    string    `json:"id"`  // Look.ID
	NIC   string    `json:"nic"` // through which it reaches the server
	Clock time.Time `json:"clock"`
	// LinkWait, in seconds, is from the link to the DHCP server's answer; nil when that was not seen.
	LinkWait *float64 `json:"link_wait,omitempty"`
	MTU      int      `json:"mtu,omitempty"` // of the NIC
	// PathMTU is the size, in bytes, of the largest of some packets that may not be fragmented and that the server
	// answered; nil when none was sent, 0 when none was answered.
	PathMTU *int `json:"path_mtu,omitempty"`
	// Heard is how many of the server's packets to the group came; nil when none was listened for.
	Heard *int `json:"heard,omitempty"`
	// Querier is who asked for multicast groups while the node listened, empty for nobody; nil when it did not listen.
	Querier *string `json:"querier,omitempty"`
	Mbps    int     `json:"mbps,omitempty"`
	Duplex  string  `json:"duplex,omitempty"`
	// Counters of the NIC since its driver was loaded, by the names of sysfs: rx_crc_errors, rx_dropped, ...
	Counters   map[string]int64 `json:"counters,omitempty"`
	Disks      []Disk           `json:"disks"`
	Undriven   []string         `json:"undriven,omitempty"`
	Memory     int64            `json:"memory"`
	MemoryFree int64            `json:"memory_free"`
	Missed     []string         `json:"missed,omitempty"`
}

func (r *LookResult) version() int { return r.V }

func (r *LookResult) check() error {
	switch {
	case r.ID == "" || len(r.ID) > MaxLook:
		return errors.New("look: no id, or too long a one")
	case len(r.Counters) > 64 || len(r.Missed) > 64 || len(r.Undriven) > 64 || len(r.Disks) > maxLookDisk:
		return errors.New("look: a list is too long")
	case r.Memory < 0 || r.MemoryFree < 0 || r.MTU < 0 || r.Mbps < 0:
		return errors.New("look: a size below 0")
	case r.LinkWait != nil && !(*r.LinkWait >= 0 && *r.LinkWait < 1e9):
		return errors.New("look: a time that cannot be")
	}
	return nil
}
