package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os/exec"
	"syscall"
	"time"
)

// supervisor keeps a program running.
type supervisor struct {
	command []string
	output  io.Writer
	log     *slog.Logger
	after   func(time.Duration) <-chan time.Time
	// begin is closed when the program may begin: until then it has an open standard input. It starts before, beside
	// what it waits for, since its own start takes a while.
	begin  <-chan struct{}
	failed func() // called each time the program has ended
}

const (
	firstPause = time.Second
	lastPause  = 30 * time.Second
	goodRun    = time.Minute // a program that ran as long starts over with the first pause
)

// run returns when ctx ends. The program ending is never the end: a node that does nothing cannot be reached.
func (s *supervisor) run(ctx context.Context) error {
	pause := firstPause
	for n := 1; ; n++ {
		s.log.Info("the agent starts", "run", n)
		began := time.Now()
		err := s.once(ctx)
		took := time.Since(began)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if took >= goodRun {
			pause = firstPause
		}
		s.log.Error("the agent ended", "why", reason(err), "after", took.Round(time.Millisecond), "again_in", pause,
			"log", logPath)
		s.failed()
		select {
		case <-s.after(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
		pause = min(2*pause, lastPause)
	}
}

func (s *supervisor) once(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, s.command[0], s.command[1:]...)
	cmd.Env = append(cmd.Environ(), "HOME=/root")
	cmd.Stdout, cmd.Stderr = s.output, s.output
	// A child of the agent may keep the pipe open.
	cmd.WaitDelay = time.Second
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	ended := make(chan struct{})
	defer close(ended)
	go func() { // ends with the program
		select {
		case <-s.begin:
		case <-ended:
		}
		_ = stdin.Close() // the end of the program has done it already
	}()
	return own.run(cmd)
}

func reason(err error) string {
	if err == nil {
		return "it said that it was done"
	}
	var ended *exec.ExitError
	if errors.As(err, &ended) {
		if w, ok := ended.Sys().(syscall.WaitStatus); ok && w.Signal() == syscall.SIGKILL {
			return fmt.Sprintf("%v (out of memory? dmesg says)", err)
		}
	}
	return err.Error()
}
