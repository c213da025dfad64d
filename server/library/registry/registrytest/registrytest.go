// Package registrytest runs Debian's docker-registry for tests.
package registrytest

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/testenv/need"
)

var started atomic.Int32

// address is a loopback address of this process alone, all of 127.0.0.0/8 being this machine, and a port that no other
// registry of it has. A free port that is looked for on 127.0.0.1 and given back can be anybody's by the time that the
// registry has started.
func address() string {
	pid := os.Getpid()
	return fmt.Sprintf("127.%d.%d.%d:%d", 64+pid>>16&63, pid>>8&255, pid&255, 5000+started.Add(1))
}

// Start runs a registry without TLS for the time of the test and returns its address. It skips where the program is
// missing; on CI that is a failure.
func Start(t testing.TB) (addr string) {
	t.Helper()
	bin := need.Tool(t, "docker-registry")
	addr = address()
	dir := t.TempDir()
	cfg := filepath.Join(dir, "config.yml")
	err := os.WriteFile(cfg,
		fmt.Appendf(nil, "version: 0.1\nlog:\n  level: error\n  accesslog:\n    disabled: true\nstorage:\n  "+
			"filesystem:\n    rootdirectory: %s\nhttp:\n  addr: %s\n", filepath.Join(dir, "data"), addr), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin, "serve", cfg)
	var said bytes.Buffer
	cmd.Stderr, cmd.Env = &said, append(os.Environ(), "OTEL_TRACES_EXPORTER=none")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed
		if t.Failed() {
			t.Logf("docker-registry said:\n%s", &said)
		}
	})
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(30 * time.Second); ; {
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
		if err == nil {
			c.Close()
			return addr
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("docker-registry does not answer: %v\n%s", err, &said)
		}
	}
}
