package cmd

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/server/engine"
	"github.com/diskcast/diskcast/server/hooks"
)

// TestSessionHooks has the owner's programs run for sessions: what one prints is seen, one that fails before a session
// ends that, one that fails afterwards is a warning, and nothing that the owner did not name is run.
func TestSessionHooks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hook")
	if err := os.WriteFile(path, []byte("#!/bin/sh\necho \"$1 for $DISKCAST_SESSION\"; exit $2\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	all, err := hooks.ParseAll([]string{"dns=" + path + " names 3", "mail=" + path + " letters 4"})
	if err != nil {
		t.Fatal(err)
	}
	r := hooks.New(all, time.Minute, slog.New(slog.DiscardHandler))
	o := newOffice(t, func(_ *office, cfg *engine.Config) { cfg.Hooks = r })
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() { stop(); <-done })
	do := func(code int, want string, args ...string) {
		t.Helper()
		got, out, said := o.run(args...)
		if got != code || !strings.Contains(out+said, want) {
			t.Errorf("%v: %d, %s%s; want %d and %q", args, got, out, said, code, want)
		}
	}
	node := []string{"session", "create", "--image", "debian", "--nodes", "52:54:00:00:00:09"}
	do(exitSession,
		"hook dns, which runs before it, failed: exit status 3: names for s1; nothing of the session was begun",
		append(node, "--before", "dns", "--watch")...)
	do(0, "names for s1", "session", "show", "s1")
	do(exitUsage, "small letters", append(node, "--before", "/bin/sh")...)
	do(exitFailed, "no hook dnss: did you mean dns?", append(node, "--before", "dnss")...)
	do(0, "profile", "profile", "set", "lab", "--image", "debian", "--after", "mail")
	do(0, "s2", "session", "create", "--profile", "lab", "--nodes", "52:54:00:00:00:09")
	do(0, "cancelled", "session", "cancel", "s2")
	do(exitSession, "warning: Hook mail, which runs after the session, failed: exit status 4: letters for s2",
		"session", "watch",
		"s2")
	do(0, "s3", "session", "create", "--profile", "lab", "--nodes", "52:54:00:00:00:09", "--after", "")
	do(0, "cancelled", "session", "cancel", "s3")
	if _, out, _ := o.run("session", "show", "s3"); strings.Contains(out, "hook") {
		t.Errorf("the hook of the profile was taken away, and ran: %s", out)
	}
}
