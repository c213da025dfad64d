package engine

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/diskcast/diskcast/internal/waiting"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/fleet"
	"github.com/diskcast/diskcast/server/fleet/book"
	"github.com/diskcast/diskcast/server/netboot"
)

// What a machine boots when nothing is asked of it: its own word, else that of the first rule that fits it, else the
// default.

// whenIdle is the word for who asks from the NIC, and whose it is. n is what was seen there, nil for nothing.
func (e *Engine) whenIdle(mac string, n *node) (word netboot.Idle, by string) {
	owners := e.fleet.Booted(mac)
	if n != nil && len(owners) <= 1 {
		if m := e.fleet.Of(n.ID); m != nil {
			owners = []*fleet.Machine{m}
		}
	}
	if len(owners) > 0 {
		first := owners[0].WhenIdle
		for _, m := range owners[1:] {
			if m.WhenIdle != first { // a dock: who asks is known when its agent speaks
				return netboot.IdleDefault, fmt.Sprintf("%s and %s share the NIC %s, and have two words",
					owners[0].Title(), m.Title(), mac)
			}
		}
		if first != "" {
			return netboot.Idle(first), "as was entered"
		}
	}
	claim := book.Claim{MAC: mac}
	if n != nil {
		claim = claimOf(mac, n)
	}
	if rule, word := e.book.Idle(claim); rule != "" {
		if word == doc.IdleDefault {
			word = ""
		}
		return netboot.Idle(word), "by the rule " + rule
	}
	return netboot.IdleDefault, "nothing was entered"
}

// idleOf is whenIdle of a machine, by its last NIC that anything is known of.
func (e *Engine) idleOf(m *fleet.Machine) (word netboot.Idle, by string) {
	n, err := e.nodeOf(m)
	switch {
	case err == nil:
		return e.whenIdle(n.MACs[0], n)
	case len(m.Boots) > 0:
		return e.whenIdle(m.Boots[len(m.Boots)-1], nil)
	case m.WhenIdle != "":
		return netboot.Idle(m.WhenIdle), "as was entered"
	}
	return netboot.IdleDefault, "nothing was entered"
}

// idleWords are what the operator is shown of it.
func (e *Engine) idleWords(m *fleet.Machine) string {
	word, by := e.idleOf(m)
	words := cmp.Or(string(word), doc.IdleDefault) + " (" + by + ")"
	if word == netboot.IdleNever && e.halfOf(m) != nil {
		words += "; answered all the same until its disk may be started"
	}
	return words
}

// notYetNever says of which machines what their firmware asks is answered although they are never by the book: it would
// start a disk that is not to be started.
func (e *Engine) notYetNever(b *book.Book) (out []string) {
	if len(e.halves) == 0 {
		return nil
	}
	defer func(was *book.Book) { e.book = was }(e.book)
	e.book = b
	ids := maps.Clone(e.nodes)
	for id := range e.halves {
		ids[id] = e.nodes[id]
	}
	more := 0
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		mac, n := macOf(id), ids[id]
		if n != nil {
			mac = n.MACs[0]
		}
		h := e.half(id, n)
		if word, by := e.whenIdle(mac, n); h == nil || word != netboot.IdleNever {
			continue
		} else if len(out) < maxWarnings {
			out = append(out, fmt.Sprintf("Machine %s is never (%s), and is answered all the same for now: %s; %s.",
				e.title(id), by, strings.TrimSuffix(halfWords(h), "."), healWords(h)))
		} else {
			more++
		}
	}
	if more > 0 {
		out = append(out, fmt.Sprintf("So are %d more.", more))
	}
	return out
}

// neverFor says that this server does not boot the machine of a node's name for any session; nil when it does.
func (e *Engine) neverFor(id string) *waiting.For {
	word, by := e.whenIdle(macOf(id), e.nodes[id])
	if word != netboot.IdleNever || e.half(id, e.nodes[id]) != nil {
		return nil
	}
	name := id
	if owners := e.fleet.Booted(macOf(id)); len(owners) == 1 {
		name = owners[0].Title()
	}
	return &waiting.For{Cause: waiting.Never, Machine: name, Why: by}
}

// checkIdle is checkIdle of a word that may name a menu, which must be there.
func (e *Engine) checkIdle(word *string) (*string, error) {
	kept, err := checkIdle(word)
	if err != nil || kept == nil {
		return kept, err
	}
	name := doc.IdleMenuName(*kept)
	if _, ok := e.book.Menu(name); name != "" && !ok {
		return nil, fmt.Errorf("when_idle: %w", e.book.NoMenu(name))
	}
	return kept, nil
}

// idleFact is what a word is to the decision on what is booted. A menu of the operator's that waits when nobody chooses
// is the agent's alone; else the loader's own comes first, which costs no kernel.
func (e *Engine) idleFact(word netboot.Idle) netboot.Idle {
	name := doc.IdleMenuName(string(word))
	if name == "" {
		return word
	}
	if m, ok := e.book.Menu(name); ok && m.Default == doc.EntryWait {
		return netboot.IdleWait
	}
	return netboot.IdleMenu
}

// checkIdle is CheckIdle of a word that may be absent.
func checkIdle(word *string) (*string, error) {
	if word == nil {
		return nil, nil
	}
	kept, err := doc.CheckIdle(*word)
	return &kept, err
}
