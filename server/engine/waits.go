package engine

import (
	"fmt"
	"strings"
	"time"

	"github.com/diskcast/diskcast/internal/nearest"
	"github.com/diskcast/diskcast/server/doc"
)

// waits is the one thing that a session waits for, and the command that ends that; empty when it waits for nothing.
func (e *Engine) waits(s *sess) string {
	now, there, need := e.now(), s.Joined(), s.Need()
	if s.Over() {
		return ""
	}
	if s.Going() {
		missing := e.missing(s)
		if len(missing) == 0 || s.Working() {
			return ""
		}
		return fmt.Sprintf("%d of its %d nodes did not come (%s): `diskcast session go %s` ends it without them",
			len(missing), len(s.Parts), e.firstNames(missing), s.ID)
	}
	place, casting := e.jobs.Turn(s, now)
	switch {
	case s.Early(now):
		words := "its start time, " + s.Spec.At.UTC().Format(time.RFC3339)
		if there > 0 {
			words += fmt.Sprintf(": `diskcast session go %s` starts it now", s.ID)
		}
		return words
	case e.jobs.Due(s, now) && place > 0:
		return fmt.Sprintf("its turn, at place %d: %s cast, and the server casts no more at once than %d; `diskcast "+
			"session edit %s --priority N` moves it in the queue", place, strings.Join(casting, ", "), e.cfg.MaxCasts,
			s.ID)
	case e.jobs.Due(s, now):
		return ""
	case there == 0:
		words := fmt.Sprintf("its first nodes: %d must come, and none is there", need)
		if n := s.BeingSwitched(); n > 0 {
			words += fmt.Sprintf("; %d machines are being switched on", n)
		}
		return words
	}
	words := fmt.Sprintf("more nodes: %d of the %d that it starts with are there", there, need)
	if missing := e.missing(s); len(missing) > 0 {
		words += ", and not " + e.firstNames(missing)
	}
	return words + fmt.Sprintf("; `diskcast session go %s` starts now with those that are", s.ID)
}

// missing are the named nodes that did not come.
func (e *Engine) missing(s *sess) []string {
	var out []string
	for _, id := range s.Order {
		if p := s.Parts[id]; p.Joined.IsZero() && !p.Over() {
			out = append(out, id)
		}
	}
	return out
}

// partWaits says what a part that waits waits for.
func (e *Engine) partWaits(s *sess, p *doc.Part) string {
	if s.Over() || p.Over() {
		return ""
	}
	if words := e.waitsFor(p); words != "" {
		return "for approval: " + words
	}
	if p.State != doc.Waiting {
		return ""
	}
	if !p.Joined.IsZero() {
		return "for the session to start"
	}
	if words := powerWaits(p); words != "" && e.jobs.Spared(s.ID, p.Node, e.now()) == "" {
		return words
	}
	n := e.nodes[p.Node]
	if n == nil {
		if e.seenEver(p.Node) {
			return "for the machine, which is known and was not seen as this node: switch it on, with network boot first " +
				"in its boot order"
		}
		return "for a machine that this server never saw: is the address right? If so, switch it on, with network boot " +
			"first in its boot order"
	}
	if o := e.current(n); o != nil && o != s {
		return fmt.Sprintf("for the node to be done with session %s (%s), for which it works: `diskcast session cancel "+
			"%s` frees it", o.ID, o.State, o.ID)
	}
	switch e.whereabouts(n) {
	case doc.Booting:
		if n.Problem != "" {
			return "for the machine, which cannot boot: " + n.Problem
		}
		return "for the machine, which fetches its boot files"
	case doc.Left:
		return "for the machine, which started its own disk: restart it, with network boot first in its boot order"
	case doc.Silent:
		return "for the machine, whose agent is silent: look at its console, or restart it"
	}
	return "for the machine's next word"
}

// seenEver reports whether anything was ever seen or entered of a machine with the node's address.
func (e *Engine) seenEver(id string) bool {
	return e.nodes[id] != nil || e.fleet.Get(id) != nil || len(e.fleet.Booted(macOf(id))) > 0
}

// Bounds on what is said of nodes that were never seen.
const (
	maxUnseen = 3 // whose nearest are looked for
	macSlip   = 2 // letters in which a mistyped address differs
)

// neverSeen says which nodes of a session that are waited for were never seen, and which known ones have an address
// that is nearly the same: for a machine that is still to come all is well, and a slip of the hand waits for ever.
func (e *Engine) neverSeen(s *sess) []string {
	var unseen []string
	for _, id := range e.missing(s) {
		if !e.seenEver(id) {
			unseen = append(unseen, id)
		}
	}
	if len(unseen) == 0 {
		return nil
	}
	out := fmt.Sprintf("%d of its nodes were never seen by this server, and are waited for: %s", len(unseen),
		e.firstNames(unseen))
	if len(unseen) == 1 {
		out = fmt.Sprintf("Node %s was never seen by this server, and is waited for", unseen[0])
	}
	var known []string
	for id := range e.nodes {
		if s.Parts[id] == nil {
			known = append(known, id)
		}
	}
	for _, m := range e.fleet.All() {
		for _, mac := range m.Boots {
			if id := nameOf(mac); s.Parts[id] == nil {
				known = append(known, id)
			}
		}
	}
	out += "."
	for _, id := range unseen[:min(len(unseen), maxUnseen)] {
		if near := nearest.Within(id, known, macSlip, 3); len(near) > 0 {
			out += fmt.Sprintf(" Nearly %s is: %s.", id, e.firstNames(near))
		}
	}
	return []string{out + fmt.Sprintf(" If they are machines to come, all is well; if not, `diskcast session cancel %s`.",
		s.ID)}
}
