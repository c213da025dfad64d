package nearest

import (
	"slices"
	"strings"
	"testing"
)

func TestOf(t *testing.T) {
	known := []string{"debian", "debian-12", "ubuntu", "win11", "s12", "s21", "create", "cancel"}
	for _, c := range []struct {
		word string
		want []string
	}{
		{"debain", []string{"debian"}},
		{"Debian", []string{"debian", "debian-12"}},
		{"deb", []string{"debian", "debian-12"}},
		{"creat", []string{"create"}},
		{"wni11", []string{"win11"}},
		{"s11", []string{"s12", "s21"}},
		{"fedora", nil},
		{"", nil},
		{strings.Repeat("x", 1000), nil},
	} {
		if got := Of(c.word, known, 3); !slices.Equal(got, c.want) {
			t.Errorf("Of(%.20q) = %q, want %q", c.word, got, c.want)
		}
	}
	if got, want := Hint("debain", known), ": did you mean debian?"; got != want {
		t.Errorf("Hint = %q, want %q", got, want)
	}
	if got, want := Hint("deb", known), ": did you mean debian or debian-12?"; got != want {
		t.Errorf("Hint = %q, want %q", got, want)
	}
	if got := Hint("fedora", known); got != "" {
		t.Errorf("Hint = %q for a word that is like none", got)
	}
}

// A swap of neighbours is one slip, and what is compared does not depend on the order.
func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abcd", "acbd", 1}, {"kitten", "sitting", 3}, {"52-54-00-12-34-56",
		"52-54-00-12-34-65", 1}} {
		if got, back := distance(c.a, c.b), distance(c.b, c.a); got != c.want || back != c.want {
			t.Errorf("distance of %q and %q is %d and %d, want %d", c.a, c.b, got, back, c.want)
		}
	}
}
