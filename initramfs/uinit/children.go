package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// children are the processes that this program started and waits for.
type children struct {
	mu   sync.Mutex
	pids map[int]bool
}

var own children

// run runs a command to its end, as its own method does, and keeps reap from taking its end away.
func (c *children) run(cmd *exec.Cmd) error {
	c.mu.Lock()
	err := cmd.Start()
	if err != nil {
		c.mu.Unlock()
		return err
	}
	if c.pids == nil {
		c.pids = map[int]bool{}
	}
	c.pids[cmd.Process.Pid] = true
	c.mu.Unlock()
	err = cmd.Wait()
	c.mu.Lock()
	delete(c.pids, cmd.Process.Pid)
	c.mu.Unlock()
	return err
}

// reap waits for the children that ended and that nobody here waits for. proc is the kernel's /proc.
func (c *children) reap(proc string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	dead, err := zombies(proc, os.Getpid())
	for _, pid := range dead {
		if c.pids[pid] {
			continue
		}
		if _, waitErr := unix.Wait4(pid, nil, unix.WNOHANG, nil); waitErr != nil {
			err = errors.Join(err, fmt.Errorf("process %d: %w", pid, waitErr))
		}
	}
	return err
}

// zombies are the children of a process that ended and were not waited for.
func zombies(proc string, parent int) ([]int, error) {
	names, err := filepath.Glob(filepath.Join(proc, "[0-9]*", "stat"))
	if err != nil {
		return nil, err
	}
	var list []int
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // it is gone
		}
		if pid, state, above, ok := parseStat(string(text)); ok && state == "Z" && above == parent {
			list = append(list, pid)
		}
	}
	return list, nil
}

// parseStat reads the beginning of /proc/PID/stat (proc(5)): the process, its name in brackets, which may hold any
// character, its state and its parent.
func parseStat(text string) (pid int, state string, parent int, ok bool) {
	number, _, _ := strings.Cut(text, " ")
	end := strings.LastIndexByte(text, ')')
	f := strings.Fields(text[end+1:])
	if end < 0 || len(f) < 2 {
		return 0, "", 0, false
	}
	pid, err := strconv.Atoi(number)
	if err != nil {
		return 0, "", 0, false
	}
	parent, err = strconv.Atoi(f[1])
	return pid, f[0], parent, err == nil
}
