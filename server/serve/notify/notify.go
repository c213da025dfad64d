// Package notify tells the service manager how the server is, as systemd's sd_notify(3) has it: that it has started,
// that it is alive, that it is stopping. Without a service manager that asked, it says nothing.
package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Task says WATCHDOG=1 as often as the service manager asked, as long as the server is alive, and STOPPING=1 at its
// end. It is a task of the server.
type Task struct {
	alive func()
	log   *slog.Logger
	ready chan struct{}
}

// New returns a task that takes the server for alive when the function returns.
func New(alive func(), log *slog.Logger) *Task {
	return &Task{alive: alive, log: log, ready: make(chan struct{})}
}

// Name implements task.Task.
func (t *Task) Name() string { return "service manager" }

// Ready implements task.Task.
func (t *Task) Ready() <-chan struct{} { return t.ready }

// Started says that everything listens; words are what `systemctl status` shows.
func (t *Task) Started(words string) { t.say(daemon.SdNotifyReady + "\nSTATUS=" + words) }

// Run implements task.Task.
func (t *Task) Run(ctx context.Context) error {
	within, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return fmt.Errorf("$WATCHDOG_USEC: %w", err)
	}
	close(t.ready)
	if within > 0 {
		t.watch(ctx, within/2)
	} else {
		<-ctx.Done()
	}
	t.say(daemon.SdNotifyStopping)
	return nil
}

// watch asks for a sign of life every half of the time that the service manager waits; it never asks again before the
// last answer came.
func (t *Task) watch(ctx context.Context, every time.Duration) {
	again := time.NewTicker(every)
	defer again.Stop()
	var asked time.Time // zero: no question is open
	answer := make(chan struct{}, 1)
	ask := func() {
		asked = time.Now()
		// Ends with the answer; a server that never answers is ended by the service manager.
		go func() { t.alive(); answer <- struct{}{} }()
	}
	ask()
	for {
		select {
		case <-ctx.Done():
			return
		case <-answer:
			asked = time.Time{}
			t.say(daemon.SdNotifyWatchdog)
		case <-again.C:
			if asked.IsZero() {
				ask()
			} else {
				t.log.Error("the server does not answer itself: the service manager will start it anew", "since",
					time.Since(asked).Round(time.Millisecond))
			}
		}
	}
}

func (t *Task) say(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil && !errors.Is(err, context.Canceled) {
		t.log.Warn("the service manager cannot be told how the server is", "err", err)
	}
}
