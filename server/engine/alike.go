package engine

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/diskcast/diskcast/internal/personal"
	"github.com/diskcast/diskcast/server/doc"
)

// owners are the nodes of a session by what each has alone.
type owners struct {
	addrs map[netip.Addr]string
	names map[string]string // by hostname in lower case
}

// take refuses what another node of the session has already. A hostname that is not known yet does not count.
func (o *owners) take(node string, s *personal.Settings, named bool) error {
	for _, a := range s.Addresses() {
		if other := o.addrs[a]; other != "" {
			return fmt.Errorf("network: nodes %s and %s would both have the address %s: give each its own, by a label "+
				"({{.Labels.address}})", other, node, a)
		}
		o.addrs[a] = node
	}
	name := strings.ToLower(s.Hostname)
	if name == "" || !named {
		return nil
	}
	if other := o.names[name]; other != "" {
		return fmt.Errorf("hostname: nodes %s and %s would both be called %s: give each its own, by the "+
			"machine's name ({{.Name}}) or a label ({{.Labels.hostname}})", other, node, name)
	}
	o.names[name] = node
	return nil
}

// oneNameForAll refuses one hostname for the machines of a session that does not name them, where it takes several.
func oneNameForAll(spec *doc.Spec, s *personal.Settings) error {
	if s.Hostname == "" || strings.Contains(s.Hostname, "{{") || !spec.All && spec.Count < 2 {
		return nil
	}
	return fmt.Errorf("hostname: every machine that the session takes would be called %s: give each its own, by the "+
		"machine's name ({{.Name}}) or a label ({{.Labels.hostname}}), or name the one machine with --nodes",
		s.Hostname)
}
