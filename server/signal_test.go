package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestSecondSignal: a program that waits for a pipe, which no context ends, is ended by a second signal.
func TestSecondSignal(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	name, pipe := filepath.Join(dir, "diskcast"), filepath.Join(dir, "pipe")
	if err := os.Symlink(self, name); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(name, "apply", "-f", pipe, "--server", "https://127.0.0.1:1")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // ends with the program
	tick, patience := time.NewTicker(100*time.Millisecond), time.After(time.Minute)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			var exit *exec.ExitError
			if !errors.As(err, &exit) || !exit.Sys().(syscall.WaitStatus).Signaled() {
				t.Errorf("it ended by itself: %v", err)
			}
			return
		case <-tick.C:
			_ = cmd.Process.Signal(unix.SIGTERM) // it may have ended
		case <-patience:
			_ = cmd.Process.Kill() // what this test is about
			t.Fatal("signals do not end it")
		}
	}
}
