// Package proc runs other programs so that they cannot outlive us: each carries a parent-death signal, and is the
// leader of a process group that a cancelled context kills as a whole.
//
// Linux sends the parent-death signal when the *thread* that started the program ends (prctl(2), PR_SET_PDEATHSIG),
// and Go ends threads as it likes. So one thread is locked for the life of the process, and starts everything.
package proc

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/diskcast/diskcast/internal/testenv/toolpath"
)

var (
	once   sync.Once
	starts chan func()
)

// Start starts a program that is killed when this process ends.
func Start(cmd *exec.Cmd) error {
	once.Do(func() {
		starts = make(chan func())
		go func() { // lives as long as the process
			runtime.LockOSThread()
			for fn := range starts {
				fn()
			}
		}()
	})
	Bind(cmd)
	err := make(chan error, 1)
	starts <- func() { err <- cmd.Start() }
	return <-err
}

// Bind sets the parent-death signal and a process group of its own, for a caller that starts the program itself from
// a thread that lasts. Ctrl-C in a terminal then reaches us alone, and we take things down in order.
func Bind(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	cmd.SysProcAttr.Setpgid = true
}

// Command is exec.CommandContext that also finds programs in /usr/sbin, which the PATH of an ordinary user lacks,
// and kills the whole process group when the context ends.
func Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, Path(name), args...)
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// Path is where a program lies, or its name when it is nowhere.
func Path(name string) string {
	if p, ok := toolpath.Find(name); ok {
		return p
	}
	return name
}

// Run runs a program to its end. Its output goes to log (which may be nil), and its last words into the error.
func Run(ctx context.Context, log io.Writer, name string, args ...string) error {
	_, err := run(ctx, log, nil, name, args...)
	return err
}

// Alone is Run in process and mount namespaces of the program's own: when it is killed, all that it started goes with
// it, and so do its mounts. It needs root.
func Alone(ctx context.Context, log io.Writer, name string, args ...string) error {
	return Run(ctx, log, "unshare",
		append([]string{"--pid", "--fork", "--kill-child", "--mount-proc", name}, args...)...)
}

// Input is Run with something on standard input.
func Input(ctx context.Context, log io.Writer, in io.Reader, name string, args ...string) error {
	_, err := run(ctx, log, in, name, args...)
	return err
}

// Output is Run that returns what the program wrote to both its outputs.
func Output(ctx context.Context, name string, args ...string) (string, error) {
	return run(ctx, nil, nil, name, args...)
}

func run(ctx context.Context, log io.Writer, in io.Reader, name string, args ...string) (string, error) {
	cmd := Command(ctx, name, args...)
	var out bytes.Buffer
	cmd.Stdin = in
	cmd.Stdout = &out
	if log != nil {
		cmd.Stdout = io.MultiWriter(&out, log)
	}
	cmd.Stderr = cmd.Stdout
	if err := Start(cmd); err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	if err := cmd.Wait(); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		text := strings.TrimSpace(out.String())
		if len(text) > 1500 {
			text = "..." + text[len(text)-1500:]
		}
		return out.String(), fmt.Errorf("%s: %w: %s", name, err, text)
	}
	return out.String(), nil
}
