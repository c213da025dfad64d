package kmod

import (
	"strings"
	"testing"
)

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"", "", true}, {"", "a", false}, {"a", "", false}, {"*", "", true}, {"**", "abc", true},
		{"a*c", "abbc", true}, {"a*c", "abcb", false}, {"a?c", "abc", true}, {"a?c", "ac", false},
		{"*a*b*c", "xxaxxbxxbc", true}, {"*a*b*c", "xxaxxbxxbcx", false},
		{"x[0-9]", "x5", true}, {"x[0-9]", "xa", false}, {"x[!0-9]", "xa", true}, {"x[^0-9]", "x4", false},
		{"x[]a]", "x]", true}, {"x[]a]", "xa", true}, {"x[a-]", "x-", true}, {"x[a", "x[a", true}, {"x[a", "xa", false},
		{"pci:v00001AF4d00001000sv*sd*bc*sc*i*", "pci:v00001AF4d00001000sv00001AF4sd00000001bc02sc00i00", true},
		{"usb:v0B95p1790d*dc*dsc*dp*ic*isc*ip*in*", "usb:v0B95p1790d0100dcFFdscFFdp00icFFiscFFip00in00", true},
	} {
		if got := Match(c.pattern, c.name); got != c.want {
			t.Errorf("Match(%q, %q) = %v", c.pattern, c.name, got)
		}
	}
}

// slowMatch is the definition: a star is nothing, or one byte and a star.
func slowMatch(p, n string) bool {
	switch {
	case p == "":
		return n == ""
	case p[0] == '*':
		return slowMatch(p[1:], n) || n != "" && slowMatch(p, n[1:])
	case n == "":
		return false
	}
	width, ok := matchOne(p, n[0])
	return ok && slowMatch(p[width:], n[1:])
}

func FuzzMatch(f *testing.F) {
	f.Add("a*b?[c-e]*", "axxbydz")
	f.Add("[]", "[]")
	f.Add("*[", "a[")
	f.Fuzz(func(t *testing.T, p, n string) {
		got := Match(p, n)
		// The definition takes exponential time.
		if strings.Count(p, "*") < 5 && len(n) < 30 && got != slowMatch(p, n) {
			t.Errorf("Match(%q, %q) = %v", p, n, got)
		}
	})
}
