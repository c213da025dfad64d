// Package box runs a Debian with its systemd on this machine's kernel, in namespaces and a control group of its own: a
// machine on which packages and units are tried at the processor's speed. Nothing of it outlives the test: the first
// process carries a parent-death signal, and all others are in its process namespace.
package box

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/diskcast/diskcast/internal/testenv/proc"
	"github.com/diskcast/diskcast/qemu-tests/lab"
)

//go:embed box.sh
var script string

// Box is a system that runs.
type Box struct {
	cmd    *exec.Cmd
	log    io.Writer
	ended  chan struct{}
	err    error
	init   int // its first process, as this machine counts
	cgroup string
}

// Start starts the system in a partition of a disk, which is written to, in the network of a lab. What is in the folder
// home of dir becomes root's.
func Start(ctx context.Context, l *lab.Lab, dir, disk string, offset int64, log io.Writer) (*Box, error) {
	groups, err := unified()
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "box.sh")
	if err := os.WriteFile(file, []byte(script), 0o700); err != nil {
		return nil, err
	}
	b := &Box{log: log, ended: make(chan struct{})}
	sweep(groups)
	b.cgroup = filepath.Join(groups, prefix+strconv.Itoa(os.Getpid()))
	b.cmd = exec.Command("sh", file, filepath.Base(b.cgroup), disk, strconv.FormatInt(offset, 10), dir)
	b.cmd.Stdout, b.cmd.Stderr = log, log
	if err := l.Start(b.cmd); err != nil {
		return nil, err
	}
	go func() { // ends with the system
		b.err = b.cmd.Wait()
		close(b.ended)
	}()
	if err := b.up(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("systemd in a box: %w", err), b.Stop())
	}
	return b, nil
}

// unified is where this machine has the second version of control groups.
func unified() (string, error) {
	text, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 2 && f[2] == "cgroup2" {
			return f[1], nil
		}
	}
	return "", errors.New("no cgroup2 is mounted here, and systemd wants one")
}

// up waits until systemd says that the system has started.
func (b *Box) up(ctx context.Context) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	pid := b.cmd.Process.Pid
	var last string
	for {
		if child, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid)); err == nil {
			b.init, _ = strconv.Atoi(strings.TrimSpace(string(child))) // 0 until there is one
		}
		if name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", b.init)); err == nil && string(name) == "systemd\n" {
			out, err := b.Run(ctx, "systemctl is-system-running --wait")
			if last = strings.TrimSpace(out); last == "running" {
				return nil
			}
			if last == "degraded" {
				failed, err := b.Run(ctx, "systemctl --failed --no-pager")
				return errors.Join(fmt.Errorf("it is degraded: %s", failed), err)
			}
			last = fmt.Sprintf("%s (%v)", last, err)
		}
		select {
		case <-b.ended:
			return fmt.Errorf("it ended at once: %w", b.err)
		case <-ctx.Done():
			return fmt.Errorf("%w: it says %s", context.Cause(ctx), last)
		case <-tick.C:
		}
	}
}

// Command is a program that root is to run in the box; whoever starts it has it end with this process (proc.Start).
func (b *Box) Command(ctx context.Context, args ...string) *exec.Cmd {
	return proc.Command(ctx, "nsenter", append([]string{"-t", strconv.Itoa(b.init), "-m", "-p", "-n", "-u", "-i", "-C",
		"-r", "-w", "env", "-i", "HOME=/root", "TERM=dumb", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, args...)...)
}

// Run has root run a command in the box, by the shell, and returns what it wrote to standard output. What it wrote to
// the other is in the log too.
func (b *Box) Run(ctx context.Context, command string) (string, error) {
	cmd := b.Command(ctx, "sh", "-c", "cd; "+command)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, io.MultiWriter(&said, b.log)
	if err := proc.Start(cmd); err != nil {
		return "", fmt.Errorf("%s: %w", command, err)
	}
	if err := cmd.Wait(); err != nil {
		return out.String(), fmt.Errorf("%s: %w: %s%s", command, err, &said, &out)
	}
	return out.String(), nil
}

// Stop ends all that runs in the box.
func (b *Box) Stop() error {
	_ = syscall.Kill(b.cmd.Process.Pid, syscall.SIGKILL) // unshare's child goes with it
	<-b.ended
	// The groups are empty when the last process is gone, and are removed from the leaves on.
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	var left error
	for range 200 {
		var gone bool
		if gone, left = remove(b.cgroup); gone {
			return nil
		}
		<-tick.C
	}
	return fmt.Errorf("the box has left a control group: %w", left)
}

// remove removes a control group and those in it from the leaves on, and reports whether it is not there any more. The
// kernel keeps one that has a process.
func remove(group string) (gone bool, err error) {
	var dirs []string
	_ = filepath.WalkDir(group, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, path)
		}
		return nil
	})
	for _, dir := range slices.Backward(dirs) {
		err = os.Remove(dir)
	}
	return len(dirs) == 0 || err == nil, err
}

// prefix begins the name of each box's control group; the number of the test's process ends it.
const prefix = "diskcast-box-"

// sweep removes what boxes of tests that were killed have left. A test that runs keeps its own, also before there is a
// process in it.
func sweep(groups string) {
	entries, err := os.ReadDir(groups)
	if err != nil {
		return // whoever starts the box says what is wrong
	}
	for _, e := range entries {
		number, ok := strings.CutPrefix(e.Name(), prefix)
		pid, err := strconv.Atoi(number)
		if !ok || err != nil || syscall.Kill(pid, 0) == nil {
			continue
		}
		_, _ = remove(filepath.Join(groups, e.Name())) // what is in use stays
	}
}
