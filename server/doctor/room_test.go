package doctor

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/testenv/need"
)

// TestReadOnly finds a state directory that cannot be written.
func TestReadOnly(t *testing.T) {
	need.Root(t)
	dir := t.TempDir()
	find := func() (ids []ID) {
		l := &Look{}
		lookRoom(t.Context(), &Subject{State: dir, Store: t.TempDir()}, l)
		for _, f := range l.Found {
			if f.ID == ReadOnly {
				ids = append(ids, f.ID)
			}
		}
		return ids
	}
	if got := find(); len(got) != 0 {
		t.Errorf("found %v", got)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_RDONLY, "size=1m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	if got := find(); len(got) != 1 {
		t.Errorf("found %v", got)
	}
}
