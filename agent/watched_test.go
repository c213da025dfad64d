package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/agent/client"
	"github.com/diskcast/diskcast/agent/events"
)

// TestWatchdogTime: the kernel's command line says how long, and a wrong word ends the agent with what is right.
func TestWatchdogTime(t *testing.T) {
	for cmdline, want := range map[string]time.Duration{"quiet": 2 * time.Minute, "diskcast.watchdog=off": 0,
		"diskcast.watchdog=60 diskcast.watchdog=90": 90 * time.Second, "diskcast.watchdog=5": -1} {
		path := filepath.Join(t.TempDir(), "cmdline")
		if err := os.WriteFile(path, []byte(cmdline+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		a := &agent{o: &options{cmdline: path}}
		got, err := a.watchdogTime()
		if want >= 0 && (err != nil || got != want) {
			t.Errorf("%s: %v, %v", cmdline, got, err)
		}
		if want < 0 && (err == nil || !strings.Contains(err.Error(), "diskcast.watchdog= on the kernel's")) {
			t.Errorf("%s: %v", cmdline, err)
		}
	}
}

// TestAlive: an agent that has not asked yet lives, one that asked ten minutes ago does not.
func TestAlive(t *testing.T) {
	c, err := client.New(client.Options{Server: "https://127.0.0.1:1", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	a := &agent{client: c, events: events.New(events.Options{})}
	if !a.alive() {
		t.Error("before its first question")
	}
	if a.lives(); !a.alive() {
		t.Error("after a question")
	}
	if a.beat.Store(int64(sinceBoot() - hangs - time.Second)); a.alive() {
		t.Error("ten minutes after its last question")
	}
}
