package jobs

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/diskcast/diskcast/server/doc"
)

// DoneParts counts the parts that are done.
func (s *Session) DoneParts() int {
	n := 0
	for _, p := range s.Parts {
		if p.State == doc.Done {
			n++
		}
	}
	return n
}

// causes says why parts are not done, each cause once: "n1: no disk", or "3 nodes (n1, n2, n3): no disk". Reasons that
// differ in their numbers only are one cause, told in the words of the first.
func (s *Session) causes() []string {
	type cause struct {
		words string
		nodes []string
	}
	var all []*cause
	by := map[string]*cause{}
	for _, id := range s.Order {
		p := s.Parts[id]
		if p.State == doc.Done {
			continue
		}
		key := alike(strings.ReplaceAll(p.Reason, id, ""))
		c := by[key]
		if c == nil {
			c = &cause{words: p.Reason}
			by[key] = c
			all = append(all, c)
		}
		c.nodes = append(c.nodes, id)
	}
	slices.SortStableFunc(all, func(a, b *cause) int { return len(b.nodes) - len(a.nodes) })
	var out []string
	for _, c := range all {
		who := c.nodes[0]
		if n := len(c.nodes); n > 1 {
			names := c.nodes
			if n > MaxReasons {
				names = append(slices.Clone(c.nodes[:MaxReasons]), fmt.Sprintf("and %d more", n-MaxReasons))
			}
			who = fmt.Sprintf("%d nodes (%s)", n, strings.Join(names, ", "))
		}
		out = append(out, who+": "+c.words)
	}
	return out
}

// alike is the words without their numbers.
func alike(words string) string {
	var b strings.Builder
	last := rune(0)
	for _, c := range words {
		if unicode.IsDigit(c) {
			c = '#'
		}
		if c != '#' || last != '#' {
			b.WriteRune(c)
		}
		last = c
	}
	return b.String()
}

// left writes on a part that ended and is not done what is on its machine's disk.
func (r *run) left(s *Session, p *doc.Part) {
	p.Left = ""
	if kind, ok := s.Kind.(Leaver); ok && p.State != doc.Done {
		p.Left = kind.Left(s, p)
	}
}
