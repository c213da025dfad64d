package sdboot

import (
	"cmp"
	"strings"
)

// compare orders the menu (UAPI.1, "Sorting"; systemd-boot(7)): entries without tries left come last; those with a sort key before those
// without; then sort key, machine ID and, newest first, version; then the file's name, newest first; then who has more tries left, and
// who was tried less often.
func compare(a, b *Entry) int {
	if c := compareBool(a.Left == 0, b.Left == 0); c != 0 {
		return c
	}
	if c := compareBool(a.sortKey == "", b.sortKey == ""); c != 0 {
		return c
	}
	if a.sortKey != "" {
		c := cmp.Or(strings.Compare(a.sortKey, b.sortKey), strings.Compare(a.machineID, b.machineID), -CompareVersions(a.version, b.version))
		if c != 0 {
			return c
		}
	}
	if c := -CompareVersions(a.ID, b.ID); c != 0 {
		return c
	}
	if a.Left < 0 || b.Left < 0 {
		return 0
	}
	return cmp.Or(-cmp.Compare(a.Left, b.Left), cmp.Compare(a.Done, b.Done))
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// CompareVersions orders versions as UAPI.10, "Version Format Specification", does: ~ is before everything, also before the end; then the
// end, then - ^ and . in this order; numbers by value and above letters; letters as ASCII has them. Other characters only separate.
func CompareVersions(a, b string) int {
	for {
		a, b = strings.TrimLeftFunc(a, separates), strings.TrimLeftFunc(b, separates)
		if c := cmp.Compare(first(a), first(b)); c != 0 {
			return c
		}
		if a == "" {
			return 0
		}
		var x, y string
		switch first(a) {
		case digit:
			x, a = cut(a, isDigit)
			y, b = cut(b, isDigit)
			x, y = strings.TrimLeft(x, "0"), strings.TrimLeft(y, "0")
			if c := cmp.Compare(len(x), len(y)); c != 0 {
				return c
			}
		case letter:
			x, a = cut(a, isLetter)
			y, b = cut(b, isLetter)
		default:
			a, b = a[1:], b[1:]
		}
		if c := strings.Compare(x, y); c != 0 {
			return c
		}
	}
}

// Ranks of what a version goes on with.
const (
	tilde = iota
	end
	dash
	caret
	dot
	letter
	digit
)

func first(s string) int {
	switch {
	case s == "":
		return end
	case s[0] == '~':
		return tilde
	case s[0] == '-':
		return dash
	case s[0] == '^':
		return caret
	case s[0] == '.':
		return dot
	case isDigit(rune(s[0])):
		return digit
	}
	return letter
}

func cut(s string, of func(rune) bool) (head, rest string) {
	rest = strings.TrimLeftFunc(s, of)
	return s[:len(s)-len(rest)], rest
}

func separates(r rune) bool {
	return !isDigit(r) && !isLetter(r) && !strings.ContainsRune("~-^.", r)
}

func isDigit(r rune) bool  { return r >= '0' && r <= '9' }
func isLetter(r rune) bool { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' }
