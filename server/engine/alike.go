package engine

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/diskcast/diskcast/internal/personal"
	"github.com/diskcast/diskcast/server/doc"
)

// owners are the nodes of a session by what each has alone.
type owners struct {
	addrs map[netip.Addr]string
	names map[string]string // by hostname in lower case
	own   netip.Addr        // the server's
}

// owners are those of a session that has none yet.
func (e *Engine) owners() *owners {
	return &owners{addrs: map[netip.Addr]string{}, names: map[string]string{}, own: e.cfg.Addr}
}

// take refuses what another node of the session has already. A hostname that is not known yet does not count.
func (o *owners) take(node string, s *personal.Settings, named bool) error {
	for _, a := range s.Addresses() {
		if a == o.own {
			return fmt.Errorf("network: node %s would have the address %s, which is this server's", node, a)
		}
		if other := o.addrs[a]; other != "" && other != node {
			return fmt.Errorf("network: nodes %s and %s would both have the address %s: give each its own, by a label "+
				"({{.Labels.address}})", other, node, a)
		}
		o.addrs[a] = node
	}
	name := strings.ToLower(s.Hostname)
	if name == "" || !named {
		return nil
	}
	if other := o.names[name]; other != "" && other != node {
		return fmt.Errorf("hostname: nodes %s and %s would both be called %s: give each its own, by the "+
			"machine's name ({{.Name}}) or a label ({{.Labels.hostname}})", other, node, name)
	}
	o.names[name] = node
	return nil
}

// named is the node that has the hostname; empty for none.
func (o *owners) named(hostname string) string { return o.names[strings.ToLower(hostname)] }

// oneNameForAll refuses one hostname for the machines of a session that does not name them, where it takes several.
func oneNameForAll(spec *doc.Spec, s *personal.Settings) error {
	if s.Hostname == "" || strings.Contains(s.Hostname, "{{") || !spec.All && spec.Count < 2 {
		return nil
	}
	return fmt.Errorf("hostname: every machine that the session takes would be called %s: give each its own, by the "+
		"machine's name ({{.Name}}) or a label ({{.Labels.hostname}}), or name the one machine with --nodes",
		s.Hostname)
}

// elsewhere says which of the addresses and hostnames are given away outside of the session too: by this server's DHCP,
// or to another machine, by the personalization that it was handed last.
func (e *Engine) elsewhere(o *owners) (out []string) {
	if len(o.addrs)+len(o.names) == 0 {
		return nil
	}
	add := func(format string, a ...any) {
		if len(out) < maxWarnings {
			out = append(out, fmt.Sprintf(format, a...))
		}
	}
	for _, a := range slices.SortedFunc(maps.Keys(o.addrs), netip.Addr.Compare) {
		if e.cfg.Dynamic != nil && e.cfg.Dynamic(a) {
			add("The address %s of %s is in the range that this server's DHCP gives to others: take one outside of it.",
				a, e.title(o.addrs[a]))
		}
	}
	last := map[string]*doc.Part{} // by node
	for _, id := range e.jobs.Order() {
		for node, p := range e.jobs.Session(id).Parts {
			if p.Handed != nil && (last[node] == nil || last[node].Handed.Time.Before(p.Handed.Time)) {
				last[node] = p
			}
		}
	}
	for _, node := range slices.Sorted(maps.Keys(last)) {
		h := last[node].Handed
		for _, text := range h.Addresses {
			a, _ := netip.ParseAddr(text) // an address that is none is nobody's
			if other := o.addrs[a]; other != "" && other != node {
				add("The address %s of %s was given to %s by session %s: two machines may have it.", a,
					e.title(other), e.title(node), last[node].Session)
			}
		}
		if other := o.named(h.Hostname); other != "" && other != node {
			add("The hostname %s of %s was given to %s by session %s: two machines may have it.", h.Hostname,
				e.title(other), e.title(node), last[node].Session)
		}
	}
	return out
}
