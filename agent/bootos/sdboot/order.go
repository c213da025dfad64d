package sdboot

import (
	"cmp"
	"strings"
)

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// CompareVersions orders versions as UAPI.10, "Version Format Specification", and systemd do: ~ is before everything,
// also before the end; then the end, then - ^ and . in this order; numbers by value and above letters; letters as ASCII
// has them. Other characters only separate.
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
