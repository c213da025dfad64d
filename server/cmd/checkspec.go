package cmd

import (
	"fmt"
	"slices"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/fleet/selector"
	"github.com/diskcast/diskcast/server/jobs/kinds"
)

// checkSpec refuses, as a wrong command line, what the spec alone shows to be wrong: the server's own check says so
// before anything is sent. What the server must add, as nodes of a selector and the image of a profile, is taken to be
// well.
func checkSpec(spec *doc.Spec) error {
	s := *spec
	s.Nodes = slices.Clone(spec.Nodes)
	if spec.Boot != nil {
		boot := *spec.Boot
		s.Boot = &boot
	}
	switch {
	case s.On != "":
		if _, err := selector.Parse(s.On); err != nil {
			return usage("--on: %w", err)
		}
		standIn(&s)
	case !s.All && s.Count == 0 && len(s.Nodes) == 0: // a profile has none
		standIn(&s)
	default:
		named(s.Nodes)
	}
	if s.Kind == "" && s.Image == "" && s.Capture == "" {
		s.Image = "any"
	}
	if _, err := kinds.All().Check(&s); err != nil {
		return usage("%w", err)
	}
	return nil
}

// standIn has the spec mean nodes that any session of its kind may have.
func standIn(s *doc.Spec) {
	if s.Capture != "" {
		s.Count, s.MinNodes = 1, min(s.MinNodes, 1)
		return
	}
	s.All = true
}

// named puts ids of machines in the place of names, which only the server knows.
func named(nodes []string) {
	ids := map[string]string{}
	for i, n := range nodes {
		if _, err := doc.NodeID(n); err == nil {
			continue
		}
		if ids[n] == "" {
			ids[n] = fmt.Sprintf("m9%017d", len(ids))
		}
		nodes[i] = ids[n]
	}
}

// checkChange is checkSpec for a change of a session, of which the nodes are not known.
func checkChange(c *doc.SessionChange) error {
	s := c.Apply(doc.Spec{V: session.Version, Image: "any", All: true})
	return checkSpec(&s)
}
