package personalize

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/diskcast/diskcast/internal/personal"
)

// network configures the interfaces with the one program that the image has for it.
func network(nics []personal.NIC, with string) thing {
	n := &netting{nics: nics, with: with}
	return thing{name: "network", may: n.choose, do: func(t *tree) (string, error) { return n.write(t) }}
}

// netting is a network on its way into a system.
type netting struct {
	nics  []personal.NIC
	with  string // that the operator named; then, what was chosen
	write func(t *tree) (said string, err error)
	more  []func(t *tree) (string, error) // what has to be done beside
	notes []string                        // what the operator should know beside
}

// netPrograms are the services of what may configure a network, by the names of package personal; those that this agent
// does not write for are refused by theirs.
var netPrograms = []struct{ name, service string }{
	{personal.Networkd, "systemd-networkd"}, {personal.NetworkManager, "NetworkManager"},
	{personal.NetworkManager, "networkmanager"}, {personal.Ifupdown, "networking"},
	{"wicked", "wicked"}, {"ConnMan", "connman"}, {"dhcpcd", "dhcpcd"},
}

// choose finds the program, and whether everything that is wanted can be said to it.
func (n *netting) choose(t *tree) error {
	plan, err := t.netplan()
	if err != nil {
		return err
	}
	var active []string
	if plan.used {
		active = append(active, personal.Netplan)
	}
	idle := "" // ifupdown with nothing but lo
	for _, p := range netPrograms {
		on, err := t.enabled(p.service)
		if err != nil {
			return err
		}
		// netplan tells these two what to do.
		if !on || plan.used && (p.name == personal.Networkd || p.name == personal.NetworkManager) {
			continue
		}
		if p.name == personal.Ifupdown {
			if used, err := t.usesIfupdown(); err != nil {
				return err
			} else if !used {
				idle = p.name
				continue
			}
		}
		if !slices.Contains(active, p.name) {
			active = append(active, p.name)
		}
	}
	if len(active) == 0 && idle != "" {
		active = []string{idle}
	}
	if len(active) == 0 && plan.installed {
		active = []string{personal.Netplan}
	}
	if n.with == "" {
		switch len(active) {
		case 0:
			return errors.New("the image has nothing enabled that configures a network (systemd-networkd, netplan, " +
				"NetworkManager, ifupdown)")
		case 1:
			n.with = active[0]
		default:
			return fmt.Errorf("the image has %s enabled at once, and both would configure the network: disable one in "+
				"the image, or say which with network_with", strings.Join(active, " and "))
		}
	} else if !slices.Contains(active, n.with) {
		return fmt.Errorf("network_with names %s, which the image does not have enabled (it has: %s)", n.with,
			strings.Join(active, ", "))
	}
	switch n.with {
	case personal.Networkd:
		return n.networkd(t)
	case personal.Netplan:
		return n.netplan(t, plan)
	case personal.NetworkManager:
		return n.networkManager(t)
	case personal.Ifupdown:
		return n.ifupdown(t)
	}
	return fmt.Errorf("the image configures its network with %s, which this agent does not write for", n.with)
}

// fileEach writes a file for each interface into a folder; %s in their names is the MAC address.
func (n *netting) fileEach(dir string, ofDir attributes, name string, of attributes,
	text func(*personal.NIC) string) func(t *tree) (string, error) {
	return func(t *tree) (string, error) {
		if err := t.mkdirs(dir, ofDir); err != nil {
			return "", err
		}
		var files []string
		for i := range n.nics {
			file := path.Join(dir, fmt.Sprintf(name, fileName(n.nics[i].MAC)))
			if err := t.write(file, []byte(text(&n.nics[i])), of); err != nil {
				return "", err
			}
			files = append(files, file)
		}
		return n.finish(t, files)
	}
}

// finish says what was done, after all that has to be done beside.
func (n *netting) finish(t *tree, files []string) (string, error) {
	for _, do := range append(n.more, cloudInitOff) {
		file, err := do(t)
		if err != nil {
			return "", err
		}
		if file != "" {
			files = append(files, file)
		}
	}
	var of []string
	for i := range n.nics {
		x := &n.nics[i]
		words := []string{x.MAC}
		if x.DHCP != "" && x.DHCP != "no" {
			words = append(words, "dhcp "+x.DHCP)
		}
		of = append(of, strings.Join(append(words, x.Addresses...), " "))
	}
	said := fmt.Sprintf("%s; by %s, in %s", strings.Join(of, "; "), n.with, strings.Join(files, ", "))
	return strings.Join(append([]string{said}, n.notes...), "; "), nil
}

const cloudCfg = "/etc/cloud/cloud.cfg.d"

// cloudInitOff keeps cloud-init from writing a network of its own over this one at the first start.
func cloudInitOff(t *tree) (string, error) {
	if there, err := t.exists(cloudCfg); err != nil || !there {
		return "", err
	}
	const file = cloudCfg + "/99-diskcast-network.cfg"
	return file, t.write(file, []byte("# The network was configured when this machine was imaged.\n"+
		"network: {config: disabled}\n"), plainFile)
}

// servers are the DNS servers and search domains of all interfaces, each once, as resolv.conf(5) counts no more than
// three, and whether an interface asks DHCP for some too.
func (n *netting) servers() (dns, search []string, asks bool) {
	for i := range n.nics {
		x := &n.nics[i]
		dns, search = withNew(dns, x.DNS), withNew(search, x.Search)
		asks = asks || x.Asks(false) || x.Asks(true)
	}
	return dns, search, asks
}

// withNew is a list with what it does not have of another.
func withNew(list, more []string) []string {
	for _, s := range more {
		if !slices.Contains(list, s) {
			list = append(list, s)
		}
	}
	return list
}

const resolvConf = "/etc/resolv.conf"

// readServers is how many name servers of resolv.conf glibc and musl read (MAXNS, resolv.conf(5)).
const readServers = 3

// staticDNS has the DNS servers in resolv.conf(5), where no program in the image keeps that. Where it cannot hold it is
// refused.
func (n *netting) staticDNS(t *tree) error {
	dns, search, asks := n.servers()
	if len(dns)+len(search) == 0 {
		return nil
	}
	if asks {
		return errors.New("DNS servers beside DHCP need a program in the image that keeps both (systemd-resolved, " +
			"resolvconf), and the image has none: leave dns and search to DHCP")
	}
	if to, err := t.readlink(resolvConf); err == nil {
		return fmt.Errorf("%s leads to %s, and nothing that is enabled in the image writes there: the DNS servers "+
			"would be nowhere", resolvConf, to)
	}
	text := "# Written when this machine was imaged.\n"
	if len(search) > 0 {
		text += "search " + strings.Join(search, " ") + "\n"
	}
	for _, s := range dns {
		text += "nameserver " + s + "\n"
	}
	if len(dns) > readServers {
		n.notes = append(n.notes, fmt.Sprintf("%s has %d DNS servers, and the C library asks the first %d only (%s): "+
			"put "+
			"those first that must be asked", resolvConf, len(dns), readServers, strings.Join(words(dns[:readServers]),
			", ")))
	}
	n.more = append(n.more, func(t *tree) (string, error) {
		return resolvConf, t.write(resolvConf, []byte(text), plainFile)
	})
	return nil
}

// fileName is the MAC address as a part of a file's name.
func fileName(mac string) string { return strings.ReplaceAll(mac, ":", "") }

func words[T any](list []T) (out []string) {
	for _, x := range list {
		out = append(out, fmt.Sprint(x))
	}
	return out
}
