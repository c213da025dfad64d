package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// StatusError is an answer of the server that is not 2xx.
type StatusError struct {
	Op   string // GET /v1/...
	Code int
	Text string // the server's words
}

func (e *StatusError) Error() string {
	msg := fmt.Sprintf("%s: the server answered %d %s", e.Op, e.Code, http.StatusText(e.Code))
	if e.Text != "" {
		msg += ": " + e.Text
	}
	return msg
}

// final tells whether more tries cannot change the answer.
func (e *StatusError) final() bool {
	switch e.Code {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusRequestTimeout, http.StatusTooEarly,
		http.StatusTooManyRequests:
		return false
	}
	return e.Code < 500
}

// permanent marks an error that more tries cannot change.
type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }

// errAgain asks retry for another attempt at once.
var errAgain = errors.New("again")

// retry runs attempt until it succeeds, fails for good, or ctx ends.
func (c *Client) retry(ctx context.Context, what string, attempt func(context.Context) error) error {
	pause := c.o.Backoff
	var last error // what the operator wants to know when ctx ends while it is tried again
	ended := func() error {
		if last == nil {
			return fmt.Errorf("%s: %w", what, context.Cause(ctx))
		}
		return fmt.Errorf("%s: %w (last: %w)", what, context.Cause(ctx), last)
	}
	for {
		err := attempt(ctx)
		switch {
		case err == nil:
			c.away.back()
			return nil
		case ctx.Err() != nil:
			return ended()
		case errors.Is(err, errAgain):
			continue
		}
		var p permanent
		if errors.As(err, &p) {
			return p.error
		}
		var status *StatusError
		if errors.As(err, &status) && status.final() {
			return err
		}
		c.away.failed(what, err)
		last = err
		// Half of the pause is random, so that the nodes of a room do not come back as one.
		t := time.NewTimer(pause/2 + rand.N(pause/2+1))
		select {
		case <-ctx.Done():
			t.Stop()
			return ended()
		case <-t.C:
		}
		pause = min(2*pause, c.o.MaxBackoff)
	}
}

// away keeps the log readable while the server does not answer: several goroutines fail at once and often,
// the log gets a line at first, one every half minute, and one when it is over.
type away struct {
	log    *slog.Logger
	server string

	mu          sync.Mutex
	since, said time.Time
}

const sayAgain = 30 * time.Second

func (a *away) failed(what string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	if a.since.IsZero() {
		a.since = now
	} else if now.Sub(a.said) < sayAgain {
		return
	}
	a.said = now
	msg := "the server does not answer; trying again until it does"
	if errors.Is(err, ErrPin) {
		msg = "another server answers at this address; trying again until ours does"
	}
	a.log.Warn(msg, "server", a.server, "for", what, "error", err, "since", now.Sub(a.since).Round(time.Second))
}

func (a *away) back() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.since.IsZero() {
		a.log.Info("the server answers again", "server", a.server, "after",
			time.Since(a.since).Round(100*time.Millisecond))
		a.since = time.Time{}
	}
}
