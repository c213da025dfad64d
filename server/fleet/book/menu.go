package book

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/diskcast/diskcast/internal/nearest"
	"github.com/diskcast/diskcast/server/doc"
)

// SetMenu puts a menu in the place of the one of its name. The difference is nil when it was so before.
func (b *Book) SetMenu(m doc.Menu, w Writer) (*doc.LabDiff, error) {
	was, had := b.menus[m.Name]
	if err := mayWrite(doc.KindMenu, m.Name, m.Revision, had, was.Revision, len(b.menus)); err != nil {
		return nil, err
	}
	m.Entries = slices.Clone(m.Entries)
	if err := m.Check(); err != nil {
		return nil, err
	}
	m.Revision, m.Owner, m.Changed = was.Revision+1, w.Owner, w.Now
	said := words("entries", strings.Join(was.Entries, " "), strings.Join(m.Entries, " "))
	said = append(said, words("time-out", seconds(was.Timeout), seconds(m.Timeout))...)
	said = append(said, words("default", was.Default, m.Default)...)
	if had && len(said) == 0 {
		return nil, nil
	}
	b.menus[m.Name] = m
	return diff(doc.KindMenu, m.Name, had, said), nil
}

func seconds(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n) + " s"
}

// NoMenu is the error about a menu that is not there.
func (b *Book) NoMenu(name string) error {
	return fmt.Errorf("there is no menu %.80q%s (`diskcast menu list`)", name,
		nearest.Hint(name, b.Names(doc.KindMenu)))
}

// checkMenus says which menu names a profile that is not there, and which rule a menu.
func (b *Book) checkMenus() error {
	for _, m := range sorted(b.menus) {
		for _, e := range m.Entries {
			name := doc.EntryName(e, doc.EntryProfile)
			if _, ok := b.profiles[name]; name != "" && !ok {
				return &NameError{doc.KindMenu, m.Name, b.NoProfile(name)}
			}
		}
	}
	for _, r := range sorted(b.rules) {
		name := doc.IdleMenuName(r.WhenIdle)
		if _, ok := b.menus[name]; name != "" && !ok {
			return &NameError{doc.KindRule, r.Name, fmt.Errorf("when_idle: %w", b.NoMenu(name))}
		}
	}
	return nil
}
