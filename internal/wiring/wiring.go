// Package wiring is how nodes are wired to their network where that is more than a cable and DHCP: a tagged VLAN, a
// bond of several NICs, an address of one's own. mkimage takes the words as flags and puts them into site.json; the
// agent reads them there and on the kernel's command line.
package wiring

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
)

// maxWord bounds, in bytes, what is parsed: a command line has 2048 to 4096.
const maxWord = 512

// maxNICs bounds the members of a bond.
const maxNICs = 16

// Settings of a node's wiring. The zero value is a NIC that asks for its address by DHCP, without a tag.
type Settings struct {
	VLAN   int     // the tag, 1 to 4094; 0: none
	Bond   *Bond   // nil: one NIC
	Static *Static // nil: DHCP
	// NIC is the only one to use, by name or MAC address; empty: the one that the machine booted from.
	NIC string
}

// ParseVLAN reads the number of a VLAN. 0 and 4095 have a meaning of their own (IEEE 802.1Q-2018, table 9-2).
func ParseVLAN(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > 4094 || strconv.Itoa(n) != s {
		return 0, fmt.Errorf("VLAN %q is no number from 1 to 4094", short(s))
	}
	return n, nil
}

// CheckVLAN is ParseVLAN for a number; 0 is none.
func CheckVLAN(n int) error {
	if n < 0 || n > 4094 {
		return fmt.Errorf("VLAN %d is no number from 1 to 4094", n)
	}
	return nil
}

// Bond is several NICs as one.
type Bond struct {
	Mode string
	// NICs are the members, by name or MAC address; none: every NIC.
	NICs []string
}

// modes are those of the kernel's driver, by its names (Documentation/networking/bonding.rst).
var modes = []string{"balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb",
	"balance-alb"}

// ParseBond reads MODE or MODE:NIC,NIC...
func ParseBond(s string) (*Bond, error) {
	if len(s) > maxWord {
		return nil, fmt.Errorf("bond %q is too long", short(s))
	}
	mode, nics, given := strings.Cut(s, ":")
	if !slices.Contains(modes, mode) {
		return nil, fmt.Errorf("bond %q: %q is none of the modes %s; write MODE or MODE:NIC,NIC with names or MAC "+
			"addresses", short(s), short(mode), strings.Join(modes, ", "))
	}
	b := &Bond{Mode: mode}
	if !given {
		return b, nil
	}
	for nic := range strings.SplitSeq(nics, ",") {
		if err := CheckNIC(nic); err != nil {
			return nil, fmt.Errorf("bond %q: %w", short(s), err)
		}
		nic = normal(nic)
		if slices.Contains(b.NICs, nic) {
			return nil, fmt.Errorf("bond %q has %s twice", short(s), nic)
		}
		b.NICs = append(b.NICs, nic)
	}
	if len(b.NICs) > maxNICs {
		return nil, fmt.Errorf("bond %q has %d NICs; at most %d can be named", short(s), len(b.NICs), maxNICs)
	}
	return b, nil
}

// String is the bond as ParseBond reads it.
func (b *Bond) String() string {
	if len(b.NICs) == 0 {
		return b.Mode
	}
	return b.Mode + ":" + strings.Join(b.NICs, ",")
}

// CheckNIC says what is wrong with the name or MAC address of a NIC.
func CheckNIC(s string) error {
	if _, err := net.ParseMAC(s); err == nil {
		return nil
	}
	ok := s != "" && len(s) < 16 && !strings.Contains(s, "..") // IFNAMSIZ of linux/if.h
	for _, c := range s {
		ok = ok && (c == '.' || c == '-' || c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' ||
			'A' <= c && c <= 'Z')
	}
	if !ok {
		return fmt.Errorf("%q is neither the name nor the MAC address of a NIC", short(s))
	}
	return nil
}

// Is reports whether a name or MAC address, as CheckNIC takes it, means the NIC.
func Is(word, name string, mac net.HardwareAddr) bool {
	if word == name {
		return true
	}
	m, err := net.ParseMAC(word)
	return err == nil && m.String() == mac.String()
}

// normal is a MAC address with colons, and a name as it is.
func normal(nic string) string {
	if m, err := net.ParseMAC(nic); err == nil {
		return m.String()
	}
	return nic
}

// short keeps the words of strangers from filling a console.
func short(s string) string {
	if len(s) > 80 {
		return s[:80] + "..."
	}
	return s
}
