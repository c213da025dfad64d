// Package treetest makes directories of files for tests: they stand for a mounted partition, or for /sys and /proc.
package treetest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Make makes a directory with files, given by their names, that is gone after the test. A content that begins with "->"
// makes a symbolic link, a name that ends in "/." an empty directory.
func Make(t testing.TB, files map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		to, link := strings.CutPrefix(content, "->")
		switch {
		case err != nil:
		case link:
			err = os.Symlink(to, path)
		case strings.HasSuffix(name, "/."):
			err = os.MkdirAll(path, 0o755)
		default:
			err = os.WriteFile(path, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
