package cmd

import (
	"context"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/server/client"
	"github.com/diskcast/diskcast/server/cmd/ui"
	"github.com/diskcast/diskcast/server/doc"
)

// againPace is the least time between two printings of what changes.
const againPace = time.Second

// watched are the commands whose lists and shows are of things whose changes the server tells.
var watched = []string{"session", "repeat", "node", "machine", "group", "profile", "rule", "menu", "job"}

// untold are those of which the server tells none: they are asked for again and again.
var untold = []string{"image", "lease", "token"}

// addAgain gives these commands --watch.
func addAgain(e *env, root *cobra.Command) {
	for _, parent := range root.Commands() {
		again := e.again
		switch {
		case slices.Contains(untold, parent.Name()):
			again = e.asking
		case !slices.Contains(watched, parent.Name()):
			continue
		}
		for _, cmd := range parent.Commands() {
			if cmd.Name() != "list" && cmd.Name() != "show" {
				continue
			}
			once := cmd.RunE
			watch := cmd.Flags().Bool("watch", false, "print it again when something changes, until interrupted")
			cmd.RunE = func(cmd *cobra.Command, a []string) error {
				if !*watch {
					return once(cmd, a)
				}
				return again(cmd.Context(), func() error { return once(cmd, a) })
			}
		}
	}
}

// again prints what is, and prints it again when the server tells of a change, on a terminal in its place.
func (e *env) again(ctx context.Context, once func() error) error {
	c, err := e.client()
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	changed, ended := make(chan struct{}, 1), make(chan error, 1)
	go func() { // ends with ctx, at the latest when this function returns
		begun := false
		ended <- c.Follow(ctx, client.Filter{}, func(l doc.Line) error {
			switch {
			case l.Type == doc.LineLost: // the state that is comes anew
				begun = false
				return nil
			case (l.Type == doc.LineLive) == begun: // a sign of life, or the state before the first one
				return nil
			}
			begun = true
			select {
			case changed <- struct{}{}:
			default: // it is told already
			}
			return nil
		}, func(err error) { e.Warn(plain.Line(err.Error(), 0) + "; asking again") })
	}()
	for {
		select {
		case <-changed:
		case err := <-ended:
			return err
		}
		if f, ok := ui.Terminal(e.Out); ok {
			if _, err := io.WriteString(f, "\x1b[H\x1b[2J"); err != nil {
				return err
			}
		}
		if err := once(); err != nil {
			return err
		}
		select {
		case <-time.After(againPace):
		case <-ctx.Done():
		}
	}
}
