package image_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/image"
)

// tree lists all that is under dir, with the sizes of files.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err == nil {
			b.WriteString(path + " " + info.Mode().String() + " " + info.ModTime().String() + "\n")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// spoil puts content in a file's place, or removes it.
func spoil(t *testing.T, path, content string) {
	t.Helper()
	err := os.Remove(path)
	if content != "" {
		err = os.WriteFile(path, []byte(content), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestLostList: a store with blobs and without a list of its images is damaged, not empty: nobody writes a list into
// it, and garbage collection removes nothing.
func TestLostList(t *testing.T) {
	for what, content := range map[string]string{"missing": "", "null": `{"manifests":null}`, "none": `{}`,
		"nothing": `null`} {
		t.Run(what, func(t *testing.T) {
			s := newStore(t)
			take(t, s, "x", filled(1<<20, 1))
			take(t, s, "y", filled(1<<20, 2))
			path := filepath.Join(s.Dir(), "index.json")
			gc(t, s, image.GCOptions{})
			spoil(t, path, content)
			before := tree(t, s.Dir())
			damaged := func(how string, err error) {
				t.Helper()
				damage, ok := errors.AsType[*image.DamageError](err)
				if !ok || damage.File != path || !strings.Contains(err.Error(), "copy of this file") {
					t.Errorf("%s: %v", how, err)
				}
			}
			if what == "missing" {
				for how, open := range map[string]func(string) (*image.Store, error){"open": image.OpenStore,
					"find": image.FindStore, "layout": image.OpenLayout} {
					_, err := open(s.Dir())
					damaged(how, err)
				}
			}
			_, err := s.List()
			damaged("list", err)
			damaged("verify", s.Verify(t.Context(), "x", nil))
			_, err = s.GC(t.Context(), image.GCOptions{Unnamed: true, Partial: true})
			damaged("gc", err)
			damaged("tag", s.Tag("x", "z"))
			if after := tree(t, s.Dir()); after != before {
				t.Errorf("before:\n%safter:\n%s", before, after)
			}
		})
	}
}

// TestRelist: the list that is made anew has every image whose manifest is there, so that garbage collection keeps it.
func TestRelist(t *testing.T) {
	s := newStore(t)
	if n, done, err := image.Relist(s.Dir()); n != 0 || done || err != nil {
		t.Errorf("of an empty store: %d, %t, %v", n, done, err)
	}
	a := take(t, s, "x", filled(1<<20, 1)).Digest
	b := take(t, s, "y", filled(1<<20, 2)).Digest
	path := filepath.Join(s.Dir(), "index.json")
	if n, done, err := image.Relist(s.Dir()); n != 0 || done || err != nil {
		t.Errorf("of a sound store: %d, %t, %v", n, done, err)
	}
	spoil(t, path, "")
	if n, done, err := image.Relist(s.Dir()); n != 2 || !done || err != nil {
		t.Fatalf("%d, %t, %v", n, done, err)
	}
	if got := names(t, s, map[string]string{a: "A", b: "B"}); got != "=A =B" {
		t.Errorf("listed: %s", got)
	}
	if r := gc(t, s, image.GCOptions{}); r.Blobs != 0 {
		t.Errorf("garbage: %+v", r)
	}
	take(t, s, "x", filled(1<<20, 1))
	if err := s.Tag(b, "y"); err != nil {
		t.Fatal(err)
	}
	if got := names(t, s, map[string]string{a: "A", b: "B"}); got != "x=A y=B" {
		t.Errorf("named again: %s", got)
	}
}

// TestRelistDamaged: where a manifest may be damaged, no list is made without it: its blobs would be nobody's.
func TestRelistDamaged(t *testing.T) {
	for what, n := range map[string]int{"cut": 300, "empty": 0} {
		t.Run(what, func(t *testing.T) {
			s := newStore(t)
			take(t, s, "x", filled(1<<20, 1))
			b := take(t, s, "y", filled(1<<20, 2)).Digest
			path := blobFile(s, b)
			sound, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(os.Remove(filepath.Join(s.Dir(), "index.json")), os.Chmod(path, 0o600),
				os.Truncate(path, int64(n))); err != nil {
				t.Fatal(err)
			}
			before := tree(t, s.Dir())
			_, done, err := image.Relist(s.Dir())
			damage, ok := errors.AsType[*image.DamageError](err)
			if done || !ok || damage.File != path {
				t.Fatalf("done %t, %v", done, err)
			}
			if after := tree(t, s.Dir()); after != before {
				t.Errorf("it changed:\n%s\n%s", before, after)
			}
			spoil(t, path, string(sound))
			if n, done, err := image.Relist(s.Dir()); n != 2 || !done || err != nil {
				t.Errorf("put back: %d, %t, %v", n, done, err)
			}
		})
	}
}

// TestTagOfNothing: an image whose manifest is gone gets no name.
func TestTagOfNothing(t *testing.T) {
	s := newStore(t)
	d := take(t, s, "x", filled(1<<20, 1)).Digest
	spoil(t, blobFile(s, d), "")
	if err := s.Tag(d, "z"); !errors.As(err, new(*image.DamageError)) {
		t.Errorf("%v, want damage", err)
	}
}

// TestMakingBrokenOff: a store whose making was killed has no images to lose. Who reads finds none and writes nothing,
// who writes completes it.
func TestMakingBrokenOff(t *testing.T) {
	for _, left := range []string{"blobs/sha256", ".diskcast/tmp", "oci-layout"} {
		dir := filepath.Join(t.TempDir(), "store")
		for _, d := range []string{"blobs/sha256", ".diskcast/tmp"} {
			if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
				t.Fatal(err)
			}
			if d == left {
				break
			}
		}
		if left == "oci-layout" {
			err := os.WriteFile(filepath.Join(dir, left), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o600)
			if err != nil {
				t.Fatal(err)
			}
		}
		before := tree(t, dir)
		if _, err := image.FindStore(dir); !errors.Is(err, image.ErrNoStore) {
			t.Errorf("after %s: %v", left, err)
		}
		if after := tree(t, dir); after != before {
			t.Errorf("after %s: finding changed %s to %s", left, before, after)
		}
		s, err := image.OpenStore(dir)
		if err != nil {
			t.Fatal(err)
		}
		take(t, s, "x", filled(1<<20, 1))
	}
}

// TestLostFolders: what is advised where blobs are gone works: the next capture or copy makes the folders again, and an
// image without its manifest can be removed.
func TestLostFolders(t *testing.T) {
	for _, gone := range []string{"blobs", "blobs/sha256", ".diskcast", ".diskcast/tmp"} {
		s, from := newStore(t), newStore(t)
		take(t, from, "x", filled(1<<20, 1))
		for how, again := range map[string]func() error{
			"capture": func() error { take(t, s, "x", filled(1<<20, 1)); return nil },
			"copy":    func() error { _, err := s.Copy(t.Context(), from, "x", "x", nil); return err },
		} {
			take(t, s, "x", filled(1<<20, 1))
			if err := os.RemoveAll(filepath.Join(s.Dir(), gone)); err != nil {
				t.Fatal(err)
			}
			if err := again(); err != nil {
				t.Errorf("%s without %s: %v", how, gone, err)
			}
			if err := verify(t, s, "x"); err != nil {
				t.Errorf("%s without %s, then: %v", how, gone, err)
			}
		}
	}
	s := newStore(t)
	take(t, s, "x", filled(1<<20, 1))
	if err := os.RemoveAll(filepath.Join(s.Dir(), "blobs")); err != nil {
		t.Fatal(err)
	}
	_, err := s.GC(t.Context(), image.GCOptions{})
	if damage, ok := errors.AsType[*image.DamageError](err); !ok || damage.Image != "x" || !damage.Missing {
		t.Errorf("garbage collection without a manifest: %v", err)
	}
	if err := s.Remove("x"); err != nil {
		t.Fatal(err)
	}
	gc(t, s, image.GCOptions{})
}

// TestLostLayoutFile: a store whose oci-layout is missing, or says nothing, is damaged, and the error has what to put
// there.
func TestLostLayoutFile(t *testing.T) {
	const right = `{"imageLayoutVersion":"1.0.0"}`
	for _, content := range []string{"", "x", "{}", "[]"} {
		for _, images := range []int{0, 1} {
			s := newStore(t)
			if images > 0 {
				take(t, s, "x", filled(1<<20, 1))
			}
			path := filepath.Join(s.Dir(), "oci-layout")
			spoil(t, path, content)
			for how, open := range map[string]func(string) (*image.Store, error){"open": image.OpenStore,
				"find": image.FindStore, "layout": image.OpenLayout} {
				_, err := open(s.Dir())
				damage, ok := errors.AsType[*image.DamageError](err)
				if !ok || damage.File != path || !strings.Contains(err.Error(), "Put a file with "+right) {
					t.Errorf("%s with %q and %d images: %v", how, content, images, err)
				}
			}
			if err := os.WriteFile(path, []byte(right), 0o600); err != nil {
				t.Fatal(err)
			}
			if s, err := image.FindStore(s.Dir()); err != nil || len(names(t, s, nil)) < images {
				t.Errorf("as was advised: %v", err)
			}
		}
	}
}
