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

// CompareVersions orders versions as UAPI.10, "Version Format Specification", and systemd do: ~ is before everything, also before the end;
// then the end, then - ^ and . in this order; numbers by value and above letters; letters as ASCII has them. Other characters only separate.
func CompareVersions(a, b string) int {
	for {
		a, b = strings.TrimLeftFunc(a, separates), strings.TrimLeftFunc(b, separates)
		for _, mark := range []string{"~", "", "-", "^", "."} {
			if mark == "" {
				if a == "" || b == "" {
					return cmp.Compare(len(a), len(b))
				}
				continue
			}
			restA, inA := strings.CutPrefix(a, mark)
			restB, inB := strings.CutPrefix(b, mark)
			if inA != inB {
				return -compareBool(inA, inB)
			}
			a, b = restA, restB
		}
		if c := compareRun(&a, &b); c != 0 {
			return c
		}
	}
}

// compareRun compares the digits, or the letters, that both begin with, and cuts them off.
func compareRun(a, b *string) int {
	x, restA := cut(*a, isDigit)
	y, restB := cut(*b, isDigit)
	if x != "" || y != "" {
		if x == "" || y == "" {
			return cmp.Compare(len(x), len(y))
		}
		*a, *b = restA, restB
		x, y = strings.TrimLeft(x, "0"), strings.TrimLeft(y, "0")
		return cmp.Or(cmp.Compare(len(x), len(y)), strings.Compare(x, y))
	}
	x, *a = cut(*a, isLetter)
	y, *b = cut(*b, isLetter)
	return strings.Compare(x, y)
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
