package image_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/image"
)

// odd puts something that is no file in a file's place.
func odd(t *testing.T, path, kind string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	var err error
	switch kind {
	case "a FIFO":
		err = unix.Mkfifo(path, 0o600)
	case "a directory":
		err = os.Mkdir(path, 0o700)
	case "a device":
		err = os.Symlink("/dev/zero", path)
	}
	if err != nil {
		t.Fatal(err)
	}
}

var oddKinds = []string{"a FIFO", "a directory", "a device"}

// TestNoFile: what lies in the place of a file of the store is damage, told at once, and heals as damage does.
func TestNoFile(t *testing.T) {
	b := filled(1<<20, 1)
	for _, kind := range oddKinds {
		s := newStore(t)
		take(t, s, "x", b)
		m := open(t, s, "x")
		config, _ := m.ConfigBlob()
		index, _ := m.IndexBlob()
		data, _ := m.DataBlob(0)
		for what, digest := range map[string]string{"manifest": m.Manifest(), "config": config, "index": index,
			"data": data} {
			odd(t, blobFile(s, digest), kind)
			for how, f := range map[string]func() error{
				"open":   func() error { _, err := s.Open("x"); return err },
				"verify": func() error { return s.Verify(t.Context(), "x", nil) },
				"read":   func() error { _, _, err := s.BlobReader(digest); return err },
				"copy":   func() error { _, err := newStore(t).Copy(t.Context(), s, "x", "y", nil); return err },
			} {
				var damage *image.DamageError
				if err := f(); !errors.As(err, &damage) || damage.Blob != digest ||
					!strings.Contains(err.Error(), kind+" is in the place of its file") {
					t.Errorf("%s of %s in the place of the %s: %v", how, kind, what, err)
				}
			}
			take(t, s, "x", b)
			if err := s.Verify(t.Context(), "x", nil); err != nil {
				t.Errorf("%s in the place of the %s, after another capture: %v", kind, what, err)
			}
			from := newStore(t)
			take(t, from, "x", b)
			odd(t, blobFile(s, digest), kind)
			if _, err := s.Copy(t.Context(), from, "x", "x", nil); err != nil {
				t.Errorf("copy over %s in the place of the %s: %v", kind, what, err)
			}
			if err := s.Verify(t.Context(), "x", nil); err != nil {
				t.Errorf("%s in the place of the %s, after a copy: %v", kind, what, err)
			}
		}
	}
}

// TestNoFileOfOurs: so it is with the store's own files, of which the error says what can be done.
func TestNoFileOfOurs(t *testing.T) {
	for _, kind := range oddKinds {
		for file, next := range map[string]string{"index.json": "Put a copy of this file back",
			"oci-layout": "Put a file with", ".diskcast/index.lock": "Remove it", ".diskcast/use.lock": "Remove it"} {
			s := newStore(t)
			take(t, s, "x", filled(1<<20, 1))
			path := filepath.Join(s.Dir(), file)
			odd(t, path, kind)
			err := func() error {
				s, err := image.OpenStore(s.Dir())
				if err != nil {
					return err
				}
				if err := s.Tag("x", "y"); err != nil {
					return err
				}
				g, err := s.NewIngest()
				if err != nil {
					return err
				}
				return g.Close()
			}()
			var damage *image.DamageError
			if !errors.As(err, &damage) || damage.File != path || !strings.Contains(err.Error(), "it is "+kind) ||
				!strings.Contains(err.Error(), next) {
				t.Errorf("%s in the place of %s: %v", kind, file, err)
			}
		}
		s := newStore(t)
		take(t, s, "x", filled(1<<20, 1))
		odd(t, filepath.Join(s.Dir(), ".diskcast/reserve"), kind) // is only done without
		if err := s.Tag("x", "y"); err != nil {
			t.Errorf("%s in the place of the reserve: %v", kind, err)
		}
	}
}
