package engine

import (
	"context"
	"fmt"
	"strings"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/server/doc"
)

// Words are told to those who asked for them.
type Words interface {
	// Take returns what is to be stored for a word, beside what it is of; a nil value is a key to be taken away.
	Take(w doc.Word) map[string]any
	// Stored says that what Take returned is durable.
	Stored()
}

// maxWordLines bounds the machines that the word of a session's end lists.
const maxWordLines = 200

// Tell tells a word of something that happened beside the engine, such as a finding. It returns when that is stored.
func (e *Engine) Tell(ctx context.Context, w doc.Word) error {
	e.mu.Lock()
	e.say(w)
	e.mu.Unlock()
	return e.w.Wait(ctx)
}

// say has a word told; it is stored in the transaction of what it is of.
func (e *Engine) say(w doc.Word) {
	if e.cfg.Words == nil {
		return
	}
	if w.Time.IsZero() {
		w.Time = e.now()
	}
	for key, v := range e.cfg.Words.Take(w) {
		e.w.Word(key, v)
	}
}

// loadSaid notes what was said before this start: what is over then was said when it ended.
func (e *Engine) loadSaid() {
	for _, id := range e.jobs.Order() {
		s := e.jobs.Session(id)
		if s.Over() {
			e.said[id] = true
		}
		for node, p := range s.Parts {
			if p.Over() {
				e.said[id+"/"+node] = true
			}
		}
	}
}

// once reports whether what the key names is over now and was not before.
func (e *Engine) once(key string, over bool) bool {
	if !over {
		delete(e.said, key)
		return false
	}
	if e.said[key] {
		return false
	}
	e.said[key] = true
	return true
}

// forgetSaid forgets a session that is gone.
func (e *Engine) forgetSaid(id string, nodes []string) {
	delete(e.said, id)
	for _, n := range nodes {
		delete(e.said, id+"/"+n)
	}
}

// sayEnd says that a session is over, when it is.
func (e *Engine) sayEnd(s *sess) {
	if !e.once(s.ID, s.Over()) {
		return
	}
	w := doc.Word{Kind: doc.WordEnded, Session: s.ID, State: s.State}
	var lines []string
	for _, id := range s.Order {
		p := s.Parts[id]
		switch p.State {
		case doc.Done:
			w.Done++
			if p.Unbootable != "" {
				lines = append(lines, fmt.Sprintf("%s: done, and it will not start by itself: %s", e.title(id),
					p.Unbootable))
			}
		case doc.Failed, doc.Absent:
			w.Failed++
			lines = append(lines, fmt.Sprintf("%s: %s: %s", e.title(id), p.State, p.Reason))
		}
	}
	w.Title = fmt.Sprintf("session %s%s is %s: %d of %d machines done", s.ID, of(s), s.State, w.Done, len(s.Parts))
	if w.Failed > 0 {
		w.Title += fmt.Sprintf(", %d failed", w.Failed)
	}
	if more := len(lines) - maxWordLines; more > 0 {
		lines = append(lines[:maxWordLines], fmt.Sprintf("and %d more: `diskcast session show %s`", more, s.ID))
	}
	if s.Reason != "" {
		lines = append([]string{s.Reason}, lines...)
	}
	for i := range lines {
		lines[i] = plain.Line(lines[i], 1000)
	}
	w.Text = strings.Join(lines, "\n")
	e.say(w)
}

// of names what a session brings or does.
func of(s *sess) string {
	switch {
	case s.Image.Name != "":
		names := []string{s.Image.Name}
		for i := range s.MoreDisks {
			names = append(names, s.MoreDisks[i].Image.Name)
		}
		return " (" + strings.Join(names, ", ") + ")"
	case s.Spec.Capture != "":
		return " (capture of " + s.Spec.Capture + ")"
	case s.Spec.Kind != "":
		return " (" + s.Spec.Kind + ")"
	}
	return ""
}

// sayPart says that a part is over, when it is.
func (e *Engine) sayPart(s *sess, node string) {
	p := s.Parts[node]
	if p == nil || !e.once(s.ID+"/"+node, p.Over()) {
		return
	}
	w := doc.Word{Session: s.ID, State: p.State, Node: node}
	switch p.State {
	case doc.Failed:
		w.Kind, w.Title = doc.WordFailed, fmt.Sprintf("%s failed in session %s%s", e.title(node), s.ID, of(s))
	case doc.Absent:
		w.Kind, w.Title = doc.WordFailed, fmt.Sprintf("%s did not come to session %s%s", e.title(node), s.ID, of(s))
	case doc.Done:
		w.Kind, w.Title = doc.WordDone, fmt.Sprintf("%s is done in session %s%s", e.title(node), s.ID, of(s))
	default: // cancelled, by the operator
		return
	}
	w.Text = plain.Line(p.Reason, 2000)
	if m := e.fleet.Of(node); m != nil {
		w.Machine, w.Name = m.ID, m.Name
	}
	e.say(w)
}

// sayMachine says that a machine was seen for the first time.
func (e *Engine) sayMachine(n *node) {
	m := e.fleet.Of(n.ID)
	if m == nil {
		return
	}
	inv := &n.Inventory
	w := doc.Word{Kind: doc.WordMachine, Machine: m.ID, Name: m.Name, Node: n.ID}
	w.Title = fmt.Sprintf("new machine %s: %s", m.Title(),
		plain.Words(strings.Join([]string{inv.Vendor, inv.Product, inv.Serial, "at " + n.MACs[0]}, " "), 200))
	by, why := e.approvedBy(n)
	if why != "" {
		w.State = "unapproved"
		w.Text = fmt.Sprintf("it is not approved: %s; `diskcast machine approve %s` lets sessions take it", why,
			m.Title())
	} else {
		w.State, w.Text = "approved", "approved: "+by
	}
	e.say(w)
}
