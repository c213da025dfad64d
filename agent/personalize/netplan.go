package personalize

import (
	"fmt"
	"maps"
	"net/netip"
	"path"
	"slices"
	"strings"

	"github.com/diskcast/diskcast/internal/personal"
	"github.com/diskcast/diskcast/internal/rx"
)

// netplanned is what the image has of netplan.
type netplanned struct {
	installed, used bool
	manager         bool // its renderer is NetworkManager
}

const netplanDir = "/etc/netplan"

// netplan looks for its generator and its files.
func (t *tree) netplan() (p netplanned, err error) {
	generator, err := t.firstOf("/usr/lib/systemd/system-generators/netplan", "/lib/systemd/system-generators/netplan")
	if err != nil || generator == "" {
		return p, err
	}
	p.installed = true
	in := map[string]string{} // folders of files by name: of two that are alike netplan reads the latter alone
	for _, dir := range []string{"/usr/lib/netplan", "/lib/netplan", netplanDir} {
		names, err := t.listIfThere(dir)
		if err != nil {
			return p, err
		}
		for _, name := range names {
			if strings.HasSuffix(name, ".yaml") {
				in[name] = dir
			}
		}
	}
	p.used = len(in) > 0
	// A later name wins, whatever its folder (netplan-generate(8)).
	for _, name := range slices.Sorted(maps.Keys(in)) {
		b, err := t.read(path.Join(in[name], name))
		if err != nil {
			return p, err
		}
		if r := globalRenderer(string(b)); r != "" {
			p.manager = strings.EqualFold(r, "NetworkManager")
		}
	}
	return p, nil
}

var renderer = rx.New(`\brenderer\s*:\s*["']?(\w+)`)

// globalRenderer is the renderer that a netplan file names for all interfaces: one level below "network:", which is the
// least indented of its lines, or on that line itself.
func globalRenderer(text string) (found string) {
	least := -1
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		words := strings.TrimLeft(line, " ")
		indent := len(line) - len(words)
		if strings.TrimSpace(words) == "" || indent == 0 && !strings.HasPrefix(words, "network:") {
			continue
		}
		if indent > 0 && least < 0 {
			least = indent
		}
		if m := renderer().FindStringSubmatch(words); m != nil && (indent == 0 || indent == least) {
			found = m[1]
		}
	}
	return found
}

// netplan writes a file of its own with interfaces whose names come first, as networkd has the first file that fits
// count. Where NetworkManager is told by netplan, it is told directly.
func (n *netting) netplan(t *tree, plan netplanned) error {
	if plan.manager {
		return n.networkManager(t)
	}
	if err := n.networkdTakes(t, "10-netplan-"+networkdPrefix); err != nil {
		return err
	}
	n.write = func(t *tree) (string, error) {
		if err := t.mkdirs(netplanDir, attributes{mode: 0o755}); err != nil {
			return "", err
		}
		const file = netplanDir + "/90-diskcast.yaml"
		if err := t.write(file, []byte(netplanText(n.nics)), attributes{mode: 0o600, force: true}); err != nil {
			return "", err
		}
		return n.finish(t, []string{file})
	}
	return nil
}

// netplanText is netplan(5).
func netplanText(nics []personal.NIC) string {
	var b strings.Builder
	b.WriteString("# Written when this machine was imaged.\nnetwork:\n  version: 2\n  ethernets:\n")
	for i := range nics {
		n := &nics[i]
		fmt.Fprintf(&b, "    %s%s:\n      renderer: networkd\n      match: {macaddress: \"%s\"}\n"+
			"      dhcp4: %t\n      dhcp6: %t\n", networkdPrefix, fileName(n.MAC), n.MAC, n.Asks(false), n.Asks(true))
		list := func(key string, of []string) {
			if len(of) > 0 {
				fmt.Fprintf(&b, "%s: [\"%s\"]\n", key, strings.Join(of, `", "`))
			}
		}
		list("      addresses", n.Addresses)
		if len(n.Gateways) > 0 {
			b.WriteString("      routes:\n")
		}
		for _, s := range n.Gateways {
			to := "0.0.0.0/0"
			if netip.MustParseAddr(s).Is6() {
				to = "::/0"
			}
			fmt.Fprintf(&b, "        - {to: \"%s\", via: \"%s\"}\n", to, s)
		}
		if len(n.DNS)+len(n.Search) > 0 {
			b.WriteString("      nameservers:\n")
		}
		list("        addresses", n.DNS)
		list("        search", n.Search)
	}
	return b.String()
}
