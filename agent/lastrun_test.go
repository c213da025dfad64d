package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestEarlier(t *testing.T) {
	const fell = `level=ERROR msg="the agent ended" why="exit status 2" at=uinit` + "\n"
	for name, c := range map[string]struct {
		text string
		want []string // in this order; the first is the first line
		fell bool
	}{
		"nothing":    {"", nil, false},
		"a good run": {"level=INFO msg=\"drivers are loaded\" at=uinit\ndiskcast [1.0] hello\n", nil, false},
		"uinit warned": {"level=WARN msg=\"a driver cannot be loaded\" at=uinit\nlevel=INFO msg=x at=uinit\n" +
			"diskcast [1.0] warning: level=WARN of the agent\n",
			[]string{`level=WARN msg="a driver cannot be loaded" at=uinit`}, false},
		"the agent fell": {"diskcast [1.0] hello\npanic: \x1b[31mruntime error\n\tagent/run.go:7\n" + fell +
			"level=INFO msg=\"the agent starts\" run=2 at=uinit\ndiskcast [9.0] again\n",
			[]string{"diskcast [1.0] hello", "panic: \uFFFD[31mruntime error", " agent/run.go:7",
				strings.TrimSpace(fell)}, true},
	} {
		got, did := earlier(c.text)
		if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", c.want) || did != c.fell {
			t.Errorf("%s: %q, %v; want %q", name, got, did, c.want)
		}
	}
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte(strings.Repeat("a long line of the agent\n", 9000)+fell), 0o600); err != nil {
		t.Fatal(err)
	}
	text, err := tail(path)
	if err != nil || len(text) > logTail || !strings.HasPrefix(text, "a long") {
		t.Errorf("%d bytes, %v: %.40q", len(text), err, text)
	}
	lines, _ := earlier(text)
	if n := len(strings.Join(lines, "\n")); n > runWords || n < runWords-100 ||
		!strings.Contains(lines[len(lines)-1], "ended") {
		t.Errorf("%d bytes in %d lines", n, len(lines))
	}
	if text, err := tail(path + ".none"); text != "" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
}

func FuzzEarlier(f *testing.F) {
	f.Add(`level=ERROR msg="the agent ended" at=uinit` + "\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		lines, _ := earlier(text)
		if n := len(strings.Join(lines, "\n")); n > runWords {
			t.Errorf("%d bytes", n)
		}
	})
}
