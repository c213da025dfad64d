package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/diskcast/diskcast/internal/testenv/signaled"
)

// TestInterrupted: a program that a signal ends says which, wherever it was.
func TestInterrupted(t *testing.T) {
	deb, _, ipxe := inputs(t)
	inventory := filepath.Join(t.TempDir(), "m.json")
	if err := os.WriteFile(inventory, []byte(`[{"name":"m","inventory":{"hardware":{"devices":[{"alias":"x"}]}}}]`),
		0o644); err != nil {
		t.Fatal(err)
	}
	signal := errors.New("interrupt signal received")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(signal)
	for _, args := range [][]string{
		{"--kernel", deb, "--ipxe", ipxe, "--shim", "none", "--out", filepath.Join(t.TempDir(), "boot")},
		{"--kernel", deb, "--ipxe", ipxe, "--shim", "none", "--for", inventory, "--out",
			filepath.Join(t.TempDir(), "boot")},
	} {
		if err := run(ctx, args, nil, io.Discard, io.Discard); !errors.Is(err, signal) ||
			err.Error() != signal.Error() {
			t.Errorf("%v: error %v", args, err)
		}
	}
}

// TestSecondSignal: a program that waits for a pipe, which no context ends, is ended by a second signal.
func TestSecondSignal(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	name := filepath.Join(dir, "program")
	if err := os.Symlink(self, name); err != nil {
		t.Fatal(err)
	}
	signaled.Ends(t, exec.Command(name, "--kernel", self, "--for", signaled.Pipe(t), "--out",
		filepath.Join(dir, "boot")))
}
