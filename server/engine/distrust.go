package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/model"
	"github.com/diskcast/diskcast/server/state"
)

// What may have been given out between a copy of the state and its restoration: a day of it, and more than can be.
const (
	lostSessions    = 1000    // numbers of sessions
	lostDescriptors = 1 << 20 // serials of a node's descriptors
)

// distrust ends what a state restored from a copy would do again. A session that was not over when the copy was made may have been
// done or cancelled since. Agents still have what they were told since: they are told to be idle, with a serial above all that they
// can know, and no new session has a number that they may know.
func (e *Engine) distrust(ctx context.Context) error {
	var at time.Time
	var dropped []string
	err := e.cfg.Store.Update(ctx, func(tx state.WriteTx) (err error) {
		if at, err = state.Copied(tx, state.OfSessions); err != nil || at.IsZero() {
			return err
		}
		reason := fmt.Sprintf("cancelled: the server's state was restored from the copy of %s, and what happened after it is not known; "+
			"look at the machines, and create the session anew for those that need it", at.UTC().Format(time.RFC3339))
		dropped = nil
		for _, id := range e.jobs.Order() {
			s := e.jobs.Session(id)
			if s.Over() {
				continue
			}
			dropped = append(dropped, id)
			if err := e.drop(tx, s, reason); err != nil {
				return err
			}
		}
		for _, n := range e.nodes {
			a := &e.jobs.Node(n.ID).Assignment
			a.Session, n.Session, n.Last = "", "", a.Last
			n.Serial += lostDescriptors
			n.Descriptor = &session.Descriptor{V: session.Version, Node: n.ID, Serial: n.Serial, Action: session.Idle}
			if err := state.PutJSON(tx, nodePrefix+n.ID, n.nodeRecord); err != nil {
				return err
			}
		}
		e.seq += lostSessions
		return state.PutJSON(tx, keySeq, e.seq)
	})
	if err != nil {
		return fmt.Errorf("sessions of a copied state: %w", err)
	}
	if !at.IsZero() {
		e.log.Warn("the state is a copy: what happened after it is not known, and sessions that were not over in it are cancelled; "+
			"create them anew for the machines that need them", "copied", at.Format(time.RFC3339), "cancelled", dropped)
	}
	return nil
}

// drop ends a session and its parts, before the first step of the state machine.
func (e *Engine) drop(tx state.WriteTx, s *sess, reason string) error {
	for _, id := range s.Order {
		p := s.Parts[id]
		if p.Over() {
			continue
		}
		p.State, p.Reason = model.Cancelled, reason
		if n := e.jobs.Node(id); n != nil && n.Session == s.ID {
			n.Last = s.ID
		}
		if err := state.PutJSON(tx, partPrefix+s.ID+"/"+id, p); err != nil {
			return err
		}
	}
	s.State, s.Reason, s.Ended = model.Cancelled, reason, e.now()
	return state.PutJSON(tx, sessPrefix+s.ID, s.Record)
}
