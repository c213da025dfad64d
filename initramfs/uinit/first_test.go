package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

func TestModprobe(t *testing.T) {
	root := t.TempDir()
	if err := modprobe(root); err == nil {
		t.Error("no folder for it: no error")
	}
	if err := os.Mkdir(filepath.Join(root, "sbin"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, when := range []string{"first", "again"} {
		if err := modprobe(root); err != nil {
			t.Errorf("%s: %v", when, err)
		}
	}
	if to, err := os.Readlink(filepath.Join(root, "sbin/modprobe")); err != nil || to != "../bbin/modprobe" {
		t.Errorf("%q, %v", to, err)
	}
}

func TestOpenConsoles(t *testing.T) {
	dir := t.TempDir()
	active := filepath.Join(dir, "active")
	for _, name := range []string{"tty0", "ttyS0"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, active string
		want         map[string]string // by console; "" is the fallback
	}{
		{"two", "tty0 ttyS0\n", map[string]string{"tty0": "words", "ttyS0": "words", "": ""}},
		{"one without hardware", "ttyS1 tty0\n", map[string]string{"tty0": "words", "ttyS0": "", "": ""}},
		{"none", "\n", map[string]string{"tty0": "", "ttyS0": "", "": "uinit: no console can be opened: <nil>\nwords"}},
	} {
		if err := os.WriteFile(active, []byte(c.active), 0o600); err != nil {
			t.Fatal(err)
		}
		var fallback bytes.Buffer
		s := openConsoles(active, dir, &fallback)
		if n, err := s.Write([]byte("words")); n != 5 || err != nil {
			t.Errorf("%s: %d, %v", c.name, n, err)
		}
		s.Close()
		for name, want := range c.want {
			got := fallback.String()
			if name != "" {
				data, err := os.ReadFile(filepath.Join(dir, name))
				if err != nil {
					t.Fatal(err)
				}
				got = string(data)
				if err := os.Truncate(filepath.Join(dir, name), 0); err != nil {
					t.Fatal(err)
				}
			}
			if got != want {
				t.Errorf("%s: %s has %q, want %q", c.name, name, got, want)
			}
		}
	}
}
