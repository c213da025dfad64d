package sbom

import (
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/ramfs"
	"github.com/diskcast/diskcast/mkimage/look"
)

// TestGoModules has this test itself in the place of the userland's program: Go's own record is in it.
func TestGoModules(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		program []byte
		list    string
		want    []string // packages
		comment string
	}{
		"a program of Go's": {program, "example.com/x v1.0.0\n", []string{"stdlib 1.", "example.com/x v1.0.0"}, ""},
		"not of Go":         {[]byte("binary"), "", nil, "the Go modules of its bbin/bb are not known"},
		"cut off":           {program[:4096], "", nil, "are not known"},
	} {
		t.Run(name, func(t *testing.T) {
			a := &ramfs.Archive{}
			if err := a.Add(ramfs.NewFile(userlandProgram, 0o755, c.program),
				ramfs.NewFile(modulesFile, 0o644, []byte(c.list))); err != nil {
				t.Fatal(err)
			}
			m := &maker{d: &look.Directory{Archive: a}, doc: &Document{Packages: []Package{{ID: rootID}}}}
			if err := m.goModules(); err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			for _, p := range m.doc.Packages {
				got.WriteString(p.Name + " " + p.Version + "\n")
			}
			for _, w := range c.want {
				if !strings.Contains(got.String(), w) {
					t.Errorf("no %q in\n%s", w, got.String())
				}
			}
			if !strings.Contains(m.doc.Packages[0].Comment, c.comment) {
				t.Errorf("comment %q, want %q; packages\n%s", m.doc.Packages[0].Comment, c.comment, got.String())
			}
		})
	}
}

// TestRecorded has a record that names modules, one of which was replaced.
func TestRecorded(t *testing.T) {
	m := &maker{doc: &Document{}}
	m.recorded(&debug.BuildInfo{GoVersion: "go1.26.8", Deps: []*debug.Module{{Path: "a.example/x", Version: "v1.0.0"},
		{Path: "b.example/y", Version: "v1.0.0", Replace: &debug.Module{Path: "c.example/z", Version: "v2.0.0"}}}})
	var got []string
	for _, p := range m.doc.Packages {
		got = append(got, p.References[0].Locator)
	}
	want := []string{"pkg:golang/stdlib@1.26.8", "pkg:golang/a.example/x@v1.0.0", "pkg:golang/c.example/z@v2.0.0"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// The list is used where Go's record names no module, as in the userland.
func TestModulesFile(t *testing.T) {
	m := &maker{doc: &Document{}}
	if err := m.listed("a.example/x v1.2.3\nb.example/y dev\n"); err != nil || len(m.doc.Packages) != 2 ||
		m.doc.Packages[0].References[0].Locator != "pkg:golang/a.example/x@v1.2.3" {
		t.Errorf("%v: %+v", err, m.doc.Packages)
	}
	if err := m.listed("one\n"); err == nil || !strings.Contains(err.Error(), "PATH VERSION") {
		t.Errorf("a line of one word: %v", err)
	}
}
