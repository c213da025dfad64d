package need

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// recorder is a test that writes down how it ends.
type recorder struct {
	testing.TB
	ended string
}

func (r *recorder) Helper()                   {}
func (r *recorder) Skipf(f string, a ...any)  { r.end("skip: "+f, a...) }
func (r *recorder) Fatalf(f string, a ...any) { r.end("fail: "+f, a...) }

func (r *recorder) end(f string, a ...any) {
	if r.ended == "" { // a real test would have stopped there
		r.ended = fmt.Sprintf(f, a...)
	}
}

func TestMissing(t *testing.T) {
	for ci, want := range map[string]string{
		"":      "skip: no-such-program is not installed: see .ci/packages",
		"false": "skip: no-such-program is not installed: see .ci/packages",
		"true":  "fail: CI must not skip: no-such-program is not installed: see .ci/packages",
		"1":     "fail: CI must not skip: no-such-program is not installed: see .ci/packages",
	} {
		t.Setenv("CI", ci)
		r := &recorder{TB: t}
		Tools(r, "sh", "no-such-program")
		if r.ended != want {
			t.Errorf("CI=%q: %q, want %q", ci, r.ended, want)
		}
	}
}

func TestFind(t *testing.T) {
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"runs": 0o755, "text": 0o644} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
	if path, ok := Find("runs"); !ok || path != filepath.Join(dir, "runs") {
		t.Error(path, ok)
	}
	if path, ok := Find("text"); ok {
		t.Error(path)
	}
	if path, ok := Find("nologin"); ok && filepath.Base(filepath.Dir(path)) != "sbin" { // Debian's: in /usr/sbin
		t.Error(path)
	}
	r := &recorder{TB: t}
	if path := Tool(r, "runs"); path != filepath.Join(dir, "runs") || r.ended != "" {
		t.Error(path, r.ended)
	}
}
