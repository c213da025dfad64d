package archiveend

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	root := t.TempDir()
	put := func(name string) {
		t.Helper()
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := Check(root, 256<<20); err != nil {
		t.Errorf("an archive that is not mkimage's: %v", err)
	}
	put(settings)
	if err := Check(root, 256<<20); err == nil ||
		!strings.Contains(err.Error(), "did not fit into this node's memory of 256 MiB") {
		t.Errorf("an archive without its end: %v", err)
	}
	put(Name)
	if err := Check(root, 256<<20); err != nil {
		t.Errorf("a whole archive: %v", err)
	}
}
