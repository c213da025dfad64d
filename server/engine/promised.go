package engine

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/diskcast/diskcast/internal/personal"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/fleet/book"
)

// Hostnames and addresses that were not handed out yet, and will be: what sessions that wait have for their machines,
// and what profiles have for theirs.

// promise is what a session will hand to a node.
type promise struct {
	session, node string
	things        *personal.Settings
	named         bool // its hostname is known
}

// alone is what of a personalization each machine must have alone, as everybody may see it; nil for nothing.
func alone(shown json.RawMessage) *personal.Settings {
	var s struct {
		Personalize *personal.Settings `json:"personalize"`
	}
	if json.Unmarshal(shown, &s) != nil || s.Personalize == nil ||
		s.Personalize.Hostname == "" && len(s.Personalize.Network) == 0 {
		return nil
	}
	return &personal.Settings{Hostname: s.Personalize.Hostname, Network: s.Personalize.Network}
}

// things is what the node would get of what each machine has alone. An error says why it would get none, as it is now.
func (e *Engine) things(session string, s *personal.Settings, node string) (things *personal.Settings, named bool,
	err error) {
	v := e.values(session, node)
	n := e.nodes[node]
	seen := n != nil && n.Boot != ""
	if !seen {
		v.UUID, v.Serial = "unseen", "unseen"
	}
	d, err := s.Resolve(v)
	if err != nil {
		return nil, false, err
	}
	return &d.Things, seen || !s.NamedByFirmware(), nil
}

// promises are those of sessions that are not over, for the machines that they have.
func (e *Engine) promises() (out []promise) {
	for _, id := range e.jobs.Order() {
		s := e.jobs.Session(id)
		if s.Over() || len(s.Spec.Personalize) == 0 {
			continue
		}
		own := alone(json.RawMessage(`{"personalize":` + string(s.Spec.Personalize) + `}`))
		if own == nil {
			continue
		}
		for _, node := range s.Order {
			if p := s.Parts[node]; p.Over() || p.Handed != nil {
				continue // elsewhere knows what it has
			}
			if t, named, err := e.things(id, own, node); err == nil { // else its part says so
				out = append(out, promise{id, node, t, named})
			}
		}
	}
	return out
}

// promisedElsewhere says which of the addresses and hostnames another machine will be given by a session that is not
// over.
func (e *Engine) promisedElsewhere(o *owners) (out []string) {
	if len(o.addrs)+len(o.names) == 0 {
		return nil
	}
	say := func(what, value, node, as string, p *promise) {
		if node != "" && node != p.node && len(out) < maxWarnings {
			out = append(out, fmt.Sprintf("The %s %s of %s is what session %s will give to %s%s: two machines would "+
				"have it.", what, value, e.title(node), p.session, e.title(p.node), as))
		}
	}
	for _, p := range e.promises() {
		for _, a := range p.things.Addresses() {
			say("address", a.String(), o.addrs[a], "", &p)
		}
		if p.named {
			other, as := o.named(p.things.Hostname)
			say("hostname", as, other, asName(p.things.Hostname, as), &p)
		}
	}
	return out
}

// alikeInLab says which machines would have one address or hostname by the book and the labels as they become with the
// change, in the sessions that wait and by the profiles of machines, and who else has them.
func (e *Engine) alikeInLab(b *book.Book, c *doc.LabChange) (out []string) {
	if len(c.Machines)+len(c.Profiles) == 0 {
		return nil
	}
	o := e.owners()
	more := 0
	warn := func(format string, args ...any) {
		if len(out) == maxWarnings {
			more++
			return
		}
		out = append(out, fmt.Sprintf(format, args...))
	}
	take := func(who, node string, things *personal.Settings, named bool) {
		if err := o.take(node, things, named); err != nil {
			warn("%s: %v.", who, err)
		}
	}
	for _, p := range e.promises() {
		take("Session "+p.session, p.node, p.things, p.named)
	}
	profiles := map[string]*personal.Settings{}
	for _, p := range b.Profiles() {
		if own := alone(p.Spec); own != nil {
			profiles[p.Name] = own
		}
	}
	for _, m := range e.fleet.All() {
		own := profiles[m.Profile]
		if own == nil {
			continue
		}
		node, err := e.nodeFor(m)
		if err != nil {
			continue
		}
		things, named, err := e.things("s0", own, node)
		if err != nil {
			warn("No session can be made of profile %s for %s now: %v.", m.Profile, cmp.Or(m.Name, m.ID), err)
			continue
		}
		take("Profile "+m.Profile, node, things, named)
	}
	if more > 0 {
		out = append(out, fmt.Sprintf("So it is with %d more.", more))
	}
	for _, words := range e.elsewhere(o) {
		if !slices.Contains(out, words) {
			out = append(out, words)
		}
	}
	return out
}
