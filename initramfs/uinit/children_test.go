package main

import (
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestParseStat(t *testing.T) {
	for _, c := range []struct {
		text, state string
		pid, parent int
		ok          bool
	}{
		{"42 (sh) Z 1 42 42 0 -1", "Z", 42, 1, true},
		{"7 (a) Z 9) S 3 7", "S", 7, 3, true}, // a program may call itself anything
		{"7 () R 0", "R", 7, 0, true},
		{"7 sh S 1", "", 0, 0, false},
		{"x (sh) S 1", "", 0, 0, false},
		{"7 (sh) S", "", 0, 0, false},
		{"7 (sh) S one", "S", 7, 0, false},
		{"", "", 0, 0, false},
	} {
		pid, state, parent, ok := parseStat(c.text)
		if ok != c.ok || ok && (pid != c.pid || state != c.state || parent != c.parent) {
			t.Errorf("%q: %d %q %d %v", c.text, pid, state, parent, ok)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add("42 (sh) Z 1 42")
	f.Fuzz(func(t *testing.T, text string) { parseStat(text) })
}

// TestReap has a child that somebody waits for and one of which nobody knows, both at their end.
func TestReap(t *testing.T) {
	// A process that lost its parent comes here, as it does to the first program.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	ended := make(chan os.Signal, 8)
	signal.Notify(ended, syscall.SIGCHLD)
	defer signal.Stop(ended)
	var c children
	known := exec.Command("true")
	if err := known.Start(); err != nil {
		t.Fatal(err)
	}
	c.pids = map[int]bool{known.Process.Pid: true}
	cmd := exec.Command("sh", "-c", "sh -c 'exit 0' >/dev/null & echo $!")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	orphan, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		t.Fatal(err)
	}
	for {
		dead, err := zombies("/proc", os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		// The shell may have waited for the orphan before its own end.
		if slices.Contains(dead, known.Process.Pid) && (slices.Contains(dead, orphan) || !alive(orphan)) {
			break
		}
		<-ended
	}
	if err := c.reap("/proc"); err != nil {
		t.Error(err)
	}
	if alive(orphan) {
		t.Error("the orphan is still in the list")
	}
	if err := known.Wait(); err != nil {
		t.Errorf("the end of a child that is waited for was taken away: %v", err)
	}
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

// TestRunBesideReap has many ends of both kinds at once.
func TestRunBesideReap(t *testing.T) {
	var c children
	stop, done := make(chan struct{}), make(chan struct{})
	go func() { // ends with stop
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if err := c.reap("/proc"); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	for range 30 {
		if err := c.run(exec.Command("true")); err != nil {
			t.Error(err)
		}
	}
	if err := c.run(exec.Command("/nowhere")); err == nil {
		t.Error("no such program: no error")
	}
	close(stop)
	<-done
	if len(c.pids) > 0 {
		t.Errorf("still waited for: %v", c.pids)
	}
}
