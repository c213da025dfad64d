package main

import (
	"bytes"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/diskcast/diskcast/internal/cast/netlab"
)

// limit bounds, generously, every program that is waited for.
const limit = 10 * time.Minute

// proc is a program, or a pipeline of a shell, with all that it starts.
type proc struct {
	name       string
	cmd        *exec.Cmd
	out, errs  bytes.Buffer
	done       chan struct{} // closed when it has ended, with err
	err        error
	began, end time.Time
}

// start runs a program in a namespace; an empty one is the bench's own.
func (b *bench) start(ns string, args ...string) (*proc, error) { return b.startTo(ns, nil, args...) }

// startTo gives the program's output to stdout, when that is not nil, and closes it in the end.
func (b *bench) startTo(ns string, stdout io.Writer, args ...string) (*proc, error) {
	p := &proc{name: filepath.Base(args[0]), done: make(chan struct{})}
	if ns != "" {
		args = append([]string{"ip", "netns", "exec", ns}, args...)
	}
	p.cmd = exec.CommandContext(b.ctx, args[0], args[1:]...)
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.errs
	if stdout != nil {
		p.cmd.Stdout = stdout
	}
	// A group of its own, so that all of a pipeline is ended; and at our death the first of it at least.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	p.cmd.Cancel = func() error { return syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) }
	p.cmd.WaitDelay = 5 * time.Second
	p.began = time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { // ends with the program
		p.err = p.cmd.Wait()
		p.end = time.Now()
		if w, ok := stdout.(io.Closer); ok {
			w.Close()
		}
		close(p.done)
	}()
	return p, nil
}

// wait waits for the program's end.
func (p *proc) wait() error {
	select {
	case <-p.done:
		if p.err != nil {
			return fmt.Errorf("%s: %w: %s", p.name, p.err, p.words())
		}
		return nil
	case <-time.After(limit):
		_ = p.cmd.Cancel()
		<-p.done
		return fmt.Errorf("%s did not end within %v: %s", p.name, limit, p.words())
	}
}

func (p *proc) words() string { return strings.TrimSpace(p.errs.String() + p.out.String()) }

// stop ends the program as an operator does; how it says goodbye does not matter.
func (p *proc) stop() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGINT)
	select {
	case <-p.done:
	case <-time.After(10 * time.Second):
		_ = p.cmd.Cancel()
		<-p.done
	}
}

// cpu is the CPU time of an ended program and of what it has waited for, in seconds.
func (p *proc) cpu() float64 {
	return (p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()).Seconds()
}

// rss is the largest memory of an ended program in bytes.
func (p *proc) rss() int64 {
	if u, ok := p.cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		return u.Maxrss * 1024
	}
	return 0
}

func (b *bench) output(ns string, args ...string) (string, error) {
	p, err := b.start(ns, args...)
	if err != nil {
		return "", err
	}
	err = p.wait()
	return p.out.String(), err
}

// wire is how many bytes node 0 has sent.
func (b *bench) wire(l *netlab.Lab) (int64, error) {
	out, err := b.output(l.Node(0), "cat", "/sys/class/net/eth0/statistics/tx_bytes")
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(out), 10, 64)
}
