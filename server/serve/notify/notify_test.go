package notify

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// manager is a service manager's socket.
func manager(t *testing.T) func() string {
	name := filepath.Join(t.TempDir(), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	t.Setenv("NOTIFY_SOCKET", name)
	return func() string {
		b := make([]byte, 4096)
		if err := c.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		n, err := c.Read(b)
		if err != nil {
			t.Fatalf("the service manager hears nothing: %v", err)
		}
		return string(b[:n])
	}
}

// errorsTo is a log handler that gives each error's words to a channel.
type errorsTo struct {
	slog.Handler
	c chan string
}

func (errorsTo) Enabled(context.Context, slog.Level) bool { return true }

func (h errorsTo) Handle(_ context.Context, r slog.Record) error {
	if r.Level == slog.LevelError {
		select {
		case h.c <- r.Message:
		default:
		}
	}
	return nil
}

func TestLife(t *testing.T) {
	hear := manager(t)
	t.Setenv("WATCHDOG_USEC", "100000")
	t.Setenv("WATCHDOG_PID", "")
	var stuck atomic.Bool
	release := make(chan struct{})
	log := errorsTo{slog.DiscardHandler, make(chan string, 1)}
	task := New(func() {
		if stuck.Load() {
			<-release
		}
	}, slog.New(log))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- task.Run(ctx) }()
	<-task.Ready()
	for range 3 {
		if got := hear(); got != "WATCHDOG=1" {
			t.Fatalf("got %q", got)
		}
	}
	task.Started("serves on eth1")
	for got := hear(); got != "READY=1\nSTATUS=serves on eth1"; got = hear() {
		if got != "WATCHDOG=1" {
			t.Fatalf("got %q", got)
		}
	}
	stuck.Store(true)
	var words string
	select {
	case words = <-log.c:
	case <-time.After(20 * time.Second):
	}
	if !strings.Contains(words, "does not answer") {
		t.Errorf("log: %q", words)
	}
	// Whatever was said before it stuck is in the socket; what comes after is only the end.
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	alive := 0
	for got := hear(); got != "STOPPING=1"; got = hear() {
		if alive++; got != "WATCHDOG=1" || alive > 20 {
			t.Fatalf("got %q", got)
		}
	}
	close(release)
}

// Without a service manager the task does nothing and ends with its context.
func TestAlone(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	t.Setenv("WATCHDOG_USEC", "")
	task := New(func() { t.Error("asked for a sign of life that nobody wants") }, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := task.Run(ctx); err != nil {
		t.Error(err)
	}
	t.Setenv("WATCHDOG_USEC", "soon")
	if err := New(nil, nil).Run(ctx); err == nil || !strings.Contains(err.Error(), "WATCHDOG_USEC") {
		t.Error(err)
	}
}
