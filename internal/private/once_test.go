package private

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
)

// TestOnce: of many that start together, all use what one of them made; it is closed to others, nothing is left beside
// it, and content that cannot be made leaves no file.
func TestOnce(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "key")
	wrong := errors.New("no entropy")
	if _, err := Once(path, func() ([]byte, error) { return nil, wrong }); !errors.Is(err, wrong) {
		t.Errorf("content that cannot be made: %v", err)
	}
	var got [16]string
	var all sync.WaitGroup
	for i := range got {
		all.Go(func() {
			b, err := Once(path, func() ([]byte, error) { return []byte{'a' + byte(i)}, nil })
			if err != nil {
				t.Error(err)
			}
			got[i] = string(b)
		})
	}
	all.Wait()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range got {
		if s != string(b) {
			t.Errorf("%d has %q, the file %q", i, s, b)
		}
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 1 {
		t.Errorf("%d files are there, %v", len(list), err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != FileMode {
		t.Errorf("%v, %v", st.Mode(), err)
	}
}

// TestOnceFollows: what root makes belongs to the owner of the directory.
func TestOnceFollows(t *testing.T) {
	dir := t.TempDir()
	uid := os.Getuid()
	if uid == 0 {
		uid = 4711
		if err := os.Chown(dir, uid, uid); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "key")
	if _, err := Once(path, func() ([]byte, error) { return []byte("x"), nil }); err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := int(st.Sys().(*syscall.Stat_t).Uid); got != uid {
		t.Errorf("it belongs to %d, the directory to %d", got, uid)
	}
}
