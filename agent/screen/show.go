package screen

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/diskcast/diskcast/agent/node"
	"github.com/diskcast/diskcast/internal/session"
)

// Terminal is a console that understands control sequences.
type Terminal interface {
	io.WriteCloser
	// Size is that of the terminal in characters.
	Size() (columns, rows int)
}

// Options of New.
type Options struct {
	// Terminals opens them, when work begins; they are closed at its end.
	Terminals func() []Terminal
	// Machine is what the machine is called where a descriptor does not say it.
	Machine func() string
	// Since is the time since the node's kernel started.
	Since func() time.Duration
	Log   *slog.Logger // nil discards
}

// every is how often the screen is drawn anew.
const every = time.Second

// Screen shows what a node does while it does it. It is safe for several goroutines.
type Screen struct {
	o Options

	mu    sync.Mutex
	state *State // nil: the node has nothing to do
}

// New returns a screen that shows nothing yet.
func New(o Options) *Screen {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Screen{o: o}
}

// Watch takes each of the node's events. It does not wait for a terminal.
func (s *Screen) Watch(e *session.Event) {
	if e.Step == session.StepLog {
		return // it stands below the screen
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != nil {
		s.state.Take(e, s.o.Since())
	}
}

// Around is the action with the screen while it works; doing says what that is.
func (s *Screen) Around(a node.Action, doing func(d *session.Descriptor) string) node.Action {
	return func(d *session.Descriptor) node.Job { return &job{Job: a(d), s: s, d: d, doing: doing(d)} }
}

type job struct {
	node.Job
	s     *Screen
	d     *session.Descriptor
	doing string
}

// Run implements node.Job.
func (j *job) Run(ctx context.Context) (err error) {
	name := j.d.Name
	if name == "" {
		name = j.s.o.Machine()
	}
	end := j.s.begin(&State{Machine: name, Doing: j.doing, share: -1})
	well := false
	defer func() { // also of a panic
		why := "the agent is broken"
		if err != nil {
			why = err.Error()
		}
		if !well && ctx.Err() == nil {
			j.s.Watch(&session.Event{Step: session.StepFailed, Level: session.Error, Message: why})
		}
		end()
	}()
	err = j.Job.Run(ctx)
	well = err == nil
	return err
}

// begin shows a state until the function that is returned is called; that draws it a last time.
func (s *Screen) begin(st *State) (end func()) {
	s.mu.Lock()
	s.state = st
	s.mu.Unlock()
	over, ended := make(chan struct{}), make(chan struct{})
	go func() { // ends with the call of end
		defer close(ended)
		s.show(over)
	}()
	return func() {
		close(over)
		<-ended
		s.mu.Lock()
		s.state = nil
		s.mu.Unlock()
	}
}

// shown is a terminal with what stands on it.
type shown struct {
	Terminal
	drawing
	gone bool // it takes nothing: the far end of a serial line holds it
}

func (t *shown) put(text string) {
	if _, err := io.WriteString(t.Terminal, text); err != nil {
		t.gone = true
	}
}

func (s *Screen) show(over <-chan struct{}) {
	var all []*shown
	for _, t := range s.o.Terminals() {
		columns, rows := t.Size()
		x := &shown{Terminal: t, drawing: drawing{columns: columns, rows: rows}}
		if columns < leastColumns || rows < leastRows {
			t.Close()
			continue
		}
		all = append(all, x)
		x.put(x.begin())
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for last := false; !last; {
		select {
		case <-over:
			last = true
		case <-tick.C:
		}
		for _, t := range all {
			if t.gone {
				continue
			}
			s.mu.Lock()
			lines := s.state.Frame(t.columns)
			s.mu.Unlock()
			t.put(t.frame(lines))
		}
	}
	for _, t := range all {
		t.put(t.end())
		if err := t.Close(); err != nil {
			s.o.Log.Debug("closing a console", "err", err)
		}
	}
}
