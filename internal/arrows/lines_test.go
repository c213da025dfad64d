package arrows

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// A line of Go has at most maxColumns characters, a tab counting for tabColumns (CONTRIBUTING.md).
const maxColumns, tabColumns = 120, 4

// columns is how wide a line is in characters, however many bytes they have.
func columns(line string) int {
	return utf8.RuneCountInString(line) + (tabColumns-1)*strings.Count(line, "\t")
}

// TestLines wants no line of Go to be too long, be it code, comment, or a text in several lines.
func TestLines(t *testing.T) {
	const root = "../.."
	passed := func(path, name string) bool { // by the walk
		return name == "testdata" || path == filepath.Join(root, "build") || name[0] == '.' && path != root
	}
	checked := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		switch name := d.Name(); {
		case d.IsDir() && passed(path, name):
			return fs.SkipDir
		case d.IsDir(), filepath.Ext(name) != ".go":
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		checked++
		number := 0
		for line := range strings.Lines(string(text)) {
			number++
			if got := columns(strings.TrimSuffix(line, "\n")); got > maxColumns {
				t.Errorf("%s:%d has %d columns, want at most %d: wrap it", strings.TrimPrefix(path, root+"/"), number,
					got, maxColumns)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if checked < 1000 {
		t.Errorf("%d files of Go were found, want at least 1000", checked)
	}
}

func TestColumns(t *testing.T) {
	for line, want := range map[string]int{"": 0, "abc": 3, "\t\tx": 9, "a\tb": 6, "Größe 数 🦆": 9} {
		if got := columns(line); got != want {
			t.Errorf("%q: %d columns, want %d", line, got, want)
		}
	}
}
