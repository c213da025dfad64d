package fleet

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Entry is a machine as the operator writes it down, whether it has come or not. What is not there stays as it is.
type Entry struct {
	ID       string // of a machine that is there
	Name     string
	MACs     []string // with colons, small
	Board    Board
	Labels   map[string]*string // nil takes the label away
	Notes    *string
	Profile  *string
	Approved *bool
	WhenIdle *string // a word that the caller has checked; empty: the default
	Revision uint64  // that the machine must have; 0: any
}

// Enter makes the machine that the entry is of what the entry says, and makes one where none is there. It returns the
// machine's id, whether that is new, and what changed, in words; nothing when all of it was so before.
func (f *Fleet) Enter(e Entry, now time.Time) (id string, made bool, words []string, err error) {
	m, err := f.of(e)
	if err != nil {
		return "", false, nil, err
	}
	if made = m == nil; made {
		if e.Revision != 0 {
			return "", false, nil, errors.New("it was removed meanwhile")
		}
		if len(e.MACs) == 0 && e.Board == (Board{}) {
			return "", false, nil, errors.New("there is no such machine, and the entry has neither a MAC address, a " +
				"UUID nor a serial to know it by when it comes")
		}
		id = f.make(now)
		m = f.machines[id].clone()
		m.Declared = true
		f.put(m)
	}
	id = m.ID
	was := m.clone()
	if err := f.enterKnown(id, e); err != nil {
		return "", false, nil, err
	}
	change := Change{Notes: e.Notes, Labels: e.Labels, Profile: e.Profile, WhenIdle: e.WhenIdle,
		Revision: e.Revision}
	if e.Name != "" {
		change.Name = &e.Name
	}
	if err := f.Edit(id, change); err != nil {
		return "", false, nil, err
	}
	if e.Approved != nil {
		switch m := f.machines[id]; {
		case *e.Approved && m.Approval == nil:
			err = f.Approve(id, now)
		case !*e.Approved && !m.Refused:
			err = f.Revoke(id)
		}
		if err != nil {
			return "", false, nil, err
		}
	}
	return id, made, changes(was, f.machines[id]), nil
}

// of finds the machine that an entry is of, nil when there is none.
func (f *Fleet) of(e Entry) (*Machine, error) {
	var found *Machine
	by := ""
	is := func(m *Machine, how string) error {
		if m == nil || found == m {
			return nil
		}
		if found != nil {
			return fmt.Errorf("%s is machine %s's, and %s is machine %s's: they are two machines; correct the "+
				"entry. Names that change places go by a name that nobody has. If both are one machine, entered "+
				"twice: `diskcast machine merge %s %s`", by, found.Title(), how, m.Title(), m.Title(), found.Title())
		}
		found, by = m, how
		return nil
	}
	if e.ID != "" {
		m := f.machines[e.ID]
		if m == nil {
			return nil, fmt.Errorf("there is no machine with the id %s: leave the id away for one that is new", e.ID)
		}
		found, by = m, "the id "+e.ID
	}
	for _, mac := range e.MACs {
		owners := f.Booted(mac)
		if len(owners) > 1 && (found == nil || !slices.Contains(owners, found)) {
			return nil, fmt.Errorf("the NIC %s is shared by %s: name the machine by its id", mac, titles(owners))
		}
		if len(owners) == 1 {
			if err := is(owners[0], "the NIC "+mac); err != nil {
				return nil, err
			}
		}
	}
	if found == nil {
		if m := f.withBoard(e.Board); m != nil {
			found, by = m, "the board with "+e.Board.String()
		} else if ids := union(f.byUUID[e.Board.UUID], f.bySerial[e.Board.Serial]); len(ids) == 1 && len(e.MACs) == 0 {
			found, by = f.machines[ids[0]], "the board with "+e.Board.String()
		}
	}
	if e.Name != "" {
		if err := is(f.machines[f.byName[strings.ToLower(e.Name)]], "the name "+e.Name); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// enterKnown adds what the machine is known by.
func (f *Fleet) enterKnown(id string, e Entry) error {
	m := f.machines[id].clone()
	before := len(m.Boots)
	for _, mac := range e.MACs {
		if !slices.Contains(m.Boots, mac) {
			m.Boots = append(m.Boots, mac)
		}
	}
	if len(m.Boots) > maxBoots && len(m.Boots) > before {
		return fmt.Errorf("machine %s would have %d NICs to boot from, and %d are the most", m.Title(), len(m.Boots),
			maxBoots)
	}
	boards := withBoard(slices.Clone(m.Boards), e.Board)
	if len(m.Boards) > 0 && len(boards) > len(m.Boards) {
		return fmt.Errorf("machine %s has %s, and the entry says %s: if its board was changed, leave UUID and serial "+
			"away, and it is learned when it boots", m.Title(), m.lastBoard(), e.Board)
	}
	if len(m.Boots) == before && slices.Equal(boards, m.Boards) {
		return nil
	}
	m.Boards = boards
	m.Revision++
	f.put(m)
	return nil
}

// changes are the differences between two states of a machine, in words.
func changes(a, b *Machine) []string {
	var out []string
	word := func(what, was, is string) {
		if was != is {
			out = append(out, fmt.Sprintf("%s: %s -> %s", what, orNone(was), orNone(is)))
		}
	}
	word("name", a.Name, b.Name)
	word("NICs", strings.Join(a.Boots, " "), strings.Join(b.Boots, " "))
	if !slices.Equal(a.Boards, b.Boards) {
		word("board", a.boards(), b.boards())
	}
	keys := maps.Clone(a.Labels)
	if keys == nil {
		keys = map[string]string{}
	}
	maps.Copy(keys, b.Labels)
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		was, had := a.Labels[k]
		is, has := b.Labels[k]
		switch {
		case had && !has:
			out = append(out, fmt.Sprintf("label %s=%s is taken away", k, was))
		case !had:
			out = append(out, fmt.Sprintf("label %s=%s", k, is))
		default:
			word("label "+k, was, is)
		}
	}
	if a.Notes != b.Notes {
		out = append(out, "notes are written anew")
	}
	word("profile", a.Profile, b.Profile)
	word("when idle", a.WhenIdle, b.WhenIdle)
	word("approved", a.approval(), b.approval())
	return out
}

func (m *Machine) boards() string {
	var out []string
	for _, b := range m.Boards {
		out = append(out, b.String())
	}
	return strings.Join(out, "; ")
}

func (m *Machine) approval() string {
	switch {
	case m.Approval != nil:
		return "by hand"
	case m.Refused:
		return "taken away"
	}
	return ""
}

func titles(ms []*Machine) string {
	var out []string
	for _, m := range ms {
		out = append(out, m.Title())
	}
	return list(out)
}
