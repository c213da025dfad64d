package menu

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/diskcast/diskcast/internal/session"
)

// Console is a terminal on which the menu is shown and chosen from. Close ends a Read that waits.
type Console interface{ io.ReadWriteCloser }

// Options of Run.
type Options struct {
	// Consoles opens them; those that cannot be opened are left out.
	Consoles func() []Console
	// Choose tells the server what was chosen.
	Choose func(ctx context.Context, c *session.MenuChoice) (*session.MenuReply, error)
	// Restart restarts the machine; it returns when it does not obey.
	Restart func(ctx context.Context, why string)
	// Answer bounds the wait for the server's answer; 0 means 20 s.
	Answer time.Duration
	Log    *slog.Logger // nil discards
}

// Run shows the menu until ctx ends. It returns when the consoles are closed.
func Run(ctx context.Context, m *session.Menu, o Options) {
	if o.Answer <= 0 {
		o.Answer = 20 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithCancel(ctx)
	consoles := o.Consoles()
	if len(consoles) == 0 {
		o.Log.Warn("the menu has no console to be shown on; its default comes by itself", "default", m.Default)
	}
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	keys := make(chan byte)
	answers := make(chan answer, 1) // the server is asked one thing at a time
	for _, c := range consoles {
		defer c.Close()
		all.Go(func() { read(ctx, c, keys) }) // ends with the console, or ctx
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	s := newScreen(m)
	do := func(e effect) {
		for _, c := range consoles {
			// One that takes nothing is no reason to stop: who does not see the menu does not choose.
			_, _ = io.WriteString(c, e.print)
		}
		if e.ask != nil {
			all.Go(func() { answers <- o.ask(ctx, e.ask) }) // ends with ctx at the latest
		}
		if e.restart != "" {
			o.Restart(ctx, e.restart)
		}
	}
	do(s.step(started{}))
	for {
		select {
		case <-ctx.Done():
			return
		case b := <-keys:
			do(s.step(key(b)))
		case <-tick.C:
			do(s.step(second{}))
		case a := <-answers:
			if a.err != nil {
				o.Log.Warn("what was chosen at the console is not done", "error", a.err)
			}
			do(s.step(a))
		}
	}
}

// ask asks the server for a while.
func (o *Options) ask(ctx context.Context, c *session.MenuChoice) answer {
	ctx, cancel := context.WithTimeout(ctx, o.Answer)
	defer cancel()
	reply, err := o.Choose(ctx, c)
	return answer{reply, err, errors.Is(err, context.DeadlineExceeded)}
}

// read hands over what is typed.
func read(ctx context.Context, c Console, keys chan<- byte) {
	buf := make([]byte, 64)
	for {
		n, err := c.Read(buf)
		for _, b := range buf[:n] {
			select {
			case keys <- b:
			case <-ctx.Done():
				return
			}
		}
		if err != nil {
			return
		}
	}
}
