package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain lets the test binary be the program that is supervised.
func TestMain(m *testing.M) {
	switch os.Getenv("UINIT_TEST_AGENT") {
	case "done":
		os.Stdout.WriteString("agent output\n")
		os.Exit(0)
	case "killed":
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	case "waits":
		os.Stdout.WriteString("started\n")
		if _, err := io.Copy(os.Stdout, os.Stdin); err != nil {
			os.Exit(4)
		}
		os.Stdout.WriteString("begun\n")
		os.Exit(0)
	case "fails":
		os.Stderr.WriteString("agent error\n")
		os.Exit(3)
	}
	os.Exit(m.Run())
}

func TestSupervisor(t *testing.T) {
	for behaviour, want := range map[string][]string{
		"done":  {"agent output\n", `why="it said that it was done"`},
		"fails": {"agent error\n", `why="exit status 3"`},
		// Not the words of the error decide: nothing but SIGKILL may be taken for it.
		"killed": {`why="signal: killed (out of memory? dmesg says)"`},
	} {
		t.Run(behaviour, func(t *testing.T) {
			t.Setenv("UINIT_TEST_AGENT", behaviour)
			ctx, stop := context.WithCancel(t.Context())
			var out bytes.Buffer
			var pauses []time.Duration
			failures := 0
			s := &supervisor{
				command: []string{os.Args[0]}, output: &out, log: slog.New(slog.NewTextHandler(&out, nil)),
				failed: func() { failures++ },
				after: func(d time.Duration) <-chan time.Time {
					if pauses = append(pauses, d); len(pauses) == 7 {
						stop()
						return nil
					}
					now := make(chan time.Time, 1)
					now <- time.Time{}
					return now
				},
			}
			if err := s.run(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("error %v", err)
			}
			for _, w := range append(want, "again_in=1s", "run=7") {
				if !strings.Contains(out.String(), w) {
					t.Errorf("no %q in\n%s", w, &out)
				}
			}
			if failures != 7 || pauses[0] != time.Second || pauses[4] != 16*time.Second || pauses[5] != lastPause ||
				pauses[6] != lastPause {
				t.Errorf("%d failures, pauses %v", failures, pauses)
			}
		})
	}
}

func TestSupervisorWithoutProgram(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	var out bytes.Buffer
	s := &supervisor{
		command: []string{"/nowhere/agent"}, output: &out, log: slog.New(slog.NewTextHandler(&out, nil)), failed: stop,
		after: func(time.Duration) <-chan time.Time { return nil },
	}
	if err := s.run(ctx); !errors.Is(err, context.Canceled) || !strings.Contains(out.String(), "no such file") {
		t.Errorf("%v: %s", err, &out)
	}
}

// TestSupervisorBegin has a program that starts before it may begin, and one that starts again afterwards.
func TestSupervisorBegin(t *testing.T) {
	t.Setenv("UINIT_TEST_AGENT", "waits")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	begin := make(chan struct{})
	out, in := io.Pipe()
	t.Cleanup(func() { in.Close() })
	runs := 0
	s := &supervisor{
		command: []string{os.Args[0]}, output: in, log: slog.New(slog.DiscardHandler), begin: begin,
		after: func(time.Duration) <-chan time.Time {
			now := make(chan time.Time, 1)
			now <- time.Time{}
			return now
		},
		failed: func() {
			if runs++; runs == 2 {
				stop()
			}
		},
	}
	done := make(chan error, 1)
	go func() { // ends with ctx
		done <- s.run(ctx)
		in.Close()
	}()
	lines := bufio.NewScanner(out)
	var said []string
	for lines.Scan() {
		if said = append(said, lines.Text()); len(said) == 1 {
			select {
			case err := <-done:
				t.Fatalf("it began before it may: %v", err)
			case <-time.After(100 * time.Millisecond):
			}
			close(begin)
		}
	}
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if want := []string{"started", "begun", "started", "begun"}; !slices.Equal(said, want) {
		t.Errorf("it said %q, want %q", said, want)
	}
}
