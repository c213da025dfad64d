package ansi

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// TestFilter: what draws is kept for a terminal, and only text for a page; what has a terminal do something else goes.
func TestFilter(t *testing.T) {
	for _, c := range []struct{ name, in, text, terminal string }{
		{"text", "Debian\tGNU\r\nlogin: \x08", "Debian\tGNU\nlogin: ", "Debian\tGNU\r\nlogin: \x08"},
		{"colours", "\x1b[1;32mok\x1b[0m", "ok", "\x1b[1;32mok\x1b[0m"},
		{"a screen", "\x1b[?1049h\x1b[2J\x1b[3;4Hx\x1b(0q\x1b(B\x1b7\x1b8\x1bM", "xq",
			"\x1b[?1049h\x1b[2J\x1b[3;4Hx\x1b(0q\x1b(B\x1b7\x1b8\x1bM"},
		{"a title", "a\x1b]0;rm -rf /\x07b", "ab", "ab"},
		{"the clipboard", "a\x1b]52;c;cm0gLXJm\x1b\\b", "ab", "ab"},
		{"a device's string", "a\x1bP+q544e\x1b\\b\x1b_x\x1b\\\x1b^y\x1b\\\x1bXz\x1b\\c", "abc", "abc"},
		{"a string that does not end", "a\x1b]0;x\x1b[1mb", "a0;xb", "a0;x\x1b[1mb"},
		{"a string that does not end with its line", "a\x1b]0;x\r\nb", "a0;x\nb", "a0;x\nb"},
		{"a panic in a string", "\x1b]3008;start=abc;typ[ 12.3] Kernel panic - not syncing: x\r\nmore",
			"3008;start=abc;typ[ 12.3] Kernel panic - not syncing: x\nmore",
			"3008;start=abc;typ[ 12.3] Kernel panic - not syncing: x\nmore"},
		{"Linux's palette", "a\x1b]P0a1b2c3b\x1b]Rc\x1b]P1\x1b[1md\x1b]P1\x07e", "abcde", "abc\x1b[1mde"},
		{"a string that is given up", "a\x1b]0;x\x18b", "ab", "ab"},
		{"windows and printers", "a\x1b[21tb\x1b[5ic\x1b[?1;2;3Sd", "abcd", "abc\x1b[?1;2;3Sd"},
		{"what a terminal answers with", "\x05\x1b[6nx\x1bZ\x1b[>c\x1b[=c\x1b[!p\x1b[1$p", "x", "\x1b[6nx"},
		{"8-bit controls", "a\x9b31mb\x9d0;x\x07c\u009b1md", "a\ufffd31mb\ufffd0;xc1md",
			"a\ufffd31mb\ufffd0;x\x07c1md"},
		{"broken characters", "\xc3(\xe2\x82a\xff\xc3\xa9é€", "\ufffd(\ufffda\ufffdéé€", "\ufffd(\ufffda\ufffdéé€"},
		{"text that runs backwards", "a\u202eb", "a\ufffdb", "a\ufffdb"},
		{"a control in a sequence", "\x1b[1\n2mx", "\nx", "\n\x1b[12mx"},
		{"a sequence that is too long", "\x1b[" + strings.Repeat("1;", 40) + "mx", "x", "x"},
		{"nothing", "\x00\x7f\x01\x02", "", ""},
	} {
		for form, want := range map[Form]string{Text: c.text, Terminal: c.terminal} {
			f := Filter{Form: form}
			if got := string(f.Write([]byte(c.in))); got != want {
				t.Errorf("%s, form %d: %q, want %q", c.name, form, got, want)
			}
		}
	}
}

// allowed is every sequence that a terminal may be given, written in another way.
var allowed = regexp.MustCompile(`\x1b(\[\??[0-9;:]*[@A-MPSTXZ` + "`" + `a-hlmnrsu]|[78DEHMc=>]|[()][0AB])`)

// FuzzFilter: whatever a machine prints, and wherever it is cut, a page gets text and a terminal gets what it may have.
func FuzzFilter(f *testing.F) {
	f.Add([]byte("\x1b[1;32mok\x1b[0m\x1b]0;x\x07é\x9b"), 3)
	f.Add([]byte("\x1bP\x1b\x1b\\\x1b(0\xc2\x9b"), 5)
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		for _, form := range []Form{Text, Terminal} {
			one, two := Filter{Form: form}, Filter{Form: form}
			whole := one.Write(b)
			at := min(max(cut, 0), len(b))
			parts := append(bytes.Clone(two.Write(b[:at])), two.Write(b[at:])...)
			if !bytes.Equal(whole, parts) {
				t.Fatalf("form %d: %q, and cut at %d %q", form, whole, at, parts)
			}
			rest := string(whole)
			if form == Terminal {
				rest = allowed.ReplaceAllString(rest, "")
			}
			if !utf8.ValidString(rest) || len(whole) > 3*len(b) {
				t.Fatalf("form %d: %q", form, rest)
			}
			for _, r := range rest {
				fine := unicode.IsPrint(r) || r == '\n' || r == '\t' || form == Terminal && r >= 7 && r < 16
				if !fine {
					t.Fatalf("form %d: %q has %q", form, rest, r)
				}
			}
		}
	})
}
