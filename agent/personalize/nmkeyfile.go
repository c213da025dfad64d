package personalize

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/diskcast/diskcast/internal/personal"
)

const nmDir = "/etc/NetworkManager/system-connections"

// networkManager writes a keyfile an interface, which nobody but root may read: others are ignored
// (nm-settings-keyfile(5)).
func (n *netting) networkManager(*tree) error {
	for i := range n.nics {
		x := &n.nics[i]
		// A profile with a DNS server of IPv4 and without IPv4 itself is ignored as a whole (nm-settings: ipv4).
		if _, _, dns := x.Of(false); methodOf(x, false) == disabled && len(dns) > 0 {
			return fmt.Errorf("interface %s has the DNS server %s and no IPv4, and NetworkManager would ignore all "+
				"that is written for it: give it an IPv4 address or DHCP, or give the DNS server to another interface",
				x.MAC, dns[0])
		}
	}
	n.write = n.fileEach(nmDir, attributes{mode: 0o700}, "diskcast-%s.nmconnection",
		attributes{mode: 0o600, force: true}, keyfile)
	return nil
}

// keyfile is nm-settings-keyfile(5). Its priority has it chosen before the image's own profiles.
func keyfile(n *personal.NIC) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Written when this machine was imaged.\n[connection]\nid=diskcast %s\nuuid=%s\ntype=ethernet\n"+
		"autoconnect-priority=999\n\n[ethernet]\nmac-address=%s\n", n.MAC, uuidOf(n.MAC), n.MAC)
	for _, v6 := range []bool{false, true} {
		addresses, gateway, dns := n.Of(v6)
		name, method := "ipv4", methodOf(n, v6)
		if v6 {
			name = "ipv6"
		}
		fmt.Fprintf(&b, "\n[%s]\nmethod=%s\n", name, method)
		for i, a := range addresses {
			fmt.Fprintf(&b, "address%d=%s", i+1, a)
			if i == 0 && gateway.IsValid() {
				fmt.Fprintf(&b, ",%s", gateway)
			}
			b.WriteString("\n")
		}
		if len(dns) > 0 {
			fmt.Fprintf(&b, "dns=%s;\n", strings.Join(words(dns), ";"))
		}
		if len(n.Search) > 0 && method != disabled {
			fmt.Fprintf(&b, "dns-search=%s;\n", strings.Join(n.Search, ";"))
		}
	}
	return b.String()
}

// disabled is the method of a family that an interface does not have.
const disabled = "disabled"

// methodOf is how an interface gets its addresses of a family.
func methodOf(n *personal.NIC, v6 bool) string {
	addresses, _, _ := n.Of(v6)
	switch {
	case n.Asks(v6):
		return "auto"
	case len(addresses) > 0:
		return "manual"
	case v6:
		return "auto" // as the kernel and networkd do: what the router says
	}
	return disabled
}

// uuidOf is always the same for a MAC address: a UUID of version 5 (RFC 9562), as a profile of NetworkManager has one.
func uuidOf(mac string) string {
	sum := sha1.Sum([]byte("diskcast network profile " + mac))
	sum[6], sum[8] = sum[6]&0x0f|0x50, sum[8]&0x3f|0x80
	h := hex.EncodeToString(sum[:16])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}
