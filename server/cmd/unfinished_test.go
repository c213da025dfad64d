package cmd

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// TestExportSweeps: an export removes what one that was killed left beside its target, and nothing else.
func TestExportSweeps(t *testing.T) {
	s := newShop(t)
	s.stock("debian", 2)
	for _, where := range [][]string{s.here(), s.there()} {
		dir := t.TempDir()
		at := func(name string) string { return filepath.Join(dir, name) }
		dead := []string{".t.raw.part1025036121", ".t.raw.part7"}
		stays := []string{".t.raw.part12x", ".t.raw.part", ".t.rawer.part5", ".other.raw.part5", "t.raw.part5",
			".t.raw.part99"}
		for _, name := range append(dead[:1:1], stays...) {
			if err := os.WriteFile(at(name), []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.MkdirAll(at(dead[1]+"/blobs/sha256"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("t.raw.part5", at(".t.raw.part1")); err != nil {
			t.Fatal(err)
		}
		held, alive, err := hold(at(".t.raw.part99")) // of an export that lives
		if err != nil || alive {
			t.Fatal(alive, err)
		}
		args := []string{"image", "export", "debian", at("t.raw"), "--format", "raw"}
		code, _, said := s.run(append(args, where...)...)
		if code != 0 {
			t.Fatalf("exit %d: %s", code, said)
		}
		for _, name := range dead {
			if _, err := os.Lstat(at(name)); err == nil || strings.Count(said, at(name)+", which") != 1 {
				t.Errorf("%s, there: %t; said: %s", name, err == nil, said)
			}
		}
		stays = append(stays, "t.raw", ".t.raw.part1")
		for _, name := range stays {
			if _, err := os.Lstat(at(name)); err != nil {
				t.Error(err)
			}
		}
		if list, err := os.ReadDir(dir); err != nil || len(list) != len(stays) {
			t.Errorf("%d files are there, %d stay: %v, %v", len(list), len(stays), list, err)
		}
		if err := held.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestExportsAtOnce: exports to one target that begin together leave each other's files alone.
func TestExportsAtOnce(t *testing.T) {
	e := &env{}
	e.Err = io.Discard
	target := filepath.Join(t.TempDir(), "t.raw")
	var all sync.WaitGroup
	made := make([]*unfinished, 32)
	for i := range made {
		all.Go(func() {
			u, err := e.begin(target, i%2 == 0)
			if err != nil {
				t.Error(err)
				return
			}
			made[i] = u
		})
	}
	all.Wait()
	for _, u := range made {
		if u == nil {
			continue
		}
		if _, err := os.Lstat(u.path); err != nil {
			t.Error(err)
		}
		if err := u.remove(); err != nil {
			t.Error(err)
		}
	}
	if list, err := os.ReadDir(filepath.Dir(target)); err != nil || len(list) > 0 {
		t.Errorf("left: %v, %v", list, err)
	}
}
