package fleet

import (
	"iter"
	"slices"
)

// set is ids of machines: most often of one, for which a map would take a third of what is kept of it.
type set struct {
	one  string          // empty: there is none, or there are several
	more map[string]bool // nil: there are not
}

func (s set) size() int {
	if s.one != "" {
		return 1
	}
	return len(s.more)
}

func (s set) all() iter.Seq[string] {
	return func(yield func(string) bool) {
		if s.one != "" {
			yield(s.one)
			return
		}
		for id := range s.more {
			if !yield(id) {
				return
			}
		}
	}
}

func (s set) sorted() []string { return slices.Sorted(s.all()) }

func (s set) with(id string) set {
	switch {
	case s.one == id:
	case s.one != "":
		return set{more: map[string]bool{s.one: true, id: true}}
	case s.more != nil:
		s.more[id] = true
	default:
		s.one = id
	}
	return s
}

func (s set) without(id string) set {
	if s.one == id {
		return set{}
	}
	delete(s.more, id)
	if len(s.more) == 1 {
		for last := range s.more {
			return set{one: last}
		}
	}
	return s
}

// union is the ids in either, in order.
func union(a, b set) []string {
	return slices.Compact(slices.Sorted(func(yield func(string) bool) {
		for _, s := range []set{a, b} {
			for id := range s.all() {
				if !yield(id) {
					return
				}
			}
		}
	}))
}

func add(index map[string]set, key, id string) {
	if key != "" {
		index[key] = index[key].with(id)
	}
}

func remove(index map[string]set, key, id string) {
	if s := index[key].without(id); s.size() > 0 {
		index[key] = s
	} else {
		delete(index, key)
	}
}
