package cmd

import (
	"bytes"
	"context"
	"errors"
	"io"
	"time"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/server/client"
	"github.com/diskcast/diskcast/server/cmd/ui"
	"github.com/diskcast/diskcast/server/identity"
)

// askPace is how often what no server tells the changes of is asked for.
const askPace = 3 * time.Second

// asking prints what is, and prints it again when its document is another one, on a terminal in its place.
func (e *env) asking(ctx context.Context, once func() error) error {
	var last []byte
	for begun := false; ; begun = true {
		now, err := e.document(once)
		var status *client.StatusError
		var pin *identity.PinError
		switch {
		case err != nil && ctx.Err() != nil:
			return ctx.Err()
		case err != nil && (!begun || errors.As(err, &status) || errors.As(err, &pin)):
			return err
		case err != nil: // the server is started anew, say
			e.Warn(plain.Line(err.Error(), 0) + "; asking again")
		case !begun || !bytes.Equal(now, last):
			if f, ok := ui.Terminal(e.Out); ok {
				if _, err := io.WriteString(f, "\x1b[H\x1b[2J"); err != nil {
					return err
				}
			}
			if err := once(); err != nil {
				return err
			}
			last = now
		}
		select {
		case <-time.After(e.pace):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// document is what a command prints as JSON.
func (e *env) document(once func() error) ([]byte, error) {
	was := e.UI
	defer func() { e.UI = was }()
	var b bytes.Buffer
	e.UI = ui.UI{Out: &b, Err: was.Err, JSON: true}
	err := once()
	return b.Bytes(), err
}
