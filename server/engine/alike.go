package engine

import (
	"errors"
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
	// domains are the names with a domain, by their first label. One without a domain may be called so too.
	domains map[string]string
	own     netip.Addr // the server's
	title   func(node string) string
	said    []string // of what is taken, and is odd
}

// owners are those of a session that has none yet.
func (e *Engine) owners() *owners {
	return &owners{addrs: map[netip.Addr]string{}, names: map[string]string{}, domains: map[string]string{},
		own: e.cfg.Addr, title: e.title}
}

// take refuses what another node of the session has already, and says all of it. A hostname that is not known yet does
// not count.
func (o *owners) take(node string, s *personal.Settings, named bool) error {
	var why []string
	addrs := s.Addresses()
	for _, a := range addrs {
		if a == o.own {
			why = append(why, fmt.Sprintf("network: machine %s would have the address %s, which is this server's",
				o.title(node), a))
		}
		if other := o.addrs[a]; other != "" && other != node {
			why = append(why, fmt.Sprintf("network: machines %s and %s would both have the address %s: give each its "+
				"own, by a label ({{.Labels.address}})", o.title(other), o.title(node), a))
		}
	}
	name := strings.ToLower(s.Hostname)
	if !named {
		name = ""
	}
	if other := o.names[name]; other != "" && other != node {
		why = append(why, fmt.Sprintf("hostname: machines %s and %s would both be called %s: give each its own, by "+
			"the machine's name ({{.Name}}) or a label ({{.Labels.hostname}})", o.title(other), o.title(node), name))
	}
	o.note(node, addrs, name)
	if len(why) > 0 {
		return errors.New(strings.Join(why, "; "))
	}
	return nil
}

// note remembers whose the addresses and the name are that nobody has yet, and what is odd about the name.
func (o *owners) note(node string, addrs []netip.Addr, name string) {
	for _, a := range addrs {
		if o.addrs[a] == "" {
			o.addrs[a] = node
		}
	}
	if name == "" || o.names[name] != "" {
		return
	}
	if other, as := o.named(name); other != "" && other != node {
		o.say("The hostnames %s of %s and %s of %s are one without the domain.", as, o.title(other), name,
			o.title(node))
	}
	if strings.Trim(name, "0123456789.") == "" {
		o.say("The hostname %s of %s is a number, which programs take for an address.", name, o.title(node))
	}
	o.names[name] = node
	if short, _, ok := strings.Cut(name, "."); ok {
		o.domains[short] = name
	}
}

func (o *owners) say(format string, a ...any) {
	if len(o.said) < maxWarnings {
		o.said = append(o.said, fmt.Sprintf(format, a...))
	}
}

// named is the node that has the hostname, or one that is the same but for a domain that only one of them has, and what
// it is called; empty for none.
func (o *owners) named(hostname string) (node, as string) {
	name := strings.ToLower(hostname)
	short, _, full := strings.Cut(name, ".")
	switch {
	case name == "":
		return "", ""
	case o.names[name] != "":
		return o.names[name], name
	case full:
		return o.names[short], short
	}
	return o.names[o.domains[name]], o.domains[name]
}

// asName says that a hostname is that of another machine but for the domain; empty where it is the same.
func asName(hostname, as string) string {
	if strings.EqualFold(hostname, as) {
		return ""
	}
	return " as " + hostname
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

// elsewhere says which of the addresses and hostnames are given away outside of the session too: by this server's DHCP,
// or to another machine, by the personalization that it was handed last.
func (e *Engine) elsewhere(o *owners) (out []string) {
	if len(o.addrs)+len(o.names) == 0 {
		return nil
	}
	out = slices.Clone(o.said)
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
		if other, as := o.named(h.Hostname); other != "" && other != node {
			add("The hostname %s of %s was given to %s by session %s%s: two machines may have it.", as,
				e.title(other), e.title(node), last[node].Session, asName(h.Hostname, as))
		}
	}
	return out
}
