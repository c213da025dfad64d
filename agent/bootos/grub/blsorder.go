package grub

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// sortBLS brings entries into the menu's order, the highest name first. It refuses names that versions of Red Hat's
// GRUB order in several ways, and two of the same rank: GRUB leaves out the one that the directory has later.
func sortBLS(entries []blsEntry) ([]blsEntry, error) {
	older, newer := slices.Clone(entries), slices.Clone(entries)
	for _, order := range []struct {
		entries []blsEntry
		plus    bool
	}{{older, false}, {newer, true}} {
		descending := func(a, b blsEntry) int { return comparePackages(b.id, a.id, order.plus) }
		slices.SortStableFunc(order.entries, descending)
		for i := 1; i < len(order.entries); i++ {
			if a, b := order.entries[i-1], order.entries[i]; descending(a, b) == 0 {
				return nil, &Restart{Why: fmt.Sprintf("its entries %s and %s have the same rank, and GRUB leaves out "+
					"one of them", a.id, b.id)}
			}
		}
	}
	for i := range older {
		if older[i].id != newer[i].id {
			return nil, &Restart{Why: fmt.Sprintf("of its entries %s and %s older GRUBs of Red Hat's have the first "+
				"one higher, and newer ones the second", older[i].id, newer[i].id)}
		}
	}
	return newer, nil
}

// comparePackages orders the names of entries as Red Hat's GRUB does: NAME-VERSION-RELEASE, NAME-VERSION with one dash,
// NAME with none; each part by the rules of RPM. Since December 2019 (2.04-6) plus is the mark that it is in names of
// kernels, as RPM has ^.
func comparePackages(a, b string, plus bool) int {
	as, bs := splitPackage(a), splitPackage(b)
	for i := range as {
		if c := compareRPM(as[i], bs[i], plus); c != 0 {
			return c
		}
	}
	return 0
}

func splitPackage(v string) [3]string {
	last := strings.LastIndexByte(v, '-')
	if last < 0 {
		return [3]string{v}
	}
	name, release := v[:last], v[last+1:]
	if i := strings.LastIndexByte(name, '-'); i >= 0 {
		return [3]string{name[:i], name[i+1:], release}
	}
	return [3]string{name, release}
}

// compareRPM compares versions as RPM did before it knew ^: runs of digits by value, runs of letters as text, digits
// above letters, what goes on above what ends, ~ below everything, and where it counts + above the end and below all
// else. Anything else only separates.
func compareRPM(a, b string, plus bool) int {
	separates := func(r rune) bool {
		return r != '~' && (r != '+' || !plus) && (r >= 128 || !isDigit(byte(r)) && !isLetter(byte(r)))
	}
	starts := func(v string, mark byte) bool { return v != "" && v[0] == mark }
	for {
		a, b = strings.TrimLeftFunc(a, separates), strings.TrimLeftFunc(b, separates)
		switch {
		case starts(a, '~') && starts(b, '~'), starts(a, '+') && starts(b, '+'):
			a, b = a[1:], b[1:]
			continue
		case starts(a, '~'), starts(b, '+') && a == "":
			return -1
		case starts(b, '~'), starts(a, '+') && b == "":
			return 1
		case starts(a, '+'):
			return -1
		case starts(b, '+'):
			return 1
		case a == "" || b == "":
			return cmp.Compare(len(a), len(b))
		}
		digits := isDigit(a[0])
		is := isLetter
		if digits {
			is = isDigit
		}
		i, j := run(a, is), run(b, is)
		if j == 0 {
			return map[bool]int{true: 1, false: -1}[digits]
		}
		x, y := a[:i], b[:j]
		if digits {
			x, y = strings.TrimLeft(x, "0"), strings.TrimLeft(y, "0")
			if len(x) != len(y) {
				return cmp.Compare(len(x), len(y))
			}
		}
		if c := strings.Compare(x, y); c != 0 {
			return c
		}
		a, b = a[i:], b[j:]
	}
}

func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

// run returns how many bytes at the start of v are of a kind.
func run(v string, is func(byte) bool) int {
	n := 0
	for n < len(v) && is(v[n]) {
		n++
	}
	return n
}
