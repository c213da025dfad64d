// Package selector is how an operator says which machines are meant, in a line:
//
//	rack1-* lab-07 m12 52:54:00:12:34:56    by name, by a pattern of names, by id, by the NIC that one boots from
//	room=210,!spare                         by labels: a comma means that all of it must hold
//	@front row=2                            by a selector that the server keeps under a name; a space means or
//
// Parse reads the words and knows no machine. Pick finds the machines, and refuses what fits none: a selector is never
// quietly smaller than what its writer meant.
package selector

import (
	"errors"
	"fmt"
	"net"
	"path"
	"regexp"
	"strings"
	"sync"

	"golang.org/x/text/unicode/norm"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/server/fleet"
)

// Bounds of a selector.
const (
	MaxLength = 64 << 10 // bytes
	maxTerms  = 4096
	maxConds  = 32
	maxDepth  = 8 // groups of groups
)

// Selector is which machines are meant: those that fit any of the terms.
type Selector []term

// term fits a machine of which all conditions hold.
type term []cond

// kind is what a condition looks at.
type kind int

const (
	word  kind = iota // a machine's name or id, or a label that a machine has
	glob              // a pattern of names
	nic               // the MAC address of a NIC that it boots from
	label             // a label and a pattern of its value
	group             // another selector, by its name
)

type cond struct {
	not        bool
	kind       kind
	key, value string
}

var globRule = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[A-Za-z0-9._*?\[\]^-]+$`)
})

// Parse reads a selector; each of the words may have several, apart by spaces.
func Parse(words ...string) (Selector, error) {
	text := strings.Join(words, " ")
	if len(text) > MaxLength {
		return nil, fmt.Errorf("the selector is longer than %d bytes: keep parts of it as groups "+
			"(`diskcast group set`)", MaxLength)
	}
	if plain.Line(text, 0) != text {
		return nil, errors.New("the selector has characters that cannot be printed")
	}
	text = norm.NFC.String(text) // as labels are
	var s Selector
	for _, w := range strings.Fields(text) {
		t, err := parseTerm(w)
		if err != nil {
			return nil, fmt.Errorf("selector %.80q: %w", w, err)
		}
		if s = append(s, t); len(s) > maxTerms {
			return nil, fmt.Errorf("the selector has more than %d words", maxTerms)
		}
	}
	if len(s) == 0 {
		return nil, errors.New("the selector is empty: * means all machines")
	}
	return s, nil
}

func parseTerm(w string) (term, error) {
	var t term
	for part := range strings.SplitSeq(w, ",") {
		c, err := parseCond(part)
		if err != nil {
			return nil, err
		}
		if t = append(t, c); len(t) > maxConds {
			return nil, fmt.Errorf("it has more than %d conditions", maxConds)
		}
	}
	return t, nil
}

func parseCond(part string) (cond, error) {
	var c cond
	rest := part
	if rest, c.not = strings.CutPrefix(part, "!"); rest == "" {
		return c, errors.New("a condition is empty: between two commas, or after a !, stands a label, a name or @GROUP")
	}
	if key, value, ok := strings.Cut(rest, "="); ok {
		if key, unequal := strings.CutSuffix(key, "!"); unequal {
			return labelCond(c, key, value, !c.not)
		}
		return labelCond(c, key, value, c.not)
	}
	if name, ok := strings.CutPrefix(rest, "@"); ok {
		if !fleet.MayBeName(name) {
			return c, fmt.Errorf("@%s: a group's name %s", name, fleet.NameRule)
		}
		c.kind, c.key = group, name
		return c, nil
	}
	if hw, err := net.ParseMAC(rest); err == nil && len(hw) == 6 {
		c.kind, c.key = nic, hw.String()
		return c, nil
	}
	switch {
	case fleet.MayBeName(rest):
		c.kind, c.key = word, rest
	case globRule().MatchString(rest) && strings.ContainsAny(rest, "*?["):
		if _, err := path.Match(rest, ""); err != nil {
			return c, fmt.Errorf("pattern %q: a [ has no ]", rest)
		}
		c.kind, c.key = glob, strings.ToLower(rest)
	case strings.Contains(rest, ":"):
		return c, fmt.Errorf("%q is not a MAC address such as 52:54:00:12:34:56", rest)
	default:
		return c, fmt.Errorf("%q is neither a name, a pattern such as rack1-*, LABEL=VALUE, a MAC address nor @GROUP",
			rest)
	}
	return c, nil
}

func labelCond(c cond, key, value string, not bool) (cond, error) {
	switch _, err := path.Match(value, ""); {
	case !fleet.MayBeName(key):
		return c, fmt.Errorf("label %q: a label %s", key, fleet.NameRule)
	case err != nil:
		return c, fmt.Errorf("the value %q of label %s: a [ has no ], or a backslash nothing behind it", value, key)
	}
	c.kind, c.key, c.value, c.not = label, key, value, not
	return c, nil
}

// String is the selector in its one form, which Parse reads as the same.
func (s Selector) String() string {
	var terms []string
	for _, t := range s {
		terms = append(terms, t.String())
	}
	return strings.Join(terms, " ")
}

func (t term) String() string {
	var conds []string
	for _, c := range t {
		conds = append(conds, c.String())
	}
	return strings.Join(conds, ",")
}

func (c cond) String() string {
	not := map[bool]string{true: "!"}[c.not]
	switch c.kind {
	case label:
		return c.key + not + "=" + c.value
	case group:
		return not + "@" + c.key
	}
	return not + c.key
}

// Groups are the names of the groups that the selector names itself.
func (s Selector) Groups() []string {
	var out []string
	for _, t := range s {
		for _, c := range t {
			if c.kind == group {
				out = append(out, c.key)
			}
		}
	}
	return out
}
