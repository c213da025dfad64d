package personalize

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/diskcast/diskcast/internal/personal"
	"github.com/diskcast/diskcast/internal/rx"
)

const (
	interfacesFile = "/etc/network/interfaces"
	// asItWas is what the image had there. Nothing reads it.
	asItWas = interfacesFile + ".before-diskcast"
)

// ifaces lists the interfaces, other than lo, that a text of interfaces(5) configures.
func ifaces(text string) (names []string) {
	for line := range strings.Lines(text) {
		if w := strings.Fields(line); len(w) >= 2 && w[0] == "iface" && w[1] != "lo" && !slices.Contains(names, w[1]) {
			names = append(names, w[1])
		}
	}
	return names
}

// sourced are the names that source-directory takes (interfaces(5)); most images have the like for source.
var sourced = rx.New(`^[a-zA-Z0-9_-]+(\.cfg|\.conf)?$`)

// interfaces is the text of interfaces(5) and of the files beside it.
func (t *tree) interfaces() (string, error) {
	b, err := t.readIfThere(interfacesFile)
	if err != nil {
		return "", err
	}
	text := string(b)
	names, err := t.listIfThere(interfacesFile + ".d")
	if err != nil {
		return "", err
	}
	slices.Sort(names)
	for _, name := range names {
		if !sourced().MatchString(name) {
			continue
		}
		b, err := t.read(path.Join(interfacesFile+".d", name))
		if err != nil {
			return "", err
		}
		text += "\n" + string(b)
	}
	return text, nil
}

// usesIfupdown tells whether ifupdown has more to do than lo.
func (t *tree) usesIfupdown() (bool, error) {
	text, err := t.interfaces()
	return len(ifaces(text)) > 0, err
}

// dnsKeeper tells whether a program takes the DNS servers that interfaces(5) names: resolvconf, or systemd-resolved by
// ifupdown's own hook, which is in every Debian and does nothing where resolved is not enabled.
func (t *tree) dnsKeeper() (bool, error) {
	if name, err := t.firstOf("/sbin/resolvconf", "/usr/sbin/resolvconf"); err != nil || name != "" {
		return name != "", err
	}
	hook, err := t.exists("/etc/network/if-up.d/resolved")
	if err != nil || !hook {
		return false, err
	}
	return t.enabled("systemd-resolved")
}

// ifupdown writes interfaces(5) anew. Debian's ifup finds an interface by its MAC address; another's (Alpine's, that of
// busybox) knows names only, so there it is the image's one interface, and ifup refuses to touch it when it has another
// address.
func (n *netting) ifupdown(t *tree) error {
	text, err := t.interfaces()
	if err != nil {
		return err
	}
	byMAC, err := t.ifupMatches()
	if err != nil {
		return err
	}
	names := make([]string, len(n.nics))
	for i := range n.nics {
		names[i] = fmt.Sprintf("diskcast%d", i)
	}
	if !byMAC {
		have := ifaces(text)
		switch {
		case len(n.nics) > 1:
			return fmt.Errorf("the image's ifup knows interfaces by their names only, and %d are to be configured by "+
				"MAC address", len(n.nics))
		case len(have) > 1:
			return fmt.Errorf("the image's ifup knows interfaces by their names only, and its %s has several (%s): "+
				"which is meant cannot be told", interfacesFile, strings.Join(have, ", "))
		case len(have) == 1:
			names[0] = have[0]
		default:
			names[0] = "eth0"
		}
		if n.nics[0].DHCP == "ipv6" {
			return fmt.Errorf("the image's ifup has no DHCP for IPv6")
		}
	}
	keeper, err := t.dnsKeeper()
	if err == nil && !keeper {
		err = n.staticDNS(t)
	}
	if err != nil {
		return err
	}
	n.write = func(t *tree) (string, error) {
		files := []string{interfacesFile}
		old, err := t.readIfThere(interfacesFile)
		if err == nil && len(ifaces(text)) > 0 {
			err = t.write(asItWas, old, plainFile)
			files = append(files, "what it was is "+asItWas)
		}
		if err == nil {
			err = t.mkdirs(path.Dir(interfacesFile), attributes{mode: 0o755})
		}
		if err == nil {
			err = t.write(interfacesFile, []byte(interfacesText(n.nics, names, byMAC, keeper)), plainFile)
		}
		if err == nil && byMAC {
			err = t.settle()
		}
		if err != nil {
			return "", err
		}
		return n.finish(t, files)
	}
	return nil
}

// settleFile has systemd bring interfaces up when udev has found them. Debian waits for that itself, but only where
// interfaces(5) names one without a pattern: a pattern that no NIC fits yet brings up nothing, and nobody hears it.
const settleFile = "/etc/systemd/system/networking.service.d/diskcast.conf"

const settleText = `# Written when this machine was imaged: interfaces are named by their MAC addresses.
[Unit]
Wants=systemd-udev-settle.service
After=systemd-udev-settle.service
`

func (t *tree) settle() error {
	if err := t.mkdirs(path.Dir(settleFile), attributes{mode: 0o755}); err != nil {
		return err
	}
	return t.write(settleFile, []byte(settleText), plainFile)
}

// ifupMatches tells whether the image's ifup is Debian's with patterns for MAC addresses (0.8.20 and later).
func (t *tree) ifupMatches() (bool, error) {
	file, err := t.firstOf("/sbin/ifup", "/usr/sbin/ifup")
	if err != nil || file == "" {
		return false, err
	}
	b, err := t.read(file)
	return bytes.Contains(b, []byte("\x00mac\x00")) && bytes.Contains(b, []byte("/sys/class/net/%s/%s")), err
}

// interfacesText is interfaces(5).
func interfacesText(nics []personal.NIC, names []string, byMAC, dns bool) string {
	var b strings.Builder
	b.WriteString("# Written when this machine was imaged.\nauto lo\niface lo inet loopback\n")
	for i := range nics {
		n, auto, check := &nics[i], names[i], ""
		if byMAC {
			auto = "mac/" + n.MAC + "=" + names[i]
		} else {
			check = fmt.Sprintf("    pre-up grep -qix %s /sys/class/net/%s/address\n", n.MAC, names[i])
		}
		fmt.Fprintf(&b, "\nauto %s\n", auto)
		told := false
		stanza := func(family, method string, lines ...string) {
			fmt.Fprintf(&b, "iface %s %s %s\n%s", names[i], family, method, check)
			for _, l := range lines {
				fmt.Fprintf(&b, "    %s\n", l)
			}
			if dns && !told && len(n.DNS) > 0 {
				fmt.Fprintf(&b, "    dns-nameservers %s\n", strings.Join(n.DNS, " "))
			}
			if dns && !told && len(n.Search) > 0 {
				fmt.Fprintf(&b, "    dns-search %s\n", strings.Join(n.Search, " "))
			}
			told = true
		}
		for _, v6 := range []bool{false, true} {
			family := map[bool]string{false: "inet", true: "inet6"}[v6]
			addresses, gateway, _ := n.Of(v6)
			switch {
			case !v6 && n.Asks(v6):
				stanza(family, "dhcp")
			case v6 && n.DHCP == "ipv6":
				stanza(family, "dhcp")
			case v6 && n.Asks(v6) && byMAC:
				stanza(family, "auto")
			}
			for k, a := range addresses {
				lines := []string{"address " + a.String()}
				if k == 0 && gateway.IsValid() {
					lines = append(lines, "gateway "+gateway.String())
				}
				stanza(family, "static", lines...)
			}
		}
	}
	return b.String()
}
