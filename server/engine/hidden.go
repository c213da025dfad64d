package engine

import (
	"strings"

	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/fleet"
)

// Hidden reports of each word whether it is the id, the name or a NIC of a machine that is not within, or the number of
// a session that is not.
func (b Bounds) Hidden(words []string) map[string]bool {
	b.e.mu.Lock()
	defer b.e.mu.Unlock()
	w, out := b.now(), map[string]bool{}
	for _, word := range words {
		out[word] = w.hides(word)
	}
	return out
}

func (w inside) hides(word string) bool {
	if m := w.e.fleet.Find(word); m != nil {
		return !w.fits(m)
	}
	if s := w.e.jobs.Session(word); s != nil {
		return !w.session(s)
	}
	id, err := doc.NodeID(word)
	if err != nil || !strings.ContainsAny(word, ":-") {
		return false
	}
	if n := w.e.nodes[w.e.byMAC[macOf(id)]]; n != nil {
		return !w.node(n.ID)
	}
	owners := w.e.fleet.Booted(macOf(id))
	return len(owners) > 0 && !anyFits(owners, w.fits)
}

func anyFits(ms []*fleet.Machine, fits func(*fleet.Machine) bool) bool {
	for _, m := range ms {
		if fits(m) {
			return true
		}
	}
	return false
}
