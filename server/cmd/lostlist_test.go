package cmd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestLostList: a store that has lost the list of its images is damaged (exit code 4), here and at a server, and what
// is advised works: an import makes the list anew, so that nothing is collected as garbage.
func TestLostList(t *testing.T) {
	s := newShop(t)
	s.stock("debian", 2)
	s.stock("win11", 3)
	disk := filepath.Join(t.TempDir(), "disk.img")
	run := func(want int, args ...string) string {
		t.Helper()
		code, out, said := s.run(args...)
		if code != want {
			t.Fatalf("%v: exit %d, want %d: %s", args, code, want, said)
		}
		return out + said
	}
	run(0, append([]string{"image", "export", "debian", disk, "--format", "raw"}, s.here()...)...)
	list := filepath.Join(s.dir, "index.json")
	if err := os.Remove(list); err != nil {
		t.Fatal(err)
	}
	for _, where := range [][]string{s.here(), s.there()} {
		for what, args := range map[string][]string{
			"list":   {"image", "list"},
			"show":   {"image", "show", "debian"},
			"verify": {"image", "verify", "debian"},
			"gc":     {"image", "gc", "--unnamed", "--partial"},
			"rm":     {"image", "rm", "debian"},
			"tag":    {"image", "tag", "debian", "other"},
		} {
			said := run(exitDamage, append(args, where...)...)
			if strings.Count(said, list+" is damaged: it is missing") != 1 || !strings.Contains(said, "image import") {
				t.Errorf("%s %s: %s", what, where[0], said)
			}
		}
	}
	if _, err := os.Stat(list); err == nil {
		t.Fatal("a command that puts no image there made the list")
	}
	said := run(0, append([]string{"image", "import", disk, "--name", "debian"}, s.here()...)...)
	if !strings.Contains(said, "whose manifests are there: 2. ") {
		t.Errorf("import: %s", said)
	}
	run(0, append([]string{"image", "gc"}, s.here()...)...)
	rows := strings.Fields(run(0, append([]string{"image", "list", "-o", "name"}, s.here()...)...))
	if len(rows) < 2 {
		t.Fatalf("listed: %s", rows)
	}
	for _, name := range rows {
		run(0, append([]string{"image", "verify", name}, s.there()...)...)
	}
}
