package hooks

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestKilled has a hook end with a server that is killed.
func TestKilled(t *testing.T) {
	const child = "DISKCAST_TEST_HOOK_FIFO"
	if fifo := os.Getenv(child); fifo != "" {
		r, _ := ran(t, time.Hour, "exec 3>"+fifo+"; echo $$ >&3; kill -STOP $$")
		if err := r.Run(context.Background()); err != nil {
			t.Fatal(err)
		}
		return
	}
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	server := exec.Command(os.Args[0], "-test.run=^TestKilled$")
	server.Env = append(os.Environ(), child+"="+fifo)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(fifo)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 32)
	n, err := f.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	pid := filepath.Join(t.TempDir(), "pid")
	if err := os.WriteFile(pid, []byte(strings.TrimSpace(string(b[:n]))), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := server.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	server.Wait()
	dead(t, pid)
}
