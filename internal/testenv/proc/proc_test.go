package proc

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestCancel checks that what a program has started ends with it.
func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cmd := Command(ctx, "sh", "-c", "sleep 1000 & echo $!; wait")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := Start(cmd); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := cmd.Wait(); err == nil {
		t.Error("a program that was killed ended well")
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 1000 {
		// Whoever takes orphans here may not wait for them: a zombie has ended too.
		if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) || zombie(pid) {
			return
		}
		<-tick.C
	}
	t.Errorf("process %d still runs 10 s after the program that started it was killed", pid)
}

// zombie looks at the state of a process (proc_pid_stat(5)), which stands behind the name in parentheses.
func zombie(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(stat), ") Z ")
}

// TestLastWords checks that what a program said is in the error.
func TestLastWords(t *testing.T) {
	if err := Run(t.Context(), nil, "sh", "-c", "echo the disk is full >&2; exit 3"); err == nil ||
		!strings.Contains(err.Error(), "the disk is full") {
		t.Errorf("got %v, want what the program said", err)
	}
	if err := Run(t.Context(), nil, "a-program-that-is-nowhere"); err == nil ||
		!strings.Contains(err.Error(), "a-program-that-is-nowhere") {
		t.Errorf("got %v, want the program's name", err)
	}
}
