package desk

import (
	"context"
	"sync"
	"time"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/power"
)

// What sessions ask of machines' power stands in one line, whatever session it is of: so many machines at once, and a
// gap between the starts of two, for the fuses and the network are the same for all.

// errand is one thing that is asked of a machine for somebody else.
type errand struct {
	key, want string
	machine   Machine
	spare     func() string
	done      func(doc.PowerRow)
}

// line is the errands that wait, and those in work.
type line struct {
	mu      sync.Mutex
	waiting []*errand
	known   map[string]bool // by key: waiting or in work
	kick    chan struct{}   // holds one token when there is something new
}

func newLine() line { return line{known: map[string]bool{}, kick: make(chan struct{}, 1)} }

// Switch has a machine be on (doc.PowerOn, doc.PowerCycle: started from the network, see power.Machine.Bring) or off,
// in its turn, and calls done with what came of it. A key that waits or is in work already is not taken again. Spare is
// asked right before the machine's power is taken away, and says why it must not be. Done is never called when the
// server ends before anything is known.
func (d *Desk) Switch(key string, m doc.Machine, want string, spare func() string, done func(doc.PowerRow)) {
	l := &d.line
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.known[key] {
		return
	}
	l.known[key] = true
	l.waiting = append(l.waiting, &errand{key: key, want: want, spare: spare, done: done,
		machine: Machine{ID: m.ID, Name: m.Name, MACs: m.Boots}})
	select {
	case l.kick <- struct{}{}:
	default:
	}
}

// Drop takes back what was asked under a key, if it has not begun; what has goes on to its end.
func (d *Desk) Drop(key string) {
	l := &d.line
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, e := range l.waiting {
		if e.key == key {
			l.waiting = append(l.waiting[:i:i], l.waiting[i+1:]...)
			delete(l.known, key)
			return
		}
	}
}

// next is the errand whose turn it is; nil when ctx has ended.
func (l *line) next(ctx context.Context) *errand {
	for {
		l.mu.Lock()
		if len(l.waiting) > 0 {
			e := l.waiting[0]
			l.waiting = l.waiting[1:]
			l.mu.Unlock()
			return e
		}
		l.mu.Unlock()
		select {
		case <-l.kick:
		case <-ctx.Done():
			return nil
		}
	}
}

// Run implements task.Task.
func (d *Desk) Run(ctx context.Context) error {
	var all sync.WaitGroup
	defer all.Wait()
	// Ends with ctx.
	all.Go(func() { d.serveLine(ctx) })
	return d.Crew.Run(ctx)
}

func (d *Desk) serveLine(ctx context.Context) {
	var all sync.WaitGroup
	defer all.Wait()
	slots := make(chan struct{}, atOnce)
	for {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		e := d.line.next(ctx)
		if e == nil || ctx.Err() != nil {
			return
		}
		// Ends with its machine, which power.Timing bounds, or with ctx.
		all.Go(func() {
			defer func() { <-slots }()
			d.errand(ctx, e)
		})
		t := time.NewTimer(gap)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return
		}
	}
}

func (d *Desk) errand(ctx context.Context, e *errand) {
	o, err := d.with(ctx, e.machine, func(x *power.Machine) (*power.Outcome, error) {
		if e.want != doc.PowerOff {
			return x.Bring(ctx, e.want == doc.PowerCycle, e.spare)
		}
		if why := e.spare(); why != "" {
			s, err := x.State(ctx)
			return &power.Outcome{State: s, Note: "it was left alone, for " + why}, err
		}
		return x.Off(ctx)
	})
	d.line.mu.Lock()
	delete(d.line.known, e.key)
	d.line.mu.Unlock()
	if ctx.Err() != nil {
		return // it is asked again when the server starts
	}
	row := doc.PowerRow{Machine: e.machine.ID, Name: e.machine.Name}
	fill(&row, o, err, false)
	if err != nil {
		row.Words = plain.Line(d.where(ctx, e.machine)+": "+err.Error(), 500)
	}
	e.done(row)
}

// where is how a machine's power is reached, in words.
func (d *Desk) where(ctx context.Context, m Machine) string {
	r, err := d.read(ctx, m)
	switch {
	case err != nil:
		return "machine " + m.ID
	case r.Address == "":
		return r.Driver
	}
	return r.Driver + " " + r.Address
}
