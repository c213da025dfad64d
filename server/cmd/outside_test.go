package cmd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTargetInStore: nothing is written into the store that is read.
func TestTargetInStore(t *testing.T) {
	s := newShop(t)
	s.stock("debian", 2)
	link := filepath.Join(t.TempDir(), "disk.img")
	if err := os.Symlink(filepath.Join(s.dir, "index.json"), link); err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{filepath.Join(s.dir, "index.json"), filepath.Join(s.dir, "new"), link, s.dir,
		s.dataFile("debian")} {
		for _, args := range [][]string{
			{"image", "restore", "debian", target, "--yes"},
			{"image", "restore", "debian", target, "--yes", "--partition", "1"},
			{"image", "export", "debian", target},
			{"image", "export", "debian", target, "--format", "raw"},
			{"image", "export", "debian", target, "--format", "qcow2"},
			{"image", "export", "debian", target, "--format", "partclone", "--partition", "0"},
			{"image", "nbd", "debian", target},
		} {
			code, _, said := s.run(append(args, s.here()...)...)
			if code != exitUsage || !strings.Contains(said, "is in the image store") {
				t.Errorf("%v: exit %d, %s", args, code, said)
			}
		}
	}
	if code, _, said := s.run(append([]string{"image", "verify", "debian"}, s.here()...)...); code != 0 {
		t.Errorf("the store afterwards: exit %d, %s", code, said)
	}
	if _, err := os.Lstat(filepath.Join(s.dir, "new")); err == nil {
		t.Error("a file was made in the store")
	}
}
