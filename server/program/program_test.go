package program

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestLeftBehind: a program that exits with 0 is well, though what it left behind has its output open; one that exits
// with another code is not.
func TestLeftBehind(t *testing.T) {
	for script, want := range map[string]int{"sleep 20 & echo $!": 0, "sleep 20 & echo $!; exit 3": 3} {
		var out bytes.Buffer
		cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", script)
		cmd.Stdout = &out
		err := Run(cmd)
		pid := strings.TrimSpace(out.String())
		if kerr := exec.Command("kill", pid).Run(); kerr != nil {
			t.Errorf("%s: what it left behind, %q, does not live: %v", script, pid, kerr)
		}
		var exit *exec.ExitError
		code := 0
		if errors.As(err, &exit) {
			code = exit.ExitCode()
		} else if err != nil {
			t.Errorf("%s: %v", script, err)
		}
		if code != want {
			t.Errorf("%s: %v, want exit code %d", script, err, want)
		}
	}
}

// TestTime ends a program whose time is over, with what it started, and gives it nothing of this one's environment.
func TestTime(t *testing.T) {
	t.Setenv("DISKCAST_TOKEN", "SECRET")
	ctx, stop := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer stop()
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", "pwd; echo $DISKCAST_TOKEN $A; sleep 1000 & wait")
	cmd.Env, cmd.Stdout = []string{"A=b"}, &out
	begin := time.Now()
	if err := Run(cmd); err == nil || ctx.Err() == nil || time.Since(begin) > 30*time.Second {
		t.Errorf("it ended with %v after %v", err, time.Since(begin))
	}
	if got := out.String(); got != "/\nb\n" && got != "" { // a busy machine may not have begun it
		t.Errorf("%q", got)
	}
	if err := Run(exec.CommandContext(t.Context(), "/none/there")); err == nil {
		t.Error("a program that is not there ran")
	}
}
