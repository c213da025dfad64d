package nvme

import "time"

// Secure erase settings of Format NVM (NVM Command Set 5.14).
const (
	EraseUserData = 1
	EraseCrypto   = 2
)

// Format formats a namespace with a secure erase and returns when it is done. Block size, metadata and protection stay
// as they are.
func Format(c Controller, nsid uint32, n *Namespace, erase uint32, timeout time.Duration) error {
	dw := uint32(n.format&0xf) | uint32(n.format>>4&3)<<12 | uint32(n.protection&7)<<5 | uint32(n.protection>>3&1)<<8 |
		erase<<9
	if n.extended {
		dw |= 1 << 4
	}
	return c.Do(&Command{Name: "Format NVM", Opcode: formatNVM, NSID: nsid, DW10: dw, Timeout: timeout})
}
