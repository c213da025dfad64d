package scratch

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestSweep leaves alone what somebody holds, what is young, and what is called otherwise.
func TestSweep(t *testing.T) {
	in := t.TempDir()
	old := time.Now().Add(-2 * settled)
	held, err := Make(in, "x-")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"x-dead", "x-young", "y-other"} {
		if err := os.MkdirAll(filepath.Join(in, name, "sub"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{held.Path, filepath.Join(in, "x-dead"), filepath.Join(in, "y-other")} {
		if err := os.Chtimes(dir, old, old); err != nil {
			t.Fatal(err)
		}
	}
	next, err := Make(in, "x-")
	if err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]bool{held.Path: true, next.Path: true, filepath.Join(in, "x-young"): true,
		filepath.Join(in, "y-other"): true, filepath.Join(in, "x-dead"): false} {
		if _, err := os.Stat(dir); (err == nil) != want {
			t.Errorf("%s is there: %v, want %v", dir, err == nil, want)
		}
	}
	for _, d := range []*Dir{held, next} {
		if err := d.Remove(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(d.Path); err == nil {
			t.Errorf("%s is still there", d.Path)
		}
	}
}

func TestNoPlace(t *testing.T) {
	t.Setenv("TMPDIR", "/nowhere")
	_, err := Make("", "x-")
	if err == nil || !strings.Contains(err.Error(), "in /nowhere, which TMPDIR may name elsewhere: ") {
		t.Errorf("error %v, want one that names TMPDIR", err)
	}
}
