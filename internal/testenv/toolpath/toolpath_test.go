package toolpath

import (
	"os"
	"path/filepath"
	"testing"
)

func TestFind(t *testing.T) {
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"runs": 0o755, "text": 0o644} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
	runs := filepath.Join(dir, "runs")
	for _, name := range []string{"runs", runs} {
		if path, ok := Find(name); !ok || path != runs {
			t.Errorf("%s: %q, %v", name, path, ok)
		}
	}
	for _, name := range []string{"text", filepath.Join(dir, "text"), "no-such-program", "/no/such/program", "", dir} {
		if path, ok := Find(name); ok {
			t.Errorf("%q: %q", name, path)
		}
	}
	if _, err := os.Stat("/usr/sbin/nologin"); err == nil { // as Debian has it
		if path, ok := Find("nologin"); !ok || path != "/usr/sbin/nologin" {
			t.Errorf("nologin: %q, %v", path, ok)
		}
	}
}
