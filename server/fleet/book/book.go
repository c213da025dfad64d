// Package book is what an operator wrote down beside machines: groups, which are selectors with a name; profiles, which
// say what machines of a sort become; rules, which approve them; and menus, from which people at them may choose. It
// waits for nothing, reads no clock and stores nothing: the engine changes a copy under its lock, stores what differs,
// and takes the copy in the place of the book.
package book

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/diskcast/diskcast/internal/nearest"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/fleet"
	"github.com/diskcast/diskcast/server/fleet/selector"
)

// MaxOf is how many groups, profiles, rules and menus a book has at most, of each.
const MaxOf = 1000

// Book is all groups, profiles, rules and menus, by name. What it hands out is not changed.
type Book struct {
	groups   map[string]doc.Group
	profiles map[string]doc.Profile
	rules    map[string]doc.Rule
	menus    map[string]doc.Menu
}

// New makes a book of what was stored.
func New(groups []doc.Group, profiles []doc.Profile, rules []doc.Rule, menus []doc.Menu) *Book {
	b := &Book{map[string]doc.Group{}, map[string]doc.Profile{}, map[string]doc.Rule{}, map[string]doc.Menu{}}
	for _, g := range groups {
		b.groups[g.Name] = g
	}
	for _, p := range profiles {
		b.profiles[p.Name] = p
	}
	for _, r := range rules {
		b.rules[r.Name] = r
	}
	for _, m := range menus {
		b.menus[m.Name] = m
	}
	return b
}

// Clone is a book that can be changed apart.
func (b *Book) Clone() *Book {
	return &Book{maps.Clone(b.groups), maps.Clone(b.profiles), maps.Clone(b.rules), maps.Clone(b.menus)}
}

// Group finds a group.
func (b *Book) Group(name string) (doc.Group, bool) { g, ok := b.groups[name]; return g, ok }

// Profile finds a profile, and shows it as everybody may see it.
func (b *Book) Profile(name string) (doc.Profile, bool) {
	p, ok := b.profiles[name]
	return Shown(p), ok
}

// Profiles are all of them as they are stored, with their secrets, by name.
func (b *Book) Profiles() []doc.Profile { return sorted(b.profiles) }

// Rule finds a rule.
func (b *Book) Rule(name string) (doc.Rule, bool) { r, ok := b.rules[name]; return r, ok }

// Menu finds a menu.
func (b *Book) Menu(name string) (doc.Menu, bool) { m, ok := b.menus[name]; return m, ok }

// Lab is all of the book, by name, as everybody may see it.
func (b *Book) Lab() doc.Lab {
	l := doc.Lab{Groups: sorted(b.groups), Profiles: sorted(b.profiles), Rules: sorted(b.rules),
		Menus: sorted(b.menus)}
	for i := range l.Profiles {
		l.Profiles[i] = Shown(l.Profiles[i])
	}
	return l
}

// Selectors are the groups' selectors by name.
func (b *Book) Selectors() map[string]string {
	out := map[string]string{}
	for name, g := range b.groups {
		out[name] = g.Select
	}
	return out
}

// Names are those of what is of the kind.
func (b *Book) Names(kind string) []string {
	switch kind {
	case doc.KindGroup:
		return slices.Sorted(maps.Keys(b.groups))
	case doc.KindProfile:
		return slices.Sorted(maps.Keys(b.profiles))
	case doc.KindRule:
		return slices.Sorted(maps.Keys(b.rules))
	case doc.KindMenu:
		return slices.Sorted(maps.Keys(b.menus))
	}
	return nil
}

// NoProfile is the error about a profile that is not there.
func (b *Book) NoProfile(name string) error {
	return fmt.Errorf("there is no profile %q%s (`diskcast profile list`)", name,
		nearest.Hint(name, b.Names(doc.KindProfile)))
}

func sorted[T any](m map[string]T) []T {
	out := []T{}
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, m[k])
	}
	return out
}

// Writer is who writes, and when.
type Writer struct {
	Owner string
	Now   time.Time
}

// SetGroup puts a group in the place of the one of its name. The difference is nil when it was so before.
func (b *Book) SetGroup(g doc.Group, w Writer) (*doc.LabDiff, error) {
	s, err := selector.Parse(g.Select)
	if err != nil {
		return nil, err
	}
	was, had := b.groups[g.Name]
	if err := mayWrite(doc.KindGroup, g.Name, g.Revision, had, was.Revision, len(b.groups)); err != nil {
		return nil, err
	}
	now := doc.Group{Name: g.Name, Select: s.String(), Revision: was.Revision + 1, Owner: w.Owner, Changed: w.Now}
	if had && was.Select == now.Select {
		return nil, nil
	}
	b.groups[g.Name] = now
	return diff(doc.KindGroup, g.Name, had, words("selects", was.Select, now.Select)), nil
}

// Remove takes a group, a profile, a rule or a menu out of the book.
func (b *Book) Remove(x doc.LabName) (*doc.LabDiff, error) {
	var rev uint64
	var had bool
	switch x.Kind {
	case doc.KindGroup:
		g, ok := b.groups[x.Name]
		rev, had = g.Revision, ok
		delete(b.groups, x.Name)
	case doc.KindProfile:
		p, ok := b.profiles[x.Name]
		rev, had = p.Revision, ok
		delete(b.profiles, x.Name)
	case doc.KindRule:
		r, ok := b.rules[x.Name]
		rev, had = r.Revision, ok
		delete(b.rules, x.Name)
	case doc.KindMenu:
		m, ok := b.menus[x.Name]
		rev, had = m.Revision, ok
		delete(b.menus, x.Name)
	default:
		return nil, fmt.Errorf("nothing of the kind %q can be removed: it is group, profile, rule or menu", x.Kind)
	}
	if !had {
		return nil, fmt.Errorf("there is no %s %q%s (`diskcast %s list`)", x.Kind, x.Name,
			nearest.Hint(x.Name, b.Names(x.Kind)), x.Kind)
	}
	if x.Revision != 0 && x.Revision != rev {
		return nil, changed(x.Kind, x.Name, rev, x.Revision)
	}
	return &doc.LabDiff{Kind: x.Kind, Name: x.Name, Does: doc.Removes}, nil
}

// NameError is about one thing of the book.
type NameError struct {
	Kind, Name string
	Err        error
}

func (e *NameError) Error() string { return e.Kind + " " + e.Name + ": " + e.Err.Error() }

func (e *NameError) Unwrap() error { return e.Err }

// Check says which group is made of what is not there, and which menu or rule names what is not.
func (b *Book) Check() error {
	selectors := b.Selectors()
	for _, g := range sorted(b.groups) {
		s, err := selector.Parse(g.Select)
		if err == nil {
			err = s.Check(selectors)
		}
		if err != nil {
			return &NameError{doc.KindGroup, g.Name, err}
		}
	}
	return b.checkMenus()
}

func mayWrite(kind, name string, asked uint64, had bool, rev uint64, n int) error {
	switch {
	case !fleet.MayBeName(name):
		return fmt.Errorf("%s %q: its name %s", kind, name, fleet.NameRule)
	case asked != 0 && asked != rev:
		return changed(kind, name, rev, asked)
	case !had && n >= MaxOf:
		return fmt.Errorf("there are %d of the kind %s, which is the most", n, kind)
	}
	return nil
}

func changed(kind, name string, rev, asked uint64) error {
	if rev == 0 {
		return fmt.Errorf("%s %s was removed meanwhile, and the change is of its revision %d", kind, name, asked)
	}
	return fmt.Errorf("%s %s was changed meanwhile: it is at revision %d, and the change is of %d; look at it again "+
		"(`diskcast %s show %s`)", kind, name, rev, asked, kind, name)
}

func diff(kind, name string, had bool, words []string) *doc.LabDiff {
	d := &doc.LabDiff{Kind: kind, Name: name, Does: doc.Adds, Words: words}
	if had {
		d.Does = doc.Alters
	}
	return d
}

// words tell one difference; none when there is none.
func words(what, was, is string) []string {
	switch {
	case was == is:
		return nil
	case was == "":
		return []string{what + ": " + is}
	case is == "":
		return []string{what + ": " + was + " is taken away"}
	}
	return []string{what + ": " + was + " -> " + is}
}
