package engine

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/model"
)

// Create makes a session. Its cast's group, port and key are chosen now and stay for its life.
func (e *Engine) Create(ctx context.Context, spec model.Spec) (*model.Session, error) {
	if err := spec.Check(); err != nil {
		return nil, refuse("%w", err)
	}
	img, err := e.describeImage(&spec)
	if err != nil {
		return nil, refuse("%w (`diskcast image list` lists the images)", err)
	}
	if spec.GiveUp == 0 {
		spec.GiveUp = model.DefaultGiveUp
	}
	if spec.Boot == nil {
		spec.Boot = &session.Boot{Method: session.BootKexec}
	}
	var group netip.AddrPort
	if img.ObjectSize > 0 {
		if group, err = e.group(ctx); err != nil {
			return nil, err
		}
	}
	e.mu.Lock()
	delete(e.reserved, group.Addr()) // from here on it is the session's, or nobody's
	s := &sess{parts: map[string]*model.Part{}}
	e.seq++
	s.Session = model.Session{ID: sessionID(e.seq), Spec: spec, Image: img, State: model.Waiting, Created: e.now()}
	if img.ObjectSize > 0 {
		if s.Params, s.Secret, err = e.allocate(group, img.ObjectSize); err != nil {
			e.seq--
			e.mu.Unlock()
			return nil, err
		}
	}
	if spec.Capture != "" {
		if err := e.mayCapture(&spec); err != nil {
			e.seq--
			e.mu.Unlock()
			return nil, err
		}
		s.Upload = newUpload(s.ID, &spec)
	} else {
		s.Notes = e.cfg.Images.StartNotes(img.Manifest)
	}
	if err := e.hold(s); err != nil {
		e.seq--
		e.mu.Unlock()
		return nil, refuse("%w", err)
	}
	e.nameParts(s)
	if err := e.storeNew(ctx, s); err != nil {
		e.letGo(s)
		e.seq--
		e.mu.Unlock()
		return nil, fmt.Errorf("the session was not created: %w", err)
	}
	e.prune()
	e.sessions[s.ID] = s
	e.order = append(e.order, s.ID)
	e.saveSession(s)
	for _, n := range e.nodes {
		if n.Where == model.Ready && e.now().Sub(n.LastSeen) < presence {
			e.join(n)
		}
	}
	e.advance(s)
	view := e.view(s, true)
	view.Warnings = append(append(spec.Advice(), e.twins(s)...), view.Warnings...)
	e.mu.Unlock()
	_ = e.w.wait(ctx) // the session is there in any case; what it became since is written again and again, and told as its warning
	e.log.Info("session created", "session", view.ID, "image", img.Name, "manifest", img.Manifest)
	return view, nil
}

// maxHistory is how many sessions are kept, those that are not over not counted.
const maxHistory = 200

// prune forgets the oldest sessions that are over.
func (e *Engine) prune() {
	over := 0
	for _, id := range e.order {
		if e.sessions[id].Over() {
			over++
		}
	}
	e.order = slices.DeleteFunc(e.order, func(id string) bool {
		s := e.sessions[id]
		if over < maxHistory || !s.Over() || s.cast != nil {
			return false
		}
		over--
		for n := range s.parts {
			e.w.del(partPrefix + id + "/" + n)
		}
		e.w.del(sessPrefix + id)
		delete(e.sessions, id)
		return true
	})
}

// presence is how long after its last word an agent counts as being there; it asks at least every 30 s.
const presence = 90 * time.Second

// current is the session that the node works for, nil when there is none.
func (e *Engine) current(n *node) *sess {
	s := e.sessions[n.Session]
	if s == nil || s.Over() {
		return nil
	}
	if p := s.parts[n.ID]; p == nil || p.Over() {
		return nil
	}
	return s
}

// wants reports whether the session would take the node.
func (e *Engine) wants(s *sess, n *node) bool {
	if s.Over() {
		return false
	}
	if p := s.parts[n.ID]; p != nil {
		return p.State == model.Waiting || p.State == model.Absent
	}
	return s.Spec.All || len(s.parts) < s.Spec.Count || e.vacancy(s, n) != ""
}

// join gives a present node to the first session that names it, else to the first that wants it.
func (e *Engine) join(n *node) {
	if e.current(n) != nil {
		return
	}
	var found *sess
	for _, id := range e.order {
		s := e.sessions[id]
		if !e.wants(s, n) {
			continue
		}
		if named := s.parts[n.ID] != nil; found == nil || (named && found.parts[n.ID] == nil) {
			found = s
		}
	}
	if found == nil {
		return
	}
	s, p := found, found.parts[n.ID]
	if p == nil {
		if s.Spec.Count > 0 && len(s.parts) >= s.Spec.Count {
			e.displace(s, e.vacancy(s, n), n.ID)
		}
		p = &model.Part{Session: s.ID, Node: n.ID}
		s.add(p)
	}
	p.State, p.Reason, p.Joined, p.Heard = model.Waiting, "", e.now(), e.now()
	n.Session, n.Claim = s.ID, nil
	n.note(p)
	p.Steps, p.Unbootable = e.startTrace(n), e.foreseen(s, n)
	e.savePart(s, n.ID)
	e.saveNode(n)
	if s.Going() {
		e.offer(s, n, p)
	} else {
		e.advance(s)
	}
}

// advance does what the session's state and the time call for.
func (e *Engine) advance(s *sess) {
	switch s.State {
	case model.Waiting:
		e.maybeStart(s)
	case model.Casting, model.Capturing:
		e.giveUp(s)
		e.maybeEnd(s)
		if !s.Over() {
			e.endTroubled(s)
		}
	}
}

func joined(s *sess) (joined, over int) {
	for _, p := range s.parts {
		if !p.Joined.IsZero() {
			joined++
			if p.Over() {
				over++
			}
		}
	}
	return joined, over
}

// late reports whether the time to wait for nodes is over.
func (e *Engine) late(s *sess) bool {
	return s.Spec.MaxWait > 0 && e.now().Sub(s.Created) >= seconds(s.Spec.MaxWait)
}

func (e *Engine) maybeStart(s *sess) {
	there, _ := joined(s)
	need := max(1, s.Spec.MinNodes)
	if len(s.Spec.Nodes) > 0 {
		need = min(need, len(s.parts)) // two of the names may be of one machine
	}
	switch {
	case there >= need:
	case !e.late(s):
		return
	case there == 0:
		e.end(s, model.Failed, fmt.Sprintf("no node came within %v: switch them on with network boot first in their boot order; `diskcast node list` shows which machines asked for boot files", seconds(s.Spec.MaxWait)))
		return
	}
	s.State, s.Started = model.Casting, e.now()
	if s.Upload != nil {
		s.State = model.Capturing
	}
	e.saveSession(s)
	e.log.Info("session starts", "session", s.ID, "nodes", there)
	for _, id := range s.order {
		if p, n := s.parts[id], e.nodes[id]; n != nil && !p.Joined.IsZero() {
			e.offer(s, n, p)
		}
	}
	if !s.Over() {
		e.resume(s)
	}
}

// giveUp ends the parts of nodes that are silent for too long.
func (e *Engine) giveUp(s *sess) {
	limit := seconds(s.Spec.GiveUp)
	for _, id := range s.order {
		p, n := s.parts[id], e.nodes[id]
		if p.Over() {
			continue
		}
		if p.Joined.IsZero() {
			if e.late(s) {
				p.State, p.Reason = model.Absent, fmt.Sprintf("did not come within %v", seconds(s.Spec.MaxWait))
				e.savePart(s, id)
			}
			continue
		}
		if e.settleClaim(s, n, p) {
			continue
		}
		heard := p.Heard
		for _, t := range []time.Time{n.LastSeen, e.began} {
			if t.After(heard) {
				heard = t
			}
		}
		silent := e.now().Sub(heard)
		if silent > time.Minute && n.Where == model.Ready {
			n.Where = model.Silent
			e.touchPart(s, id)
		}
		if silent > limit {
			e.finishPart(s, n, p, model.Failed, fmt.Sprintf("silent for %v after step %q: look at the machine's console; switched on again, it may join a new session", limit, p.Step))
		}
	}
}

func seconds(f float64) time.Duration { return time.Duration(f * float64(time.Second)) }

// maybeEnd ends the session when all its nodes came and are over.
func (e *Engine) maybeEnd(s *sess) {
	there, over := joined(s)
	need := max(1, s.Spec.MinNodes, s.Spec.Count)
	if len(s.Spec.Nodes) > 0 {
		need = len(s.parts) // two of the names may be of one machine
	}
	if !s.Going() || over < there || (there < need && !e.late(s)) {
		return
	}
	var bad []string
	for _, id := range s.order {
		if p := s.parts[id]; p.State != model.Done {
			bad = append(bad, fmt.Sprintf("%s: %s", id, p.Reason))
		}
	}
	if len(bad) == 0 {
		e.end(s, model.Done, s.unbootableWords())
		return
	}
	if s.Upload != nil {
		e.end(s, model.Failed, strings.Join(bad, "; "))
		return
	}
	total := len(s.parts)
	have := total - len(bad)
	if len(bad) > 5 {
		bad = append(bad[:5], fmt.Sprintf("and %d more", len(bad)-5))
	}
	if w := s.unbootableWords(); w != "" {
		bad = append(bad, w)
	}
	e.end(s, model.Failed, fmt.Sprintf("%d of %d nodes have the image; %s", have, total, strings.Join(bad, "; ")))
}

// finishPart ends one node's part.
func (e *Engine) finishPart(s *sess, n *node, p *model.Part, state, reason string) {
	p.State, p.Reason = state, reason
	n.Session, n.Last, n.Imaged, n.Claim = "", s.ID, state == model.Done, nil
	e.log.Info("node is over with its part", "session", s.ID, "node", n.ID, "state", state, "reason", reason)
	e.idle(n)
	e.savePart(s, n.ID)
	e.saveNode(n)
	e.maybeEnd(s)
}

// end ends the session, and the parts that are not over, with the same reason.
func (e *Engine) end(s *sess, state, reason string) {
	s.State, s.Reason, s.Ended = state, reason, e.now()
	if s.stop != nil {
		s.stop()
	}
	e.endUpload(s)
	e.letGo(s)
	var free []*node
	for _, id := range s.order {
		p, n := s.parts[id], e.nodes[id]
		if !p.Over() {
			p.State, p.Reason = state, reason
			e.savePart(s, id)
		}
		if n != nil && n.Session == s.ID {
			n.Session, n.Last, n.Claim = "", s.ID, nil
			e.idle(n)
			e.saveNode(n)
			free = append(free, n)
		}
	}
	e.saveSession(s)
	e.log.Info("session is over", "session", s.ID, "state", state, "reason", reason)
	for _, n := range free {
		if n.Where == model.Ready {
			e.join(n)
		}
	}
}

// Cancel ends a session; its nodes go idle. It ends at once, also while it cannot be stored that it has: the view then has a warning.
func (e *Engine) Cancel(ctx context.Context, id string) (*model.Session, error) {
	e.mu.Lock()
	s := e.sessions[id]
	if s == nil {
		e.mu.Unlock()
		return nil, fmt.Errorf("session %s: %w", id, ErrNotFound)
	}
	if !s.Over() {
		e.end(s, model.Cancelled, "cancelled by the operator")
	}
	view := e.view(s, true)
	e.mu.Unlock()
	if err := e.w.wait(ctx); err != nil {
		view.Warnings = append(view.Warnings, fmt.Sprintf("The session is over, but the server could not write that down yet: %v. It tries again every second; "+
			"nodes are told when it can, and a server that is killed before goes on with the session.", stateHelp(err)))
	}
	return view, nil
}

func (e *Engine) saveSession(s *sess) {
	e.w.put(sessPrefix+s.ID, s.sessRecord)
	e.touchSession(s)
	close(e.activity)
	e.activity = make(chan struct{})
}

func (e *Engine) savePart(s *sess, id string) {
	e.w.put(partPrefix+s.ID+"/"+id, s.parts[id])
	e.touchPart(s, id)
}
