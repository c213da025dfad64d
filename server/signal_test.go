package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/diskcast/diskcast/internal/testenv/signaled"
)

// TestSecondSignal: a program that waits for a pipe, which no context ends, is ended by a second signal.
func TestSecondSignal(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	name := filepath.Join(dir, "diskcast")
	if err := os.Symlink(self, name); err != nil {
		t.Fatal(err)
	}
	signaled.Ends(t, exec.Command(name, "apply", "-f", signaled.Pipe(t), "--server", "https://127.0.0.1:1"))
}
