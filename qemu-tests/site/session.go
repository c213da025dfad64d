package site

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
)

// View is what `diskcast session watch --json` has told so far.
type View struct {
	Session doc.Session
	Parts   map[string]doc.Part // by node
	Events  []doc.Event
}

// Messages are those of all events of a step, over all nodes.
func (v *View) Messages(step string) []string {
	var out []string
	for _, e := range v.Events {
		if e.Event.Step == step {
			out = append(out, e.Node+": "+e.Event.Message)
		}
	}
	return out
}

// Session is a session that is being watched.
type Session struct {
	ID   string
	site *Site
	stop context.CancelFunc
	done chan struct{}

	mu      sync.Mutex
	view    View
	changed chan struct{}
	err     error
}

// Create makes a session with `diskcast session create` and watches it until it is over, ctx ends or Stop is called.
func (s *Site) Create(ctx context.Context, args ...string) (*Session, error) {
	return s.begin(ctx, "create", args)
}

// Erase runs `diskcast session erase` with the arguments, and follows the session.
func (s *Site) Erase(ctx context.Context, args ...string) (*Session, error) {
	return s.begin(ctx, "erase", args)
}

func (s *Site) begin(ctx context.Context, command string, args []string) (*Session, error) {
	var made doc.Session
	if err := s.Ask(ctx, &made, append([]string{"session", command}, args...)...); err != nil {
		return nil, err
	}
	if made.ID == "" {
		return nil, fmt.Errorf("session %s told no id", command)
	}
	return s.follow(ctx, made), nil
}

// Follow watches a session that somebody else makes, from when it is there.
func (s *Site) Follow(ctx context.Context, id string) *Session {
	return s.follow(ctx, doc.Session{ID: id})
}

func (s *Site) follow(ctx context.Context, of doc.Session) *Session {
	watch, stop := context.WithCancel(context.WithoutCancel(ctx))
	se := &Session{ID: of.ID, site: s, stop: stop, done: make(chan struct{}), changed: make(chan struct{}),
		view: View{Session: of, Parts: map[string]doc.Part{}}}
	go se.watch(watch)
	return se
}

// Stop ends the watching, not the session.
func (se *Session) Stop() {
	se.stop()
	<-se.done
}

// watch runs the operator's watch command, and again when it ends before the session does: the server may be away.
func (se *Session) watch(ctx context.Context) {
	defer close(se.done)
	for ctx.Err() == nil {
		err := se.watchOnce(ctx)
		v := se.View()
		if v.Session.Over() {
			return
		}
		se.mu.Lock()
		se.err = err
		se.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-time.After(300 * time.Millisecond):
		}
	}
}

func (se *Session) watchOnce(ctx context.Context) error {
	args := append([]string{"session", "watch", se.ID, "--json"}, se.site.where()...)
	cmd := se.site.command(ctx, args...)
	last := &lastWords{}
	cmd.Stderr = last
	r, w := io.Pipe()
	cmd.Stdout = w
	if err := se.site.Lab.Start(cmd); err != nil {
		return err
	}
	go func() { // ends with the command
		err := cmd.Wait()
		if err != nil {
			err = fmt.Errorf("session watch: %w: %s", err, last)
		}
		w.CloseWithError(err)
	}()
	dec := json.NewDecoder(r)
	for {
		var l doc.Line
		if err := dec.Decode(&l); err != nil {
			r.Close()
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		se.take(l)
	}
}

func (se *Session) take(l doc.Line) {
	se.mu.Lock()
	defer se.mu.Unlock()
	switch {
	case l.Session != nil:
		se.view.Session = *l.Session
	case l.Node != nil:
		se.view.Parts[l.Node.Node] = *l.Node
	case l.Event != nil:
		se.view.Events = append(se.view.Events, *l.Event)
	}
	close(se.changed)
	se.changed = make(chan struct{})
}

// View is a copy of what is known.
func (se *Session) View() View {
	v, _ := se.snapshot()
	return v
}

func (se *Session) snapshot() (View, <-chan struct{}) {
	se.mu.Lock()
	defer se.mu.Unlock()
	v := se.view
	v.Parts = maps.Clone(v.Parts)
	return v, se.changed
}

// Until waits until the condition holds. what names it for the error.
func (se *Session) Until(ctx context.Context, what string, cond func(View) bool) (View, error) {
	for {
		v, changed := se.snapshot()
		if cond(v) {
			return v, nil
		}
		select {
		case <-changed:
		case <-se.done:
			if v = se.View(); cond(v) {
				return v, nil
			}
			return v, fmt.Errorf("session %s ended before %s: %s", se.ID, what, Describe(v))
		case <-ctx.Done():
			return v, fmt.Errorf("session %s: waiting for %s: %w; it is: %s (watch: %v)", se.ID, what,
				context.Cause(ctx), Describe(v), se.err)
		}
		if err := se.site.ServerError(); err != nil && !errors.Is(err, errStopped) {
			return v, err
		}
	}
}

// Over waits for the end of the session.
func (se *Session) Over(ctx context.Context) (View, error) {
	return se.Until(ctx, "its end", func(v View) bool { return v.Session.Over() })
}

// Describe is a view in words, for an error.
func Describe(v View) string {
	var b strings.Builder
	fmt.Fprintf(&b, "session %s", v.Session.State)
	if v.Session.Reason != "" {
		fmt.Fprintf(&b, " (%s)", v.Session.Reason)
	}
	for id, p := range v.Parts {
		fmt.Fprintf(&b, "; node %s %s at step %q", id, p.State, p.Step)
		if p.Reason != "" {
			fmt.Fprintf(&b, " (%s)", p.Reason)
		}
		if p.Unbootable != "" {
			fmt.Fprintf(&b, " [will not start: %s]", p.Unbootable)
		}
		if p.Warning != "" {
			fmt.Fprintf(&b, " [%s]", p.Warning)
		}
		if q := p.Progress; q != nil {
			fmt.Fprintf(&b, " received %d of %d, written %d of %d", q.Received, q.Needed, q.Written, q.ToWrite)
		}
	}
	for _, m := range v.Messages(session.StepFailed) {
		fmt.Fprintf(&b, "; failed: %s", m)
	}
	return b.String()
}
