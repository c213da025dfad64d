package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/diskcast/diskcast/agent/events"
	"github.com/diskcast/diskcast/agent/kernellog"
	"github.com/diskcast/diskcast/internal/session"
)

// TestTellCrashes: a crash's words reach the server, and only then leave the firmware's store.
func TestTellCrashes(t *testing.T) {
	for name, refuse := range map[string]error{"taken": nil, "refused": errors.New("422")} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			record := filepath.Join(dir, "dmesg-efi_pstore-171000000001001")
			text := "Panic#1 Part1\n" + strings.Repeat("<4>[    1.0] words of the kernel\n", 200) + "<0>the end\n"
			if err := os.WriteFile(record, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			var mu sync.Mutex
			var said []session.Event
			a := &agent{o: &options{}}
			a.events = events.New(events.Options{Boot: "b", Post: func(_ context.Context, b session.Events) error {
				mu.Lock()
				defer mu.Unlock()
				said = append(said, b.Events...)
				return refuse
			}})
			a.log = a.events.Logger(slog.LevelInfo)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			done := make(chan error)
			go func() { done <- a.events.Run(ctx) }()
			crashes, unread := kernellog.Crashes(dir, crashWords)
			if err := a.tellCrashes(ctx, crashes); err != nil || len(unread) > 0 {
				t.Fatal(err, unread)
			}
			cancel()
			<-done
			var words strings.Builder
			for _, e := range said {
				if len(e.Message) > 2048 {
					t.Errorf("an event of %d bytes", len(e.Message))
				}
				words.WriteString(e.Message + "\n")
			}
			if got := words.String(); !strings.Contains(got, "Panic of the kernel, at ") ||
				strings.Count(got, "words of the kernel") != 200 || !strings.Contains(got, "<0>the end") {
				t.Errorf("told:\n%s", got)
			}
			if _, err := os.Stat(record); os.IsNotExist(err) != (refuse == nil) {
				t.Errorf("the record: %v", err)
			}
		})
	}
}
