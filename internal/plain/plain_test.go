package plain

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestLine(t *testing.T) {
	for in, want := range map[string]string{
		"plain": "plain", "a\nb\tc\r": "a b c ", "\x1b]0;x\x07": "\ufffd]0;x\ufffd", "\u009b31m": "\ufffd31m",
		"käse": "käse", "a\xffb": "a\ufffdb",
		"evil\u202etxt.exe": "evil\ufffdtxt.exe", "a\u2066b\u2069": "a\ufffdb\ufffd", "a\u200bb": "a\ufffdb",
		"a\u2028b": "a b", "\u200e": "\ufffd", "漢字": "漢字",
		strings.Repeat("x", 19) + "ä": strings.Repeat("x", 19),
		strings.Repeat("\x1b", 20):    strings.Repeat("\ufffd", 6),
	} {
		if got := Line(in, 20); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	if got := Text("a\n\tb\x1b[2J\u202e"); got != "a\n\tb\ufffd[2J\ufffd" {
		t.Errorf("text: %q", got)
	}
}

func TestWords(t *testing.T) {
	for in, want := range map[string]string{"a b": "a b", "PC  52-54-00-00-00-99   agent": "PC 52-54-00-00-00-99 agent",
		"  x ": "x", "a\n\tb": "a b", "    ": "", "": ""} {
		if got := Words(in, 64); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	d := struct{ L []string }{[]string{"a   b"}}
	if AllWords(&d, 10); d.L[0] != "a b" {
		t.Errorf("%q", d.L)
	}
}

func FuzzLine(f *testing.F) {
	f.Add("line \x1b[2J\u202e")
	f.Fuzz(func(t *testing.T, s string) {
		got := Line(s, 50)
		if len(got) > 50 || !utf8.ValidString(got) {
			t.Errorf("%q", got)
		}
		for _, r := range got {
			if r != utf8.RuneError && !unicode.IsPrint(r) {
				t.Errorf("%q has %U", got, r)
			}
		}
	})
}

func TestStrings(t *testing.T) {
	type inner struct{ Name string }
	type doc struct {
		A     string
		List  []inner
		Map   map[string]inner
		P     *inner
		Bytes []byte
		N     int
		Any   any
	}
	d := doc{A: "\x1b[1m", List: []inner{{"a\nb"}}, Map: map[string]inner{"k\x07": {"\u202e"}}, P: &inner{"ok"},
		Bytes: []byte{27}, N: 27, Any: &inner{"\x00"}}
	Strings(&d, 0)
	want := doc{A: "\ufffd[1m", List: []inner{{"a b"}}, Map: map[string]inner{"k\ufffd": {"\ufffd"}}, P: &inner{"ok"},
		Bytes: []byte{27}, N: 27, Any: &inner{"\ufffd"}}
	if diff := cmp.Diff(want, d); diff != "" {
		t.Error(diff)
	}
}

// A rune may come in two writes; what is written is what Text makes of the whole.
func TestWriter(t *testing.T) {
	const s = "käse\x1b[31m \u202e漢\n"
	for cut := range len(s) {
		var b strings.Builder
		w := NewWriter(&b)
		for _, p := range []string{s[:cut], s[cut:]} {
			if n, err := w.Write([]byte(p)); n != len(p) || err != nil {
				t.Fatal(n, err)
			}
		}
		if b.String() != Text(s) {
			t.Errorf("cut at %d: %q", cut, b.String())
		}
	}
}
