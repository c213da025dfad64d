// Package signaled tells whether a program that waits can be ended from outside.
package signaled

import (
	"errors"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Pipe makes a pipe that nobody writes into.
func Pipe(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// Ends starts a program and fails the test unless SIGTERM, sent again and again, kills it.
func Ends(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
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
