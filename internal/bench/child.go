package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/diskcast/diskcast/internal/testenv/netlab"
	"github.com/diskcast/diskcast/internal/testenv/proc"
)

// Program is what Start starts: a program, or a pipeline of a shell.
type Program struct {
	Args      []string
	Namespace string // path of a network namespace; "" is the bench's own
	// Stdout gets the output, which Child.Output is without then, and is closed in the end when it can be.
	Stdout io.Writer
	// Stderr gets what it says on its stderr, too.
	Stderr io.Writer
}

// Child is a running program with all that it starts. It is killed when the context ends or the bench does.
type Child struct {
	Began, Ended time.Time // Ended is known after Wait or Stop
	name         string
	cmd          *exec.Cmd
	out, errs    bytes.Buffer
	done         chan struct{} // closed when it has ended, with err
	err          error
}

// Start starts a program.
func (p Program) Start(ctx context.Context) (*Child, error) {
	args := p.Args
	if p.Namespace != "" {
		args = netlab.In(p.Namespace, args...)
	}
	c := &Child{name: filepath.Base(p.Args[0]), cmd: proc.Command(ctx, args[0], args[1:]...), done: make(chan struct{})}
	c.cmd.Stdout, c.cmd.Stderr = &c.out, &c.errs
	if p.Stdout != nil {
		c.cmd.Stdout = p.Stdout
	}
	if p.Stderr != nil {
		c.cmd.Stderr = io.MultiWriter(&c.errs, p.Stderr)
	}
	c.Began = time.Now()
	if err := proc.Start(c.cmd); err != nil {
		return nil, err
	}
	go func() { // ends with the program
		c.err = c.cmd.Wait()
		c.Ended = time.Now()
		if w, ok := p.Stdout.(io.Closer); ok {
			w.Close()
		}
		close(c.done)
	}()
	return c, nil
}

// Output runs a program to its end, for a limited time, and returns what it wrote to stdout.
func (p Program) Output(ctx context.Context, limit time.Duration) (string, error) {
	c, err := p.Start(ctx)
	if err != nil {
		return "", err
	}
	err = c.Wait(limit)
	return string(c.Output()), err
}

// PID is the process ID.
func (c *Child) PID() int { return c.cmd.Process.Pid }

// Wait waits for the program's end, and kills it after the limit.
func (c *Child) Wait(limit time.Duration) error {
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case <-c.done:
		if c.err != nil {
			return fmt.Errorf("%s: %w: %s", c.name, c.err, c.Words())
		}
		return nil
	case <-t.C:
		_ = c.cmd.Cancel() // kills the group
		<-c.done
		return fmt.Errorf("%s did not end within %v: %s", c.name, limit, c.Words())
	}
}

// Stop ends the program as an operator does; how it says goodbye does not matter. What has ended already is left alone.
func (c *Child) Stop() {
	select {
	case <-c.done:
		return
	default:
	}
	_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGINT)
	t := time.NewTimer(10 * time.Second)
	defer t.Stop()
	select {
	case <-c.done:
	case <-t.C:
		_ = c.cmd.Cancel() // kills the group
		<-c.done
	}
}

// Output is what an ended program wrote to stdout.
func (c *Child) Output() []byte { return c.out.Bytes() }

// Words are what an ended program said, for an error.
func (c *Child) Words() string { return strings.TrimSpace(c.errs.String() + c.out.String()) }

// CPU is the time in seconds that an ended program and what it has waited for took of the CPU, the kernel's on their
// behalf included.
func (c *Child) CPU() float64 {
	return (c.cmd.ProcessState.UserTime() + c.cmd.ProcessState.SystemTime()).Seconds()
}

// RSS is the largest memory in bytes of an ended program, or of one that it has waited for.
func (c *Child) RSS() int64 {
	if u, ok := c.cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		return u.Maxrss * 1024
	}
	return 0
}

// Listens waits until a program in the namespace has a UDP socket open.
func Listens(ctx context.Context, namespace string) error {
	for range 500 {
		out, err := Program{Args: []string{"cat", "/proc/net/udp"}, Namespace: namespace}.Output(ctx, 10*time.Second)
		if err != nil {
			return err
		}
		if strings.Count(out, "\n") > 1 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
	return errors.New("the receiver does not listen")
}
