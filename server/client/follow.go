package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/server/doc"
)

// Filter says what to follow: a session, a machine, what a machine does in a session, or, with neither, everything.
type Filter struct {
	Session string
	Node    string // a machine, by any MAC address of its
	After   string // a cursor; empty: begin with the state that is
}

// Limits on how long a client waits for a server.
const (
	deaf     = 3 * doc.Alive // a stream on which nothing was heard for so long is dead
	maxTries = 60            // a second apart, before a server that does not answer is given up
)

// Watch is Follow of one session.
func (c *Client) Watch(ctx context.Context, id string, f func(doc.Line) error, broken func(error)) error {
	return c.Follow(ctx, Filter{Session: id}, f, broken)
}

// Follow calls f with each line; of a session, until it is over. When the connection or the server breaks, it goes on
// from the last cursor: what is followed outlives both. broken, if not nil, is told why. Where lines were lost, f is
// called with a line of the type doc.LineLost, and then with the state that is.
func (c *Client) Follow(ctx context.Context, fl Filter, f func(doc.Line) error, broken func(error)) error {
	if broken == nil {
		broken = func(error) {}
	}
	for tries := 0; ; {
		over, got, err := c.followOnce(ctx, &fl, f)
		var status *StatusError
		var mine *callbackError
		switch {
		case over:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &mine):
			return mine.err
		case errors.As(err, &status) && status.Code == http.StatusGone && fl.After != "":
			fl.After = ""
			if err := f(doc.Line{Type: doc.LineLost}); err != nil {
				return err
			}
			broken(err)
			continue
		case final(err):
			return err
		}
		if got {
			tries = 0
		}
		if tries++; tries > maxTries {
			return fmt.Errorf("following the server: %w", err)
		}
		broken(err)
		select {
		case <-time.After(c.Pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

type callbackError struct{ err error }

func (e *callbackError) Error() string { return e.err.Error() }

// followOnce follows until the connection ends, and moves the filter's cursor.
func (c *Client) followOnce(ctx context.Context, fl *Filter, f func(doc.Line) error) (over, got bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(deaf, func() { cancel(fmt.Errorf("nothing was heard from the server for %v", deaf)) })
	defer silence.Stop()
	q := url.Values{}
	for name, v := range map[string]string{"session": fl.Session, "node": fl.Node, "after": fl.After} {
		if v != "" {
			q.Set(name, v)
		}
	}
	resp, err := c.Do(ctx, "GET", "/v1/events?"+q.Encode(), nil)
	if err != nil {
		return false, false, err
	}
	defer resp.Body.Close()
	sc := bufio.NewScanner(resp.Body)
	sc.Buffer(nil, 16<<20)
	for sc.Scan() {
		silence.Reset(deaf)
		var l doc.Line
		if err := json.Unmarshal(sc.Bytes(), &l); err != nil {
			return false, got, fmt.Errorf("line is not understood: %w", err)
		}
		if !c.Exact {
			plain.Strings(&l, 0)
		}
		got = true
		over = over || fl.Session != "" && l.Session != nil && l.Session.ID == fl.Session && l.Session.Over()
		if err := f(l); err != nil {
			return false, got, &callbackError{err}
		}
		if l.Cursor != "" {
			fl.After = l.Cursor
		}
	}
	switch err = sc.Err(); {
	case err != nil:
		// The session may be over, but not all was told of it: what is missing comes after the cursor.
		return false, got, errors.Join(context.Cause(ctx), err)
	case !over:
		return false, got, errors.New("the server closed the connection")
	}
	return true, got, nil
}
