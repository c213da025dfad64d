package grub

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/diskcast/diskcast/internal/testenv/need"
)

// posixCases are expressions and texts; GRUB is asked about each.
var posixCases = [][2]string{
	{"^vmlinuz-([0-9.]+)-(.*)$", "vmlinuz-6.1.0-28-amd64"}, {"^(.*)-(.*)$", "a-b-c"}, {"(a*)(a*)", "aaa"},
	{"(a?)(b*)", "abb"},
	{`([0-9]+)\.([0-9]*)(.*)`, "6.10.3-a"}, {"[]a]+", "]a"}, {"[^]a]+", "]ab"}, {`[a\]+`, `a\`}, {`[\.]`, `\`},
	{"[a-]+", "a-"}, {"[-a]+", "a-"},
	{`\.\*\/\-`, ".*/-"}, {"a^b", "a^b"}, {"a$b", "a$b"}, {"(^a)", "ba"}, {"(x|^b)", "ab"}, {"a{,3}", "aaaaa"},
	{"^[0-9]{,3}$", "12"}, {"a{0}b", "ab"},
	{"a{2}", "baab"}, {"a{2,}", "baaa"}, {"a{1,2}", "aaa"}, {"[[:alpha:][:digit:]_]+", "a1_-"},
	{"^[[:digit:]]+$", "123"}, {"[[:upper:]]", "a"},
	{"}", "}"}, {"a}", "a}"}, {"]", "]"}, {"[", "a"}, {"(", "a"}, {"((a)(b))", "ab"},
	{"(vmlinuz|kernel)-(.*)", "vmlinuz-6-1"}, {"x|y", "ay"},
	{"[a-c]-[0-9]", "b-7"}, {"[a-c-]+", "b-a"}, {`\$\^\|\+\?\(\)\[\]\{\}\\`, `$^|+?()[]{}\`}, {"[.*]+", ".*"},
	{"[^a-z]", "b"}, {".", "a"}, {`a\.b`, "axb"},
}

// TestPosixLikeGRUB asks GRUB about these and about expressions made up of what expressions are made of: where we
// answer, we answer the same.
func TestPosixLikeGRUB(t *testing.T) {
	need.Tool(t, "grub-emu")
	r := rand.New(rand.NewPCG(13, 15))
	pieces := []string{"a", "b", "c", "-", ".", "a", "b", "*", "+", "?", "(", ")", "(", ")", "|", "^", "$", "[ab]",
		"[^a]", "[a-c]", "{2}", "{1,2}", "{,1}", `\.`, `\w`, "[[:alpha:]]", `\1`, "[", "{", "]"}
	cases := posixCases
	for range 1500 {
		pattern, text := "", ""
		for range 1 + r.IntN(7) {
			pattern += pieces[r.IntN(len(pieces))]
		}
		for range 1 + r.IntN(6) {
			text += string("aaabbc-."[r.IntN(8)])
		}
		cases = append(cases, [2]string{pattern, text})
	}
	var b strings.Builder
	b.WriteString("set pager=0\n")
	answered, refused := 0, 0
	for i, c := range cases {
		_, ambiguous, err := posixToGo(c[0])
		if errors.Is(err, errOtherRegexp) {
			refused++
			continue
		}
		answered++
		set, show := "--set=0:x --set=1:y --set=2:z", "[$x] [$y] [$z]"
		if ambiguous {
			set, show = "", ""
		}
		fmt.Fprintf(&b, "x=\ny=\nz=\nregexp %s -- '%s' '%s'; echo '%d' $? \"%s\"\n", set, c[0], c[1], i, show)
	}
	dir := emuDir(t)
	want := emu(t, dir, b.String()+"exit\n")
	got, err := ours(t, dir, b.String())
	if !errors.Is(err, ErrEmpty) {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-GRUB +ours\n%s", diff)
	}
	if t.Logf("%d answered, %d refused", answered, refused); answered < 400 || refused < 400 {
		t.Errorf("%d answered, %d refused: it is not much of a test", answered, refused)
	}
}

// TestPosixRefused: what means another thing to Go, or nothing, is not answered.
func TestPosixRefused(t *testing.T) {
	for _, pattern := range []string{
		`^\w+$`, `\bfoo`, `\<foo\>`, `^(a)\1$`, `\d`, `\s`, "a\\", "a{1", "{1}", "a{x}", "a{2,1}", "a{,}", "a**", "a+?",
		"a{2}{2}", "*", "^*a", "+a", "a|", "|a",
		"a||b", "()", "(|a)", "(*a)", "a)", "[[:word:]]", "[[:foo:]]", "[[.a.]]", "[[=a=]]", "[b-a]", "[a-c-e]",
		"[--a]", "[[:alpha:]-z]", "a{1001}", "(?i)a", "(?:a)", "é",
	} {
		if _, _, err := posixToGo(pattern); !errors.Is(err, errOtherRegexp) {
			t.Errorf("%q: %v", pattern, err)
		}
		files := &fakeFiles{files: map[string]string{"1:/k": "k", "1:/g": "set timeout=0\nregexp '" + pattern +
			"' a\nmenuentry a { linux /k; }"}}
		var restart *Restart
		if _, err := Default(files, Options{Device: 1, Path: "/g"}); !errors.As(err, &restart) ||
			!strings.Contains(err.Error(), "matches the expression") {
			t.Errorf("%q: %v", pattern, err)
		}
	}
	for _, pattern := range []string{"(a|ab)(c|bcd)", "(a)*", "(a|.)b", "((a)|b)+", "(a|b){2}"} {
		if _, ambiguous, err := posixToGo(pattern); err != nil || !ambiguous {
			t.Errorf("%q: not ambiguous, %v", pattern, err)
		}
	}
}

func FuzzPosixToGo(f *testing.F) {
	for _, c := range posixCases {
		f.Add(c[0])
	}
	f.Fuzz(func(t *testing.T, src string) {
		files := &fakeFiles{files: map[string]string{"1:/g": "regexp \"$1\" a"}}
		s := newShell(files, Options{})
		s.scope = &scope{}
		_, err := regexpCommand(s, []string{src, "abc"})
		var restart *Restart
		if err != nil && !errors.As(err, &restart) && !errors.Is(err, ErrLimit) {
			t.Error(err)
		}
		if _, _, bad := posixToGo(src); bad == nil && errors.As(err, &restart) {
			t.Errorf("%q is taken, and is no expression of Go's: %v", src, err)
		}
	})
}
