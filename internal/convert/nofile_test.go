package convert

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/regular"
)

// TestNoFile refuses a FIFO among the files of an image at once.
func TestNoFile(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	err := errors.Join(os.WriteFile(at("disk.aa"), make([]byte, 4096), 0o600), unix.Mkfifo(at("disk.ab"), 0o600),
		os.Mkdir(at("zilla"), 0o700), unix.Mkfifo(at("zilla/parts"), 0o600), unix.Mkfifo(at("zilla/disk"), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(at("disk.aa")); !errors.As(err, new(*regular.Error)) {
		t.Errorf("a FIFO as second piece: %v", err)
	}
	if d, err := Open(at("zilla")); err == nil {
		t.Errorf("a Clonezilla directory of FIFOs is %s", d.Format())
	}
}
