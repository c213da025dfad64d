package session

import (
	"slices"
	"strings"
)

// placeholders are what makers write where they have nothing to say, in lower case and without what is not a letter or
// digit.
var placeholders = []string{
	"tobefilledbyoem", "defaultstring", "default", "notspecified", "notapplicable", "notavailable", "none", "na",
	"null", "nil", "oem", "invalid",
	"unknown", "systemserialnumber", "systemproductname", "systemmanufacturer", "serial", "serialnumber", "sn",
	"123456", "12345678", "123456789", "0123456789", "1234567890", "123456789012", "123456789abcdef",
	"0123456789abcdef",
	"00000000000000000000000000000000", "ffffffffffffffffffffffffffffffff",
	"03000200040005000006000700080009", // AMI's default board UUID
}

// bare is s in lower case, without what is not a letter or digit.
func bare(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, strings.ToLower(s))
}

// Placeholder reports whether s is what a maker writes into all machines or disks of a sort, as "To Be Filled By
// O.E.M.".
func Placeholder(s string) bool { return slices.Contains(placeholders, bare(s)) }

// Filler reports whether a serial, a UUID or a WWN is no identity: it is missing, a placeholder, or one character over
// and over.
func Filler(s string) bool {
	b := bare(s)
	return b == "" || strings.Trim(b, b[:1]) == "" || Placeholder(s)
}

// BareWWN is a WWN in lower case, without what the kernel (naa., eui., t10.), udev (0x, wwn-0x) and people write before
// it.
func BareWWN(s string) string {
	return trimmed(strings.ToLower(s), "wwn-", "nvme-", "naa.", "eui.", "t10.", "0x")
}

func trimmed(s string, prefixes ...string) string {
	for _, p := range prefixes {
		s = strings.TrimPrefix(s, p)
	}
	return s
}
