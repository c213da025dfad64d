package image_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/diskcast/diskcast/internal/image"
)

// TestHolds: what leads into a store is known by whatever name, and nothing else is.
func TestHolds(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	s, err := image.OpenStore(at("store"))
	if err != nil {
		t.Fatal(err)
	}
	take(t, s, "x", filled(1<<20, 1))
	m := open(t, s, "x")
	blob := blobFile(s, m.Manifest())
	if err := os.MkdirAll(at("deep/er"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"link": "store", "file": "store/index.json", "new": "store/none",
		"loop": "loop", "lost": "nowhere/none", "deep/up": "../store/blobs", "abs": at("store/none"), "far": "deep/er",
		"twice": "new"} {
		if err := os.Symlink(to, at(name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"other.img", "store.img", "outside"} {
		if err := os.WriteFile(at(name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Link(blob, at("hard")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(at("outside"), at("store/.diskcast/known")); err != nil {
		t.Fatal(err)
	}
	t.Chdir(at("store"))
	for path, want := range map[string]bool{
		at("store"): true, at("store/index.json"): true, at("store/none"): true, at("store/none/none"): true,
		blob: true, at("store/.diskcast/tmp/x"): true, at("link"): true, at("link/x"): true,
		at("file"): true, at("new"): true,
		at("twice"): true, at("deep/up/sha256/x"): true, at("abs"): true, at("hard"): true, at("outside"): true,
		"index.json": true, "none": true, "./x/y": true, ".": true, at("far") + "/../../store/x": true,
		at("store/../store/x"): true,

		"../none": false, "..": false, dir: false, at("other.img"): false, at("store.img"): false, at("none"): false,
		at("none/store"): false, at("loop"): false, at("lost"): false, at("store/../x"): false, "": true,
		at("far") + "/../store/x": false, "/": false,
	} {
		if got := s.Holds(path); got != want {
			t.Errorf("%s: %t, want %t", path, got, want)
		}
	}
}

// TestInStore: a file in a store's folders is found there, also where the store has lost files; its neighbours are not.
func TestInStore(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	s, err := image.OpenStore(at("store"))
	if err != nil {
		t.Fatal(err)
	}
	take(t, s, "x", filled(1<<20, 1))
	if err := errors.Join(os.Mkdir(at("storeroom"), 0o700), os.Symlink("store/new", at("link"))); err != nil {
		t.Fatal(err)
	}
	for _, lost := range []string{"", "oci-layout", "index.json"} {
		if lost != "" {
			spoil(t, filepath.Join(s.Dir(), lost), "")
		}
		for name, want := range map[string]bool{"store/index.json": true, "store/none": true, "link": true,
			"store/blobs/sha256/none": true, "store/../x": false, "storeroom/x": false, "store.raw": false,
			"store": false} {
			if found, in := image.InStore(at(name)); in != want || in && found != at("store") {
				t.Errorf("%s lost: %s: %t, %s", lost, name, in, found)
			}
		}
	}
}
