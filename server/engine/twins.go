package engine

import (
	"fmt"
	"strings"

	"github.com/diskcast/diskcast/internal/diskrule"
	"github.com/diskcast/diskcast/internal/erasure"
	"github.com/diskcast/diskcast/internal/session"
)

// twins says of which known nodes a rule that names a serial or a WWN fits several disks: makers have given one serial
// to many, and such a node will refuse the session. A rule that says more may leave one.
func (e *Engine) twins(s *sess) []string {
	var out []string
	for _, t := range s.Spec.Targets() {
		out = append(out, e.twinsOf(s, t)...)
	}
	return out
}

// twinsOf is that of one rule.
func (e *Engine) twinsOf(s *sess, t session.Target) []string {
	named := session.Target{Serial: t.Serial, WWN: t.WWN}
	if named == (session.Target{}) || named != t {
		return nil
	}
	var out []string
	more, add := 0, "by-path=, model=, a size or first"
	if s.Spec.Kind == erasure.Action { // which takes no disk by its place
		add = "by-path=, model= or a size"
	}
	for _, n := range e.nodes {
		if s.Parts[n.ID] == nil && len(s.Spec.Nodes) > 0 {
			continue
		}
		var fit []string
		for i := range n.Inventory.Disks {
			if d := &n.Inventory.Disks[i]; diskrule.Fits(*d, t) {
				fit = append(fit, d.Path)
			}
		}
		switch {
		case len(fit) < 2:
		case len(out) >= maxWarnings:
			more++
		default:
			out = append(out, fmt.Sprintf("The disk rule fits %d disks of node %s (%s), which will therefore refuse "+
				"the session: add %s; `diskcast node show %s` prints what tells them apart.", len(fit), n.ID,
				strings.Join(fit, ", "), add, n.ID))
		}
	}
	if more > 0 {
		out = append(out, fmt.Sprintf("So it does of %d more nodes.", more))
	}
	return out
}
