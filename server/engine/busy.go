package engine

import (
	"maps"
	"slices"

	"github.com/diskcast/diskcast/internal/waiting"
)

// busyFor is said of a session of which no node is there, where one that is works for another session; nil where none
// does. Several may be in the way: the one that has the first of them is said.
func (e *Engine) busyFor(s *sess) *waiting.For {
	ids := e.missing(s)
	if s.Spec.All || s.Spec.Count > 0 {
		ids = slices.Sorted(maps.Keys(e.nodes))
	}
	var other *sess
	var busy []string
	away := 0
	for _, id := range ids {
		n := e.nodes[id]
		if n == nil || e.awayFor(n) != nil {
			if s.Parts[id] != nil {
				away++
			}
			continue
		}
		o := e.current(n)
		if o == nil && s.Parts[id] == nil && e.unapprovedFor(n) == nil {
			return nil // it is free, and will be taken
		}
		if o != nil && o != s && (other == nil || o == other) {
			other, busy = o, append(busy, id)
		}
	}
	if other == nil {
		return nil
	}
	words := " works"
	if len(busy) > 1 {
		words = " work"
	}
	return &waiting.For{Cause: waiting.BusyNodes, Session: other.ID, State: other.State, Need: s.Need(), Away: away,
		Names: e.firstNames(busy) + words}
}
