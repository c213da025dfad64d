package engine

import (
	"cmp"
	"math"
	"time"

	"github.com/diskcast/diskcast/internal/rescue"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
)

// pace is how fast a node's part goes, by its own word.
type pace struct {
	at    time.Time // of the last word
	bytes int64
	rate  float64 // bytes a second, smoothed
}

// paceFor is the least time between two words that a rate is taken from, and stall how long after the last one there is
// none.
const (
	paceFor = 500 * time.Millisecond
	stall   = 20 * time.Second
)

// tell takes in how far the part is.
func (m *pace) tell(bytes int64, now time.Time) {
	d := now.Sub(m.at)
	switch {
	case m.at.IsZero() || bytes < m.bytes || d > time.Minute:
		*m = pace{at: now, bytes: bytes}
		return
	case d < paceFor:
		return
	}
	rate := float64(bytes-m.bytes) / d.Seconds()
	if m.rate > 0 {
		// The last ten seconds count most.
		w := math.Exp(-d.Seconds() / 10)
		rate = w*m.rate + (1-w)*rate
	}
	m.at, m.bytes, m.rate = now, bytes, rate
}

// phase is what a node of the part does now, in a word or two; empty before it is told of the part and after it.
func phase(p *doc.Part) string {
	switch p.State {
	case doc.Starting:
		return "starting its disk"
	case doc.Offered:
		return "beginning"
	case doc.Running:
	default:
		return ""
	}
	if p.Progress != nil && p.Progress.ToRead > 0 {
		return "reading"
	}
	words := map[string]string{session.StepPlan: "planning", session.StepTable: "preparing the disk",
		session.StepFirstByte: "receiving", session.StepLastByte: "writing", session.StepWritten: "checking",
		session.StepVerified: "growing", session.StepGrown: "making it start", session.StepEntry: "leaving",
		session.StepUploaded: "leaving", rescue.StepOpen: "a shell is open", rescue.StepLogin: "a shell is open",
		rescue.StepClosed: "leaving"}
	return cmp.Or(words[p.Step], "working")
}

// paced puts on the view of a part what it does now, how fast, and how long that takes.
func (e *Engine) paced(v *doc.Part) {
	v.Phase = phase(v)
	m := e.paces[v.Session+"/"+v.Node]
	if m == nil || v.State != doc.Running || v.Progress == nil || e.now().Sub(m.at) > stall || m.rate < 1 {
		return
	}
	v.Rate = m.rate
	if left := v.Progress.ToWrite + v.Progress.ToRead - m.bytes; left > 0 {
		v.ETA = float64(left) / m.rate
	}
}

// pace notes how far a node is.
func (e *Engine) pace(s *sess, node string) {
	p, key := s.Parts[node], s.ID+"/"+node
	switch {
	case p == nil || p.Over() || p.State == doc.Starting:
		delete(e.paces, key)
	case p.Progress != nil:
		if e.paces[key] == nil {
			e.paces[key] = &pace{}
		}
		e.paces[key].tell(p.Progress.Written+p.Progress.Read, e.now())
	}
}

// eta is how long the slowest node of the session still needs, in seconds; 0 when nobody knows.
func (e *Engine) eta(s *sess) float64 {
	if !s.Going() {
		return 0
	}
	slowest := 0.0
	for _, id := range s.Order {
		v := *s.Parts[id]
		e.paced(&v)
		slowest = max(slowest, v.ETA)
	}
	return slowest
}
