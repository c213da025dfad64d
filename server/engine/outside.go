package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/jobs"
)

type actorKey struct{}

// actor is who asks for a change, and who is told what else comes of it.
type actor struct {
	name string
	told func(words string)
}

// WithActor has what is changed in the context be said to be by somebody, and tells what it does to sessions besides.
func WithActor(ctx context.Context, name string, told func(words string)) context.Context {
	return context.WithValue(ctx, actorKey{}, actor{name, told})
}

// leaveSessions has machines leave the sessions of those who are held to machines of which they are none any more: who
// made the session could neither see nor end it, and it would be their work on a machine that is not theirs. The
// caller holds the lock.
func (e *Engine) leaveSessions(ctx context.Context) {
	by, _ := ctx.Value(actorKey{}).(actor)
	for _, id := range slices.Clone(e.jobs.Order()) {
		s := e.jobs.Session(id)
		if s == nil || s.Over() || s.Spec.Within == "" {
			continue
		}
		in := e.Within(s.Spec.Within).now()
		for _, node := range slices.Clone(s.Order) {
			if p := s.Parts[node]; p != nil && !p.Over() && !in.node(node) {
				e.outside(s, p, by)
			}
		}
	}
}

// madeWithin is in what a part says of it, by which it is known that it was said.
const madeWithin = "which the session was made within"

// outside has one machine leave a session, or says that it goes on.
func (e *Engine) outside(s *sess, p *doc.Part, by actor) {
	node, name := p.Node, p.Node
	if m := e.fleet.Of(node); m != nil {
		name = m.Title()
	}
	left := jobs.Untold(p)
	words := fmt.Sprintf("machine %s is none of %s any more, %s", name, s.Spec.Within, madeWithin)
	if by.name != "" {
		words += ": " + by.name + " changed that"
	}
	if left {
		words += "; nothing was done to it, and it left session " + s.ID
	} else if words += "; it is at work already, and goes on in session " + s.ID; strings.Contains(p.Identity,
		madeWithin) {
		return // it was said
	}
	e.log.Warn("a machine is outside of what its session was made within", "session", s.ID, "node", node, "within",
		s.Spec.Within, "by", by.name, "left", left)
	e.step(jobs.Outside{Session: s.ID, Node: node, Words: words})
	if n := e.nodes[node]; n != nil {
		e.record(n, n.Boot, session.Event{Session: s.ID, Step: session.StepLog, Level: session.Warn, Time: e.now(),
			Message: words})
	}
	if by.told != nil {
		by.told(words)
	}
}
