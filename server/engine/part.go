package engine

import (
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/jobs"
)

// apply moves a node's part on by one event.
func (e *Engine) apply(n *node, ev *session.Event) {
	if ev.Step == session.StepAgent {
		m := n.Trace[session.StepAgent]
		m.Since, m.Message = ev.Since, ev.Message
		if m.Time.IsZero() {
			m.Time = ev.Time
		}
		if n.Trace == nil {
			n.Trace = map[string]doc.Mark{}
		}
		n.Trace[session.StepAgent] = m
		e.saveNode(n)
		e.step(jobs.Traced{Node: n.ID, Mark: m})
		return
	}
	s := e.current(n)
	if s == nil || ev.Session != s.ID {
		return
	}
	if !n.Worked && ev.Step != session.StepLog {
		n.Worked = true
		e.saveNode(n)
	}
	in := jobs.Reported{Node: n.ID, Event: ev, Free: -1}
	if s.Upload != nil && ev.Step == session.StepPlan && e.cfg.Captures != nil {
		if free, err := e.cfg.Captures.Room(); err == nil {
			in.Free = free
		}
	}
	e.step(in)
	e.pace(s, n.ID)
}
