package cmd

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRestoreFromThere: an image of a server's is the same on a disk here, whichever way it came.
func TestRestoreFromThere(t *testing.T) {
	s := newShop(t)
	s.stock("old", 2)
	s.stock("new", 3)
	dir := t.TempDir()
	here, there := filepath.Join(dir, "here"), filepath.Join(dir, "there")
	restore := func(want int, has string, args ...string) map[string]any {
		t.Helper()
		code, out, said := s.run(append([]string{"image", "restore", "--json"}, args...)...)
		if code != want || !strings.Contains(out+said, has) {
			t.Fatalf("%v: %d %s%s", args, code, out, said)
		}
		var doc map[string]any
		if want == 0 {
			if err := json.Unmarshal([]byte(out), &doc); err != nil {
				t.Fatal(err)
			}
		}
		return doc
	}
	same := func() {
		t.Helper()
		a, err := os.ReadFile(here)
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(there)
		if err != nil || !bytes.Equal(a, b) {
			t.Errorf("what came from the server differs, %v", err)
		}
	}
	restore(0, "", append([]string{"old", here}, s.here()...)...)
	d := restore(0, "", append([]string{"old", there, "--verify"}, s.there()...)...)
	same()
	if all := d["written"].(float64); all < 8<<20 {
		t.Errorf("%v were written", all)
	}
	restore(0, "", append([]string{"new", here, "--yes"}, s.here()...)...)
	d = restore(0, "", append([]string{"new", there, "--delta", "--yes"}, s.there()...)...)
	same()
	if n := d["written"].(float64); n > 5<<20 {
		t.Errorf("a delta wrote %v", n)
	}
	restore(1, "nothing", append([]string{"nothing", there, "--yes"}, s.there()...)...)

	// One byte of the server's copy is damaged: nothing of the frame is written, and the word is damage.
	blobs, err := filepath.Glob(filepath.Join(s.dir, "blobs", "sha256", "*"))
	if err != nil {
		t.Fatal(err)
	}
	largest, size := "", int64(0)
	for _, name := range blobs {
		if st, err := os.Stat(name); err == nil && st.Size() > size {
			largest, size = name, st.Size()
		}
	}
	f, err := os.OpenFile(largest, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1)
	_, err = f.ReadAt(b, size/2)
	if err == nil {
		b[0] ^= 1
		_, err = f.WriteAt(b, size/2)
	}
	if err != nil || f.Close() != nil {
		t.Fatal(err)
	}
	code, _, said := s.run(append([]string{"image", "restore", "old", filepath.Join(dir, "bad")}, s.there()...)...)
	if code != exitDamage || !strings.Contains(said, "old") {
		t.Errorf("of a damaged store: %d %s", code, said)
	}
}
