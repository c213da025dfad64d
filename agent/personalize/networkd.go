package personalize

import (
	"fmt"
	"path"
	"strings"

	"github.com/diskcast/diskcast/internal/personal"
)

const (
	networkdDir    = "/etc/systemd/network"
	networkdPrefix = "0-diskcast-"
)

// comesFirst refuses files of the image that networkd takes before those of a name: the first that fits an interface
// counts, by its name, whatever its folder (systemd.network(5)).
func (t *tree) comesFirst(prefix string) error {
	for _, dir := range []string{networkdDir, "/usr/local/lib/systemd/network", "/usr/lib/systemd/network",
		"/lib/systemd/network"} {
		names, err := t.listIfThere(dir)
		if err != nil {
			return err
		}
		for _, name := range names {
			if strings.HasSuffix(name, ".network") && name < prefix {
				return fmt.Errorf("%s of the image comes before what this agent can write, and could win: give it "+
					"a name that begins with 50", path.Join(dir, name))
			}
		}
	}
	return nil
}

// networkdTakes refuses what systemd-networkd, in files whose names begin with the prefix, cannot be told.
func (n *netting) networkdTakes(t *tree, prefix string) error {
	if err := t.comesFirst(prefix); err != nil {
		return err
	}
	if resolved, err := t.enabled("systemd-resolved"); err != nil || resolved {
		return err
	}
	return n.staticDNS(t)
}

// networkd writes one file an interface.
func (n *netting) networkd(t *tree) error {
	if err := n.networkdTakes(t, networkdPrefix); err != nil {
		return err
	}
	n.write = n.fileEach(networkdDir, attributes{mode: 0o755}, networkdPrefix+"%s.network", plainFile, networkdText)
	return nil
}

// networkdText is systemd.network(5).
func networkdText(n *personal.NIC) string {
	var b strings.Builder
	dhcp := n.DHCP
	if dhcp == "" {
		dhcp = "no"
	}
	fmt.Fprintf(&b, "# Written when this machine was "+
		"imaged.\n[Match]\nMACAddress=%s\nType=ether\n\n[Network]\nDHCP=%s\n",
		n.MAC, dhcp)
	for _, s := range n.Addresses {
		fmt.Fprintf(&b, "Address=%s\n", s)
	}
	for _, s := range n.Gateways {
		fmt.Fprintf(&b, "Gateway=%s\n", s)
	}
	for _, s := range n.DNS {
		fmt.Fprintf(&b, "DNS=%s\n", s)
	}
	if len(n.Search) > 0 {
		fmt.Fprintf(&b, "Domains=%s\n", strings.Join(n.Search, " "))
	}
	return b.String()
}
