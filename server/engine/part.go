package engine

import (
	"strings"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/model"
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
			n.Trace = map[string]model.Mark{}
		}
		n.Trace[session.StepAgent] = m
		e.saveNode(n)
		if s := e.current(n); s != nil {
			s.parts[n.ID].Steps = merge(s.parts[n.ID].Steps, session.StepAgent, m)
			e.savePart(s, n.ID)
		}
		return
	}
	s := e.current(n)
	if s == nil || ev.Session != s.ID {
		return
	}
	p := s.parts[n.ID]
	p.Heard = e.now()
	if !n.Worked && ev.Step != session.StepLog {
		n.Worked = true
		e.saveNode(n)
	}
	if ev.Progress != nil && sane(ev.Progress) {
		p.Progress = ev.Progress
	}
	switch ev.Step {
	case session.StepLog:
		return
	case session.StepProgress:
		p.State = model.Running
		e.touchPart(s, n.ID)
		return
	case session.StepMulticast:
		p.Warning = ""
		if ev.Level != session.Info {
			p.Warning = ev.Message
		}
		e.savePart(s, n.ID)
		return
	case session.StepChunk:
		p.Warning = ev.Message
		e.savePart(s, n.ID)
		chunk := -1
		if ev.Chunk != nil && *ev.Chunk >= 0 {
			chunk = *ev.Chunk
		}
		e.suspect(s, chunk)
		return
	case session.StepFailed:
		p.Steps = merge(p.Steps, ev.Step, model.Mark{Time: ev.Time, Since: ev.Since, Message: ev.Message})
		e.finishPart(s, n, p, model.Failed, ev.Message)
		if e.current(n) == nil {
			e.join(n)
		}
		return
	}
	if _, had := p.Steps[ev.Step]; !had {
		p.Steps = merge(p.Steps, ev.Step, model.Mark{Time: ev.Time, Since: ev.Since, Message: ev.Message})
	}
	p.Step, p.State = ev.Step, model.Running
	if ev.Step == session.StepPlan && s.Upload != nil && p.Progress != nil {
		p.Warning = e.mayNotFit(p.Progress.ToRead)
	}
	starts := ev.Step == session.StepEntry || ev.Step == session.StepBoot
	if ev.Step == session.StepEntry {
		p.Unbootable = "" // the node has looked at the disk: what was foreseen counts no more
	}
	switch {
	case starts && ev.Level == session.Error:
		p.Unbootable = also(p.Unbootable, ev.Message)
	case (starts || ev.Step == session.StepGrown) && ev.Level != session.Info:
		p.Warning = also(p.Warning, ev.Message)
	}
	if ev.Step == session.StepUploaded && s.Upload != nil {
		e.uploaded(s, n, p)
		return
	}
	if ev.Step == session.StepBoot && s.Upload == nil {
		if s.Spec.Boot.Method != session.BootStay {
			n.Where = model.Left
		}
		e.claimDone(s, n, p)
		return
	}
	e.savePart(s, n.ID)
}

// also adds words to those that the operator is shown.
func also(shown, words string) string {
	switch {
	case strings.Contains(shown, words):
		words = shown
	case shown != "":
		words = shown + "; " + words
	}
	return plain.Line(words, maxMessage)
}

// maxSteps bounds the steps of a part: a node may name any.
const maxSteps = 64

func merge(steps map[string]model.Mark, step string, m model.Mark) map[string]model.Mark {
	if steps == nil {
		steps = map[string]model.Mark{}
	}
	if _, had := steps[step]; had || len(steps) < maxSteps {
		steps[step] = m
	}
	return steps
}

func sane(p *session.Progress) bool {
	for _, v := range []int64{p.Received, p.Needed, p.Multicast, p.Unicast, p.Written, p.ToWrite, p.Rejected, p.Read, p.ToRead, p.Sent} {
		if v < 0 {
			return false
		}
	}
	return p.Loss >= 0 && p.Loss <= 1
}
