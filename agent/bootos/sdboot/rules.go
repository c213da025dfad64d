package sdboot

import (
	"cmp"
	"path"
	"strings"
)

// rules are what differs between versions of systemd-boot in how they name and order entries.
type rules struct {
	stem     bool // an entry's name is its file's without .conf (before 245: issue 15068)
	counters bool // and has the boot counters in it (before 259: pull request 38897)
	keys     bool // entries are ordered by sort key, machine ID and version before their name (from 251 on: UAPI.1)
	// the order is one of its own, which is not followed (before 250: by name in several ways, the last one being the
	// default)
	old bool
	// of several entries that a pattern fits the last is taken, or the first (250: issue 22004)
	either bool
	uki    bool // an entry may name a unified kernel image by the key uki (from 258 on: issue 39886)
}

// rulesOf lists the rules that a version may have: at its edges it is not known what was carried into stable releases.
// 0 is a version that is not known, which is taken for one of the last years.
func rulesOf(version int) []rules {
	among := func(both, after int) []bool {
		switch {
		case version != 0 && version < both:
			return []bool{false}
		case version == 0 || version >= after:
			return []bool{true}
		}
		return []bool{false, true}
	}
	stripped, uki := among(257, 259), among(258, 258)
	if version == 0 {
		stripped, uki = []bool{false, true}, []bool{false, true}
	}
	var out []rules
	for _, whole := range among(243, 245) {
		for _, stripped := range stripped {
			for _, keys := range among(250, 252) {
				for _, uki := range uki {
					out = append(out, rules{stem: !whole, counters: !stripped, keys: keys, old: version != 0 &&
						version < 250, either: version == 250, uki: uki})
				}
			}
		}
	}
	return out
}

// name is an entry's name by the rules.
func (r rules) name(e *Entry) string {
	name := e.ID
	if r.counters {
		name = e.file
	}
	if r.stem {
		name = strings.TrimSuffix(name, ".conf")
	}
	return name
}

// match tells whether a shell pattern fits an entry, without regard to case.
func (r rules) match(e *Entry, pattern string) bool {
	ok, err := path.Match(strings.ToLower(pattern), r.name(e))
	return ok && err == nil
}

// compare orders the menu (UAPI.1, "Sorting"; systemd-boot(7)): entries without tries left come last; those with a sort
// key before those without; then sort key, machine ID and, newest first, version; then the name, newest first; then who
// has more tries left, and who was tried less often.
func (r rules) compare(a, b *Entry) int {
	if c := compareBool(a.Left == 0, b.Left == 0); c != 0 {
		return c
	}
	if r.keys {
		if c := compareBool(a.sortKey == "", b.sortKey == ""); c != 0 {
			return c
		}
		if a.sortKey != "" {
			c := cmp.Or(strings.Compare(a.sortKey, b.sortKey), strings.Compare(a.machineID, b.machineID),
				-CompareVersions(a.version, b.version))
			if c != 0 {
				return c
			}
		}
	}
	if c := -CompareVersions(r.name(a), r.name(b)); c != 0 {
		return c
	}
	if a.Left < 0 || b.Left < 0 {
		return 0
	}
	return cmp.Or(-cmp.Compare(a.Left, b.Left), cmp.Compare(a.Done, b.Done))
}
