package need

import (
	"fmt"
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

func TestThere(t *testing.T) {
	t.Setenv("CI", "true")
	r := &recorder{TB: t}
	if path := Tool(r, "sh"); filepath.Base(path) != "sh" || r.ended != "" {
		t.Errorf("%q, %q", path, r.ended)
	}
}
