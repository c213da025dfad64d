package identity

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/diskcast/diskcast/internal/testenv/need"
)

// What root makes in the state directory of a server that runs as another user is that user's.
func TestFilesAreTheDirectorysOwners(t *testing.T) {
	need.Root(t)
	dir := t.TempDir()
	if err := os.Chown(dir, 54321, 54322); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	made, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{KeyFile, TokenFile} {
		st, err := os.Stat(filepath.Join(dir, f))
		if err != nil {
			t.Fatal(err)
		}
		if sys := st.Sys().(*syscall.Stat_t); sys.Uid != 54321 || sys.Gid != 54322 || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: uid %d, gid %d, mode %v", f, sys.Uid, sys.Gid, st.Mode())
		}
	}
	if again, err := Load(dir); err != nil || again.Pin != made.Pin || again.Token != made.Token {
		t.Errorf("loaded again it is another identity, %v", err)
	}
}
