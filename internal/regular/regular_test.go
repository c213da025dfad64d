package regular_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/regular"
)

// TestOpen refuses at once what is no file, however it is to be opened, also behind a link.
func TestOpen(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(socket)
	if err := errors.Join(unix.Mkfifo(at("fifo"), 0o600), os.Mkdir(at("dir"), 0o700),
		os.Symlink("fifo", at("link")), unix.Bind(socket, &unix.SockaddrUnix{Name: at("socket")})); err != nil {
		t.Fatal(err)
	}
	for path, what := range map[string]string{at("fifo"): "a FIFO", at("link"): "a FIFO", at("dir"): "a directory",
		at("socket"): "a socket", "/dev/null": "a device"} {
		for _, flags := range []int{os.O_RDONLY, os.O_WRONLY, os.O_RDWR | os.O_CREATE} {
			_, err := regular.OpenFile(path, flags, 0o600)
			var other *regular.Error
			if !errors.As(err, &other) || other.What != what || other.Path != path {
				t.Errorf("%s by %#x: %v, want %s", path, flags, err, what)
			}
		}
	}
	if _, err := regular.ReadFile(at("none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what is not there: %v", err)
	}
	f, err := regular.OpenFile(at("file"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("x"); err != nil {
		t.Error(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if b, err := regular.ReadFile(at("file")); err != nil || string(b) != "x" {
		t.Errorf("read %q, %v", b, err)
	}
}
