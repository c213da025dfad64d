package engine

import (
	"fmt"
	"strings"

	"github.com/diskcast/diskcast/server/model"
)

// unbootable lists the nodes that have the image, or may still get it, and will not start it by themselves.
func (s *sess) unbootable() []string {
	var out []string
	for _, id := range s.order {
		if p := s.parts[id]; p.Unbootable != "" && (p.State == model.Done || !p.Over()) {
			out = append(out, id)
		}
	}
	return out
}

// maxReasons is how many nodes the reason of a session's end names.
const maxReasons = 5

// unbootableWords say at the end of a session which of its nodes will not start by themselves, and why; empty for none.
func (s *sess) unbootableWords() string {
	nodes := s.unbootable()
	if len(nodes) == 0 {
		return ""
	}
	var why []string
	for _, id := range nodes {
		if len(why) == maxReasons {
			why = append(why, fmt.Sprintf("and %d more", len(nodes)-maxReasons))
			break
		}
		why = append(why, id+": "+s.parts[id].Unbootable)
	}
	return fmt.Sprintf("%d of %d nodes will not start by themselves: %s", len(nodes), len(s.parts), strings.Join(why, "; "))
}
