package box

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/diskcast/diskcast/internal/testenv/need"
)

// TestSweep: the groups of a test that was killed are gone, and those of one that runs, and all else, are there.
func TestSweep(t *testing.T) {
	need.Root(t)
	groups, err := unified()
	if err != nil {
		need.Skip(t, "%v", err)
	}
	over := exec.Command("true")
	if err := over.Run(); err != nil {
		t.Fatal(err)
	}
	id := strconv.Itoa(over.Process.Pid) // of nobody any more
	dead, alive := filepath.Join(groups, prefix+id), filepath.Join(groups, prefix+strconv.Itoa(os.Getpid()))
	other := filepath.Join(groups, prefix+"x"+id)
	for _, dir := range []string{filepath.Join(dead, "init.scope", "a"), alive, other} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		for _, dir := range []string{dead, alive, other} {
			if gone, err := remove(dir); !gone {
				t.Error(err)
			}
		}
	})
	sweep(groups)
	for dir, want := range map[string]bool{dead: false, alive: true, other: true} {
		if _, err := os.Stat(dir); (err == nil) != want {
			t.Errorf("%s: %v; is to be there: %t", dir, err, want)
		}
	}
}
