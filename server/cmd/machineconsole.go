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

	"github.com/diskcast/diskcast/internal/ansi"
	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/server/client"
	"github.com/diskcast/diskcast/server/doc"
)

func machineConsole(e *env) *cobra.Command {
	var take bool
	cmd := &cobra.Command{
		Use:   "console MACHINE",
		Short: "Work at a machine's serial console, by its BMC",
		Long: `Work at a machine's serial console, which its BMC brings by Serial over LAN: where its power is set up by
ipmi or redfish. Keys go as they are; ~. at the beginning of a line leaves, ~~ types one ~. What the machine prints is
shown as it is, but for what has a terminal do something else than draw.

A machine has one console at a time. --take takes it from somebody else, whose console then ends. The record of changes
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
	go func() { leave(e.typeAt(ctx, c, v.Machine)) }() // ends with ~., with the terminal, or with the program
	if v, err = printConsole(ctx, c, v, out); err == nil && v.Error != "" {
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

// printConsole prints what comes until the console ends.
func printConsole(ctx context.Context, c *client.Client, v *doc.Console, out io.Writer) (*doc.Console, error) {
	f := ansi.Filter{Form: ansi.Terminal}
	last := v
	for after, state := uint64(0), v.State; ; {
		v, err := c.ReadConsole(ctx, last.Machine, after, state)
		if err != nil {
			return last, err
		}
		if v.Lost > 0 && after > 0 {
			if _, err := fmt.Fprintf(out, "\r\n[%d bytes are lost]\r\n", v.Lost); err != nil {
				return v, err
			}
		}
		if _, err := out.Write(f.Write(v.Data)); err != nil {
			return v, err
		}
		last, after, state = v, v.Next, v.State
		if v.State == doc.ConsoleClosed && len(v.Data) == 0 {
			return v, nil
		}
	}
}

// typeAt types what is read from the terminal. Where that is none, its end is not the console's.
func (e *env) typeAt(ctx context.Context, c *client.Client, machine string) error {
	var t tilde
	buf := make([]byte, 1024)
	for {
		n, err := e.in.Read(buf)
		keys, left := t.pass(buf[:n])
		if len(keys) > 0 {
			if err := e.typeKeys(ctx, c, machine, keys); err != nil {
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

// typeKeys types keys, and again where the machine has not taken yet what was typed before.
func (e *env) typeKeys(ctx context.Context, c *client.Client, machine string, keys []byte) error {
	for {
		err := c.TypeConsole(ctx, machine, keys)
		var status *client.StatusError
		if !errors.As(err, &status) || status.Code != 503 {
			return err
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
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
