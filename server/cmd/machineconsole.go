package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/server/client"
)

func machineConsole(e *env) *cobra.Command {
	var take bool
	cmd := &cobra.Command{
		Use:   "console MACHINE",
		Short: "Work at a machine's serial console, by its BMC",
		Long: `Work at a machine's serial console, which its BMC brings by Serial over LAN: where its power is set up by
ipmi or redfish. Keys go as they are; ~. at the beginning of a line leaves, ~~ types one ~. What the machine prints is
shown as it is, but for what has a terminal do something else than draw.

A console that breaks off, since packets were lost or the server restarts, is opened again by itself, for two minutes
at most, and a line in brackets says so: what the machine printed meanwhile is lost, and what was typed last may be;
nothing is typed twice.

A machine has one console at a time. --take takes it from somebody else, whose console then ends, also where they had it
from the BMC by another program. The record of changes
has who opened it; what is typed is nowhere kept.`,
		Example: "  diskcast machine console lab-07\n  diskcast machine console lab-07 --take",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, a []string) error {
			if e.JSON {
				return usage("a console has no document: programs ask the API (docs/operator-api.md)")
			}
			c, err := e.client()
			if err != nil {
				return err
			}
			return e.workAt(cmd.Context(), c, a[0], take)
		},
	}
	cmd.Flags().BoolVar(&take, "take", false, "take it from somebody else")
	return cmd
}

// calm has a terminal be as it was before a machine set it: its modes, colours, cursor and the usual screen.
const calm = "\x1b[?1049l\x1b[?1000;1002;1003;1006;2004l\x1b[?25h\x1b[?1l\x1b>\x1b(B\x1b[0m\r\n"

// workAt connects the terminal with a machine's console until it is left or ends.
func (e *env) workAt(ctx context.Context, c *client.Client, machine string, take bool) error {
	v, err := c.OpenConsole(ctx, machine, take)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		err := c.CloseConsole(ctx, v.Machine)
		var status *client.StatusError
		if err != nil && !errors.As(err, &status) { // it ended already, or somebody else has it now
			e.Note("the console was not closed (" + err.Error() + "): it ends by itself when nobody looks at it")
		}
	}()
	e.Note(fmt.Sprintf("the console of %s is opened; ~. at the beginning of a line leaves", machine))
	out := e.Out
	if w, ok := out.(*plain.Writer); ok { // what comes is filtered here, and is no text
		out = w.Unwrap()
	}
	if f, ok := e.in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		was, err := term.MakeRaw(int(f.Fd()))
		if err != nil {
			return fmt.Errorf("the terminal cannot be made raw: %w", err)
		}
		defer func() {
			_, _ = io.WriteString(out, calm)
			_ = term.Restore(int(f.Fd()), was)
		}()
	}
	ctx, leave := context.WithCancelCause(ctx)
	defer leave(nil)
	at := &place{c: c, out: out, machine: v.Machine, waits: openAgain}
	go func() { leave(e.typeAt(ctx, at)) }() // ends with ~., with the terminal, or with the program
	if v, err = at.print(ctx, v); err == nil && v.Error != "" {
		err = fmt.Errorf("the console of %s has ended: %s", machine, v.Error)
	}
	if err == nil && ctx.Err() == nil {
		e.Note("the console was closed elsewhere, by one who has the same token")
	}
	if why := context.Cause(ctx); ctx.Err() != nil && !errors.Is(why, context.Canceled) {
		err = why
	}
	if errors.Is(err, errLeft) {
		return nil
	}
	return err
}

// errLeft is why a console ends that was left.
var errLeft = errors.New("the console was left")

// typeAt types what is read from the terminal. Where that is none, its end is not the console's.
func (e *env) typeAt(ctx context.Context, at *place) error {
	var t tilde
	buf := make([]byte, 1024)
	for {
		n, err := e.in.Read(buf)
		keys, left := t.pass(buf[:n])
		if len(keys) > 0 {
			if err := at.typed(ctx, keys); err != nil {
				return err
			}
		}
		switch {
		case left:
			return errLeft
		case err != nil:
			<-ctx.Done()
			return nil
		}
	}
}

// tilde finds ~. and ~~ at the beginning of a line, as ssh does.
type tilde struct {
	inside  bool // of a line
	pending bool // a ~ that may begin one of them
}

// pass returns the keys that are typed, and whether they were left by ~. .
func (t *tilde) pass(b []byte) (keys []byte, left bool) {
	for _, c := range b {
		if t.pending {
			t.pending = false
			switch c {
			case '.':
				return keys, true
			case '~':
			default:
				keys = append(keys, '~')
			}
		} else if c == '~' && !t.inside {
			t.pending = true
			continue
		}
		keys = append(keys, c)
		t.inside = c != '\r' && c != '\n'
	}
	return keys, false
}
