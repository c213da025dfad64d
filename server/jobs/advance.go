package jobs

import (
	"fmt"
	"time"

	"github.com/diskcast/diskcast/server/doc"
)

// advance does what the session's state and the time call for.
func (r *run) advance(s *Session, state Trouble) {
	switch {
	case s.State == doc.Waiting:
		if r.prepare(s) {
			r.power(s)
			r.maybeStart(s)
		}
	case s.Going():
		r.power(s)
		r.giveUp(s)
		r.maybeEnd(s)
		if !s.Over() {
			r.endTroubled(s, state)
		}
	}
}

func (r *run) maybeStart(s *Session) {
	there, _ := s.joined()
	switch {
	case r.Due(s, r.now):
	case there == 0 && s.unreached() == len(s.Parts) && len(s.Parts) > 0 && !r.mayCome(s):
		r.end(s, doc.Failed, s.Kind.Reason(s, s.causes()))
		return
	case there == 0 && !s.Early(r.now) && s.late(r.now) && !r.mayCome(s):
		words := fmt.Sprintf("no node came within %v: switch them on with network boot first in their "+
			"boot order; `diskcast node list` shows which machines asked for boot files", seconds(s.Spec.MaxWait))
		if s.unreached() > 0 {
			words += "; " + Few(s.causes())
		}
		r.end(s, doc.Failed, words)
		return
	default:
		return
	}
	if turn, _ := r.Turn(s, r.now); turn > 0 {
		return
	}
	s.State, s.Started = s.Kind.Traits().State, r.now
	r.do(SaveSession{s.ID})
	r.log("session starts", "session", s.ID, "nodes", there)
	for _, id := range append([]string(nil), s.Order...) {
		p, n := s.Parts[id], r.nodes[id]
		if p != nil && n != nil && !p.Joined.IsZero() && !p.Over() && !s.Over() {
			r.offer(s, n, p)
		}
	}
	if !s.Over() {
		r.startCast(s)
	}
}

// giveUp ends the parts of nodes that are silent for too long.
func (r *run) giveUp(s *Session) {
	limit := seconds(s.Spec.GiveUp)
	for _, id := range append([]string(nil), s.Order...) {
		p, n := s.Parts[id], r.nodes[id]
		if p == nil || p.Over() {
			continue
		}
		if p.State == doc.Starting {
			r.lifeless(s, p)
			continue
		}
		if p.Joined.IsZero() {
			if s.late(r.now) {
				r.miss(s, p)
			}
			continue
		}
		if n != nil && r.settleClaim(s, n, p) {
			continue
		}
		heard := r.past(p.Heard, r.now)
		if n != nil && n.Session == s.ID { // a node that is not there for the session any more may speak, but not of it
			heard = later(heard, r.past(n.Heard, r.now))
		}
		silent := r.now.Sub(heard)
		if silent > time.Minute && n != nil && n.Here {
			n.Here = false
			r.do(Silent{id})
			r.do(Show{s.ID, id})
		}
		if silent > limit {
			r.finishPart(s, p, doc.Failed, fmt.Sprintf("silent for %v after step %q: look at the machine's console; "+
				"switched on again, it may join a new session", limit, p.Step))
		}
	}
}

// maybeEnd ends the session when all its nodes came and are over.
func (r *run) maybeEnd(s *Session) {
	there, over := s.joined()
	need := max(1, s.Spec.MinNodes, s.Spec.Count)
	if len(s.Spec.Nodes) > 0 {
		need = len(s.Parts) - s.unreached() // two of the names may be of one machine
	}
	if !s.Going() || over < there || (there < need && !s.late(r.now)) {
		return
	}
	for _, id := range s.Order {
		if p := s.Parts[id]; p.Joined.IsZero() && !p.Over() {
			r.miss(s, p)
		}
	}
	bad := s.causes()
	state := doc.Done
	if len(bad) > 0 {
		state = doc.Failed
	}
	r.end(s, state, s.Kind.Reason(s, bad))
}

// endTroubled ends a session whose trouble lasts.
func (r *run) endTroubled(s *Session, state Trouble) {
	switch {
	case s.Store.Lasts(r.now, StoreTrouble):
		r.end(s, doc.Failed, fmt.Sprintf("for %v the server could not store what the node sent: "+
			"%s; %s, and capture again", StoreTrouble, s.Store.Words, MakeRoom))
	case state.Lasts(r.now, StateTrouble):
		r.end(s, doc.Failed, fmt.Sprintf("for %v the server could not write its state: %s; "+
			"mend that and create the session again", StateTrouble, state.Words))
	}
}

// How long a session goes on whose server is in trouble: without one frame stored, and without one record written.
const (
	StoreTrouble = 5 * time.Minute
	StateTrouble = 10 * time.Minute
)

// MakeRoom is what to do about an image store that is full.
const MakeRoom = "make room with `diskcast image rm` and `diskcast image gc --unnamed`, or give the store a larger disk"

// end ends the session, and the parts that are not over, with the same reason. The session is stored last: when it is
// over, all of it is.
func (r *run) end(s *Session, state, reason string) {
	s.State, s.Reason, s.Ended, s.Store = state, reason, r.now, Trouble{}
	r.do(StopCast{s.ID})
	r.dropUpload(s)
	r.do(Release{s.ID})
	var free []*Node
	for _, id := range s.Order {
		p, n := s.Parts[id], r.nodes[id]
		if !p.Over() {
			p.State, p.Reason = state, reason
			r.left(s, p)
			r.account(s, p)
			r.endPower(s, p)
			r.do(SavePart{s.ID, id})
		} else if r.endPower(s, p) {
			r.do(SavePart{s.ID, id})
		}
		if n != nil && n.Session == s.ID {
			n.Session, n.Last, n.Claim = "", s.ID, nil
			r.do(Withdraw{id})
			r.do(SaveNode{id})
			free = append(free, n)
		}
	}
	after := r.afterwards(s)
	r.do(SaveSession{s.ID})
	if after {
		r.do(RunHook{s.ID, doc.HookAfter})
	}
	r.log("session is over", "session", s.ID, "state", state, "reason", reason)
	for _, n := range free {
		if n.Here {
			r.join(n)
		}
	}
}

func (r *run) startCast(s *Session) {
	if len(s.Casts()) > 0 {
		r.do(StartCast{s.ID})
	}
}

func (r *run) hold(s *Session) {
	if s.Kind.Traits().Cast {
		r.do(Hold{s.ID})
	}
}

func (r *run) dropUpload(s *Session) {
	if s.Upload != nil {
		r.do(DropUpload{s.ID, s.Upload.ID})
	}
}
