package engine

import (
	"maps"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
)

// castUnicast is the state of a receiver that the cast has told to leave its group.
const castUnicast = "unicast"

// Figures is what is counted of the engine at one moment.
type Figures struct {
	Nodes    map[string]int // by where they are
	Machines int
	Waiting  int // machines that nobody has approved
	Sessions []SessionFigures
	// Unsaved is for how long the state could not be written; 0: it can.
	Unsaved time.Duration
	Kinds   []string // of sessions that there may be
}

// SessionFigures is what is counted of one session.
type SessionFigures struct {
	ID, Kind, State         string
	Created, Started, Ended time.Time     // zero: not yet
	Cast                    doc.CastStats // of its cast, without receivers; zero where it has none
	Casting                 bool          // the cast runs
	Stragglers              int           // receivers that the cast has left to HTTP
	Parts                   []PartFigures // of a session that is not over, and of one whose end was asked for
}

// PartFigures is what is counted of one part.
type PartFigures struct {
	Node, State, Step string
	Progress          session.Progress
	Steps             map[string]doc.Mark
}

// Figures counts. The parts of a session that is over are told when parts says so of its id.
func (e *Engine) Figures(parts func(id string) bool) Figures {
	e.mu.Lock()
	defer e.mu.Unlock()
	f := Figures{Nodes: map[string]int{}, Unsaved: e.unsaved()}
	for _, k := range e.kinds {
		f.Kinds = append(f.Kinds, k.Traits().Action)
	}
	for _, n := range e.nodes {
		f.Nodes[e.whereabouts(n)]++
	}
	for _, m := range e.fleet.All() {
		f.Machines++
		if e.unapproved(m) != "" {
			f.Waiting++
		}
	}
	for _, id := range e.jobs.Order() {
		f.Sessions = append(f.Sessions, e.sessionFigures(e.jobs.Session(id), parts))
	}
	return f
}

func (e *Engine) sessionFigures(s *sess, parts func(id string) bool) SessionFigures {
	f := SessionFigures{ID: s.ID, Kind: s.Kind.Traits().Action, State: s.State, Created: s.Created, Started: s.Started,
		Ended: s.Ended}
	for i := range s.Disks() {
		ended := s.Cast
		if i > 0 {
			ended = s.MoreDisks[i-1].Cast
		}
		if r := e.runs[s.ID]; r != nil && r.casts[i] != nil {
			f.Casting = true
			addCast(&f.Cast, r.casts[i].Stats())
		} else if ended != nil {
			addCast(&f.Cast, ended.Stats)
		}
	}
	for i := range f.Cast.Receivers {
		if f.Cast.Receivers[i].State == castUnicast {
			f.Stragglers++
		}
	}
	f.Cast.Receivers = nil
	if s.Over() && !parts(s.ID) {
		return f
	}
	for _, id := range s.Order {
		p := s.Parts[id]
		pf := PartFigures{Node: id, State: p.State, Step: p.Step, Steps: maps.Clone(p.Steps)}
		if p.Progress != nil {
			pf.Progress = *p.Progress
		}
		f.Parts = append(f.Parts, pf)
	}
	return f
}

// Unsaved is for how long the state could not be written; 0: it can.
func (e *Engine) Unsaved() time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.unsaved()
}

// StateFailed is told that something could not be written to the state which the engine does not write itself.
func (e *Engine) StateFailed(err error) { e.w.Failed(err) }

func (e *Engine) unsaved() time.Duration {
	t := e.w.Trouble()
	if t.Since.IsZero() {
		return 0
	}
	return max(e.now().Sub(t.Since), time.Nanosecond)
}

// addCast adds a cast to the figures of its session: one has several where its machines have several disks.
func addCast(to *doc.CastStats, c doc.CastStats) {
	to.Sending = to.Sending || c.Sending
	to.Sent += c.Sent
	to.Repair += c.Repair
	to.Wire += c.Wire
	to.Pending += c.Pending
	to.Rate += c.Rate
	to.Rejected += c.Rejected
	to.Receivers = append(to.Receivers, c.Receivers...)
}
