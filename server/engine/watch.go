package engine

import (
	"context"
	"fmt"

	"github.com/diskcast/diskcast/server/model"
)

// Sub follows one session. What changed is kept as marks, not as copies, so that a slow reader costs no memory and
// sees the newest state; only events queue, at most maxQueue of them.
type Sub struct {
	e       *Engine
	s       *sess
	session bool
	nodes   map[string]bool
	events  []model.Event
	notify  chan struct{}
}

const maxQueue = 1000

// Watch follows a session from its present state on. Close ends it.
func (e *Engine) Watch(id string) (*Sub, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.jobs.Session(id)
	if s == nil {
		return nil, fmt.Errorf("session %s: %w", id, ErrNotFound)
	}
	sub := &Sub{e: e, s: s, session: true, nodes: map[string]bool{}, notify: make(chan struct{}, 1)}
	for _, n := range s.Order {
		sub.nodes[n] = true
	}
	sub.notify <- struct{}{}
	e.subs[sub] = struct{}{}
	return sub, nil
}

// Close ends the watch.
func (u *Sub) Close() {
	u.e.mu.Lock()
	defer u.e.mu.Unlock()
	delete(u.e.subs, u)
}

// Next waits for changes and returns them; last is true when the session is over and nothing more will come.
func (u *Sub) Next(ctx context.Context) (lines []model.Line, last bool, err error) {
	select {
	case <-u.notify:
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
	e := u.e
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := range u.events {
		lines = append(lines, model.Line{Type: "event", Event: &u.events[i]})
	}
	for _, id := range u.s.Order {
		if u.nodes[id] {
			p := partView(u.s.Parts[id])
			lines = append(lines, model.Line{Type: "node", Node: &p})
		}
	}
	// The session's line comes after those of its nodes: whoever reads that it is over has read all.
	if u.session {
		lines = append(lines, model.Line{Type: "session", Session: e.view(u.s, false)})
	}
	u.events, u.session = nil, false
	clear(u.nodes)
	return lines, u.s.Over() && e.run(u.s.ID).cast == nil, nil
}

func (u *Sub) wake() {
	select {
	case u.notify <- struct{}{}:
	default:
	}
}

func (e *Engine) touchSession(s *sess) {
	for u := range e.subs {
		if u.s == s {
			u.session = true
			u.wake()
		}
	}
}

func (e *Engine) touchPart(s *sess, id string) {
	for u := range e.subs {
		if u.s == s {
			u.nodes[id] = true
			u.wake()
		}
	}
}

func (e *Engine) tellEvent(id string, ev model.Event) {
	for u := range e.subs {
		if u.s.ID != id {
			continue
		}
		if len(u.events) < maxQueue {
			u.events = append(u.events, ev)
		}
		u.wake()
	}
}
