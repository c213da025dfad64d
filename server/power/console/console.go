// Package console keeps the serial consoles of machines for who works at them from afar: one a machine, what it printed
// last, and an end where nobody looks any more.
package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/diskcast/diskcast/internal/ansi"
	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/power"
	"github.com/diskcast/diskcast/server/serve/task"
)

// Bounds of consoles.
const (
	maxOpen   = 32               // at once, of all machines
	maxEnded  = 64               // that are still shown
	maxIdle   = 90 * time.Second // that nobody looks at one: a BMC has few sessions, and somebody else may want it
	maxQueued = 16 << 10         // bytes that were typed and that the BMC has not taken
)

// Errors of consoles.
var (
	ErrNone  = errors.New("no console of it is open")
	ErrOther = errors.New("somebody else has its console")
	ErrMany  = errors.New("as many consoles are open as may be at once")
	ErrFull  = errors.New("the machine has not taken yet what was typed before")
	ErrGap   = errors.New("its console broke off and is being opened again: nothing was typed")
)

// Attach is a machine's console: see power.Driver.
type Attach func(ctx context.Context, in io.Reader, out io.Writer, opened func()) error

// Consoles are a server's. It is a task; consoles end with it.
type Consoles struct {
	*task.Crew
	log  *slog.Logger
	now  func() time.Time
	idle time.Duration
	// waits are those before a console that broke off is opened again.
	waits []time.Duration

	mu   sync.Mutex
	seq  uint64
	open map[string]*console // by machine; also those that have ended
}

var _ task.Task = (*Consoles)(nil)

// New returns a server's consoles.
func New(log *slog.Logger) *Consoles {
	return &Consoles{Crew: task.NewCrew(), log: log, now: time.Now, idle: maxIdle, waits: waits,
		open: map[string]*console{}}
}

// Name implements task.Task.
func (c *Consoles) Name() string { return "consoles" }

// console is one machine's. Its fields are guarded by Consoles.mu.
type console struct {
	doc.Console
	seq     uint64
	raw     ring
	text    ring
	filter  ansi.Filter
	keys    *keyboard     // of the BMC's present session
	gone    chan struct{} // closed when it has ended
	gap     time.Time     // since when it is broken off; zero: it is not
	stop    context.CancelFunc
	why     string      // it is stopped; empty: by who opened it
	over    *time.Timer // ends it where nobody looks
	changed chan struct{}
}

// Open opens a machine's console. Who has it open already gets that; somebody else's is taken only if that is asked
// for.
func (c *Consoles) Open(machine, by string, take bool, attach Attach) (*doc.Console, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if x := c.open[machine]; x != nil && x.State != doc.ConsoleClosed {
		switch {
		case x.By == by && !take:
			return x.view(), nil
		case !take:
			return nil, fmt.Errorf("%w: %s, since %s", ErrOther, x.By, x.Opened.Format(time.RFC3339))
		}
		x.end(by + " took it")
	}
	if n := c.count(); n >= maxOpen {
		return nil, fmt.Errorf("%w (%d): close one", ErrMany, n)
	}
	c.seq++
	x := &console{seq: c.seq, changed: make(chan struct{}), keys: newKeyboard(), gone: make(chan struct{}),
		Console: doc.Console{V: session.Version, Machine: machine, State: doc.ConsoleOpening, By: by,
			Opened: c.now().UTC()}}
	before := c.open[machine]
	stop, err := c.Go(func(ctx context.Context) {
		if before != nil {
			before.wait(ctx) // a BMC has one console: the one before has to be let go of
		}
		c.work(ctx, x, attach)
	})
	if err != nil {
		return nil, err
	}
	x.stop = stop
	x.over = time.AfterFunc(c.idle, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		x.end(fmt.Sprintf("nobody looked at it for %v", c.idle))
	})
	c.open[machine] = x
	c.forget()
	c.log.Info("a console is opened", "machine", machine, "by", by)
	return x.view(), nil
}

// count is how many are open. The caller holds the lock.
func (c *Consoles) count() (n int) {
	for _, x := range c.open {
		if x.State != doc.ConsoleClosed {
			n++
		}
	}
	return n
}

// forget drops the oldest that have ended, where there are many. The caller holds the lock.
func (c *Consoles) forget() {
	for len(c.open)-c.count() > maxEnded {
		var oldest *console
		for _, x := range c.open {
			if x.State == doc.ConsoleClosed && (oldest == nil || x.seq < oldest.seq) {
				oldest = x
			}
		}
		delete(c.open, oldest.Machine)
	}
}

// end has a console end; why, unless it ended already. The caller holds the lock.
func (x *console) end(why string) {
	if x.State != doc.ConsoleClosed && x.why == "" {
		x.why = why
	}
	x.stop()
}

// work is a console from its opening to its end.
func (c *Consoles) work(ctx context.Context, x *console, attach Attach) {
	defer close(x.gone)
	err := c.attendAll(ctx, x, attach)
	c.mu.Lock()
	defer c.mu.Unlock()
	x.over.Stop()
	x.stop()
	x.State, x.Ended, x.Error = doc.ConsoleClosed, c.now().UTC(), ""
	switch {
	case x.why != "":
		x.Error = x.why
	case ctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled)):
		x.Error, x.Again = "the server ended", true
	case err != nil:
		x.Error = plain.Line(err.Error(), 0)
	}
	if x.why == closed {
		x.Error = ""
	}
	x.tell()
	c.log.Info("a console has ended", "machine", x.Machine, "by", x.By, "printed", x.raw.end(), "why", x.Error)
}

// closed is why a console ends whose owner closed it.
const closed = "closed"

// tell wakes those who wait. The caller holds the lock.
func (x *console) tell() {
	close(x.changed)
	x.changed = make(chan struct{})
}

func (x *console) view() *doc.Console {
	v := x.Console
	return &v
}

// mine finds the console that somebody has opened. The caller holds the lock.
func (c *Consoles) mine(machine, by string) (*console, error) {
	x := c.open[machine]
	switch {
	case x == nil:
		return nil, ErrNone
	case x.By != by:
		return nil, fmt.Errorf("%w: %s", ErrOther, x.By)
	}
	return x, nil
}

// Read returns what a console printed behind a place, as soon as there is any, or the console has changed its state
// from was, or ctx ends. text says in which form. Whoever reads keeps it open.
func (c *Consoles) Read(ctx context.Context, machine, by string, after uint64, text bool, was string) (*doc.Console,
	error) {
	for {
		c.mu.Lock()
		x, err := c.mine(machine, by)
		if err != nil {
			c.mu.Unlock()
			return nil, err
		}
		if x.State != doc.ConsoleClosed {
			x.over.Reset(c.idle)
		}
		v, changed := x.view(), x.changed
		if text {
			v.Text, v.Next, v.Lost = x.text.text(after)
		} else {
			v.Data, v.Next, v.Lost = x.raw.bytes(after)
		}
		c.mu.Unlock()
		if v.Next != after || v.State == doc.ConsoleClosed || was != "" && v.State != was {
			return v, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return v, nil
		}
	}
}

// Type types at a console.
func (c *Consoles) Type(machine, by string, keys []byte) error {
	c.mu.Lock()
	x, err := c.mine(machine, by)
	switch {
	case err != nil:
	case x.State == doc.ConsoleClosed:
		err = ErrNone
	case !x.gap.IsZero():
		err = ErrGap
	}
	var keyboard *keyboard
	if x != nil {
		keyboard = x.keys
	}
	c.mu.Unlock()
	if err != nil {
		return err
	}
	return keyboard.add(keys)
}

// Close ends a console of one's own: somebody else's, which may just have been taken, is not ended by who had it.
func (c *Consoles) Close(machine, by string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	x, err := c.mine(machine, by)
	switch {
	case err != nil:
		return err
	case x.State == doc.ConsoleClosed:
		return ErrNone
	}
	x.end(closed)
	return nil
}

// writer is an io.Writer of a function.
type writer func([]byte)

func (w writer) Write(b []byte) (int, error) {
	w(b)
	return len(b), nil
}

// left is what a keyboard ends with.
var left = power.ErrConsoleEnds
