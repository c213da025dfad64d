package cmd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestOddFiles gives --personalize and --authorized-keys what is no file with something in it: each is refused in words
// that name it, at once, and nothing waits for ever. A pipe that somebody writes to is read.
func TestOddFiles(t *testing.T) {
	was := pipePatience
	pipePatience = 50 * time.Millisecond
	defer func() { pipePatience = was }()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for name, size := range map[string]int64{"large": 2 << 30, "empty": 0} {
		if err := os.WriteFile(at(name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(at(name), size); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(at("comment"), []byte("# later\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, pipe := range []string{"silent", "spoken"} {
		if err := unix.Mkfifo(at(pipe), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for file, want := range map[string]string{os.DevNull: "is empty", at("empty"): "is empty", dir: "is a folder",
		at("large"): "is it the right file?", "/dev/zero": "has more than", at("silent"): "nobody wrote to it",
		at("none"): "no such file"} {
		for _, o := range []*ownFlags{{file: file}, {keys: file}} {
			_, err := o.settings(func(name string) bool { return name == "authorized-keys" && o.keys != "" })
			if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), file) {
				t.Errorf("%+v: %v, want %q", o, err, want)
			}
		}
	}
	o := &ownFlags{file: at("comment")}
	if _, err := o.settings(func(string) bool { return false }); err == nil ||
		!strings.Contains(err.Error(), o.file+": nothing is asked for") {
		t.Errorf("a file without a key: %v", err)
	}
	pipePatience = time.Minute
	sent := make(chan error, 1)
	go func() { sent <- os.WriteFile(at("spoken"), []byte("hostname = 'pc'\n"), 0) }() // ends when it is read
	o = &ownFlags{file: at("spoken")}
	if s, err := o.settings(func(string) bool { return false }); err != nil || !strings.Contains(string(s), `"pc"`) {
		t.Errorf("a pipe: %s, %v", s, err)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}
