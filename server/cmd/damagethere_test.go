package cmd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// flip changes one byte in the middle of the first data blob of an image, and returns the digest of the blob.
func (s *shop) flip(name string) string {
	s.t.Helper()
	im, err := s.st.Open(name)
	if err != nil {
		s.t.Fatal(err)
	}
	blob, size := im.DataBlob(0)
	if err := im.Close(); err != nil {
		s.t.Fatal(err)
	}
	f, err := os.OpenFile(filepath.Join(s.dir, "blobs", "sha256", strings.TrimPrefix(blob, "sha256:")), os.O_RDWR, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	var b [1]byte
	if _, err := f.ReadAt(b[:], size/2); err != nil {
		s.t.Fatal(err)
	}
	b[0] ^= 1
	if _, err := f.WriteAt(b[:], size/2); err != nil {
		s.t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		s.t.Fatal(err)
	}
	return blob
}

// TestDamageIsTaken: whatever takes a damaged image says what is damaged and what can be done, with exit code 4, and of
// a server nothing is asked for twice.
func TestDamageIsTaken(t *testing.T) {
	s := newShop(t)
	s.stock("debian", 2)
	blob := s.flip("debian")
	for _, place := range []struct {
		args  []string
		image string
		next  string
	}{
		{s.here(), "debian: ", "image import FILE --name debian`"},
		{s.there(), "debian at " + s.url + ": ", "image import FILE --name debian --server " + s.url + "`"},
	} {
		for what, args := range map[string][]string{
			"oci":     {"image", "export", "debian"},
			"raw":     {"image", "export", "debian", "--format", "raw"},
			"qcow2":   {"image", "export", "debian", "--format", "qcow2"},
			"restore": {"image", "restore", "debian"},
		} {
			target := filepath.Join(t.TempDir(), "target")
			code, _, said := s.run(append(append(args, target), place.args...)...)
			if code != exitDamage || strings.Count(said, place.image) != 1 || !strings.Contains(said, place.next) ||
				strings.Contains(said, "asking again") || strings.Contains(said, "offset 0)") {
				t.Errorf("%s %v: %d, %s", what, place.args[0], code, said)
			}
			if what != "restore" && !strings.Contains(said, blob) {
				t.Errorf("%s %v does not name the blob: %s", what, place.args[0], said)
			}
		}
	}
}

// TestImportHealsThere: an import at a server heals what is damaged in its store, be it of a disk or of a layout, and
// says what is still damaged; and a list tells an image that was found damaged from a sound one.
func TestImportHealsThere(t *testing.T) {
	for name, c := range map[string]struct {
		layout, other bool
		says          string
	}{
		"disk":       {false, false, "is sound again"},
		"other disk": {false, true, "these images there are still damaged: debian, "},
		"layout":     {true, false, "is sound again"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t)
			run := func(want int, args ...string) string {
				t.Helper()
				code, out, said := s.run(append(args, s.there()...)...)
				if code != want {
					t.Fatalf("%v: exit %d, want %d: %s", args, code, want, said)
				}
				return out + said
			}
			source := filepath.Join(t.TempDir(), "disk.img")
			s.stock("debian", 2)
			run(0, "image", "export", "debian", source, "--format", "raw")
			if c.layout {
				source = filepath.Join(t.TempDir(), "layout")
				run(0, "image", "export", "debian", source)
			}
			if c.other { // the bytes that are damaged are the same
				if err := os.Truncate(source, 15<<20); err != nil {
					t.Fatal(err)
				}
			}
			s.flip("debian")
			// The server has it open from then on.
			run(exitDamage, "image", "restore", "debian", filepath.Join(t.TempDir(), "bad.img"))
			out := run(0, "image", "import", source, "--name", "deb2")
			if !strings.Contains(out, "stored anew") || !strings.Contains(out, c.says) {
				t.Errorf("import: %s, want %q", out, c.says)
			}
			run(0, "image", "verify", "deb2")
			run(0, "image", "restore", "deb2", filepath.Join(t.TempDir(), "good.img"))
			still := strings.Contains(c.says, "still")
			if out := run(0, "image", "list"); strings.Contains(out, "PROBLEM") != still ||
				strings.Contains(out, "problem: debian: blob") != still {
				t.Errorf("list: %s", out)
			}
			if still {
				run(exitDamage, "image", "verify", "debian")
			} else {
				run(0, "image", "verify", "debian")
			}
		})
	}
}
