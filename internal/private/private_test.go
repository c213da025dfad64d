package private

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDir(t *testing.T) {
	for name, c := range map[string]struct {
		mode   os.FileMode // 0: not there
		filled bool
		above  os.FileMode // of the directory above
		want   os.FileMode // 0: refused
	}{
		"made":                           {0, false, 0o755, 0o700},
		"empty and open is closed":       {0o755, false, 0o755, 0o700},
		"closed stays":                   {0o700, true, 0o755, 0o700},
		"stricter stays":                 {0o500, true, 0o755, 0o500},
		"open to all is refused":         {0o755, true, 0o755, 0},
		"open to its group is refused":   {0o750, true, 0o755, 0},
		"passable for others is refused": {0o711, true, 0o755, 0},
		"nobody passes the one above":    {0o755, true, 0o700, 0o755},
	} {
		t.Run(name, func(t *testing.T) {
			root, err := os.MkdirTemp("/tmp", "diskcast-private-*") // not t.TempDir, which others cannot reach
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(root) })
			dir := filepath.Join(root, "a", "b")
			if err := errors.Join(os.Chmod(root, 0o755), os.Mkdir(filepath.Dir(dir), c.above)); err != nil {
				t.Fatal(err)
			}
			if c.mode != 0 {
				if err := os.MkdirAll(dir, 0o755); err != nil {
					t.Fatal(err)
				}
				if c.filled {
					if err := os.WriteFile(filepath.Join(dir, "x"), nil, 0o600); err != nil {
						t.Fatal(err)
					}
				}
				if err := os.Chmod(dir, c.mode); err != nil {
					t.Fatal(err)
				}
			}
			err = Dir(dir, "images")
			st, serr := os.Stat(dir)
			if serr != nil {
				t.Fatal(serr)
			}
			if c.want == 0 {
				var open *OpenError
				if !errors.As(err, &open) || !strings.Contains(err.Error(), "chmod 700 "+dir) {
					t.Fatalf("got %v", err)
				}
				if st.Mode().Perm() != c.mode {
					t.Errorf("refused, and the mode is %v now", st.Mode())
				}
				return
			}
			if err != nil || st.Mode().Perm() != c.want {
				t.Errorf("got mode %v, %v; want %v", st.Mode(), err, c.want)
			}
		})
	}
}
