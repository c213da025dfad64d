package cmd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSessionOfDamagedImage: a session of an image that cannot be sent is refused with exit code 4, by the image's
// name, with what heals; so is everything of a store whose list of images is cut, by the name of that file.
func TestSessionOfDamagedImage(t *testing.T) {
	s := newShop(t)
	s.stock("debian", 2)
	im, err := s.st.Open("debian")
	if err != nil {
		t.Fatal(err)
	}
	blob, _ := im.DataBlob(0)
	config, _ := im.ConfigBlob()
	if err := im.Close(); err != nil {
		t.Fatal(err)
	}
	create := append([]string{"session", "create", "--image", "debian", "--nodes", "1"}, s.there()...)
	fails := func(what string, exit int, args []string, says ...string) {
		t.Helper()
		code, _, said := s.run(args...)
		if code != exit {
			t.Errorf("%s: exit %d, want %d: %s", what, code, exit, said)
		}
		for _, w := range says {
			if strings.Count(said, w) != 1 {
				t.Errorf("%s: %s; want %q once", what, said, w)
			}
		}
	}
	for what, digest := range map[string]string{"data": blob, "config": config} {
		path := filepath.Join(s.dir, "blobs", "sha256", strings.TrimPrefix(digest, "sha256:"))
		if err := os.Rename(path, path+".away"); err != nil {
			t.Fatal(err)
		}
		fails(what, exitDamage, create, "image debian: blob "+digest, "missing", "image import FILE --name debian")
		if err := os.Rename(path+".away", path); err != nil {
			t.Fatal(err)
		}
	}
	absent := append([]string{"session", "create", "--image", "debain", "--nodes", "1"}, s.there()...)
	fails("no such image", exitFailed, absent, "image list", "did you mean debian?")

	list := filepath.Join(s.dir, "index.json")
	whole, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	for what, b := range map[string][]byte{"is cut short": whole[:len(whole)/2], "is empty": nil,
		"is not the list": []byte("\x00\x00\x00")} {
		if err := os.WriteFile(list, b, 0o600); err != nil {
			t.Fatal(err)
		}
		fails(what, exitDamage, create, "image debian: ", list, what, "Put a copy of this file back")
		fails(what, exitDamage, append([]string{"image", "list"}, s.there()...), list, what, "Put a copy")
		fails(what, exitDamage, append([]string{"image", "list"}, s.here()...), list, what, "Put a copy")
	}
	if err := os.WriteFile(list, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	fails("healed", 0, append([]string{"image", "show", "debian"}, s.there()...))
}
