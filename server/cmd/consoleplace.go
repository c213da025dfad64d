package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/diskcast/diskcast/internal/ansi"
	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/server/client"
	"github.com/diskcast/diskcast/server/doc"
)

// openAgain are the waits before a console whose server is gone is opened again: two minutes, in which a server
// restarts and a BMC ends the session that it had before.
var openAgain = []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 15 * time.Second,
	15 * time.Second, 15 * time.Second, 15 * time.Second, 15 * time.Second, 15 * time.Second, 15 * time.Second}

// place is a console that somebody works at.
type place struct {
	c       *client.Client
	machine string
	waits   []time.Duration

	mu   sync.Mutex
	out  io.Writer
	lost bool // something was not typed since it was opened, which is said
}

func (p *place) write(b []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, err := p.out.Write(b)
	return err
}

// say writes a line of ours among what the machine prints.
func (p *place) say(format string, a ...any) error {
	return p.write([]byte("\r\n[diskcast: " + plain.Line(fmt.Sprintf(format, a...), 0) + "]\r\n"))
}

// print prints what comes until the console ends, and opens it again where its server was gone.
func (p *place) print(ctx context.Context, v *doc.Console) (*doc.Console, error) {
	f := ansi.Filter{Form: ansi.Terminal}
	last := v
	for after, state := uint64(0), v.State; ; {
		v, err := p.c.ReadConsole(ctx, p.machine, after, state)
		if err == nil && v.Lost > 0 && after > 0 {
			err = p.write(fmt.Appendf(nil, "\r\n[%d bytes are lost]\r\n", v.Lost))
			if err != nil {
				return v, err
			}
		}
		if err == nil {
			if err := p.write(f.Write(v.Data)); err != nil {
				return v, err
			}
			if v.State != doc.ConsoleClosed || len(v.Data) > 0 {
				last, after, state = v, v.Next, v.State
				continue
			}
		}
		if !gone(v, err) || ctx.Err() != nil {
			if err != nil {
				v = last
			}
			return v, err
		}
		if last, err = p.open(ctx, last, err); err != nil {
			return last, err
		}
		f, after, state = ansi.Filter{Form: ansi.Terminal}, 0, last.State
	}
}

// gone reports whether a console is not there since its server is not, or has been started anew.
func gone(v *doc.Console, err error) bool {
	var status *client.StatusError
	switch {
	case err == nil:
		return v.Again
	case errors.As(err, &status):
		return status.Code == http.StatusNotFound || status.Code >= http.StatusInternalServerError
	}
	return true
}

// open opens the console again. Somebody else's is not taken.
func (p *place) open(ctx context.Context, last *doc.Console, why error) (*doc.Console, error) {
	began, words := time.Now(), "the server ended"
	if why != nil {
		words = why.Error()
	}
	if err := p.say("the console broke off (%s); it is opened again. What was typed last may not have come",
		words); err != nil {
		return last, err
	}
	for _, wait := range p.waits {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return last, ctx.Err()
		}
		now, err := p.c.OpenConsole(ctx, p.machine, false)
		if err == nil {
			p.mu.Lock()
			p.lost = false
			p.mu.Unlock()
			return now, p.say("it is open again after %v; what the machine printed meanwhile is lost",
				time.Since(began).Round(time.Second))
		}
		why = err
		// The BMC may hold the console of before for a minute, which is a refusal.
		if status := (*client.StatusError)(nil); errors.As(err, &status) && status.Code < 500 &&
			status.Code != http.StatusUnprocessableEntity {
			return last, err
		}
	}
	return last, fmt.Errorf("it broke off, and was not opened again in %v: %w", time.Since(began).Round(time.Second),
		why)
}

// typed types keys, and again where the machine has not taken yet what was typed before, or its console is being opened
// again by the server: then nothing of them was typed. Where that is not known they are not typed twice.
func (p *place) typed(ctx context.Context, keys []byte) error {
	for {
		err := p.c.TypeConsole(ctx, p.machine, keys)
		var status *client.StatusError
		switch {
		case err == nil || ctx.Err() != nil:
			return nil
		case !errors.As(err, &status), status.Code == http.StatusNotFound:
			return p.untyped()
		case status.Code != http.StatusServiceUnavailable:
			return err
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return nil
		}
	}
}

// untyped says, once, that keys may not have come.
func (p *place) untyped() error {
	p.mu.Lock()
	said := p.lost
	p.lost = true
	p.mu.Unlock()
	if said {
		return nil
	}
	return p.say("the server does not answer: what is typed now does not come")
}
