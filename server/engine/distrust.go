package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/store"
	"github.com/diskcast/diskcast/server/store/record"
)

// What may have been given out between a copy of the state and its restoration: a day of it, and more than can be.
const (
	lostSessions    = 1000    // numbers of sessions
	lostDescriptors = 1 << 20 // serials of a node's descriptors
)

// distrust ends what a state restored from a copy would do again. A session that was not over when the copy was made
// may have been done or cancelled since. Agents still have what they were told since: they are told to be idle, with a
// serial above all that they can know, and no new session has a number that they may know.
func (e *Engine) distrust(ctx context.Context) error {
	var at time.Time
	var dropped []string
	var doubted map[string]any // what records become; worked out once, for the update may run again
	err := e.w.Update(ctx, func(tx store.WriteTx) (err error) {
		if at, err = store.Copied(tx, store.OfSessions); err != nil || at.IsZero() {
			return err
		}
		if doubted == nil {
			doubted, dropped = e.doubt(at)
		}
		for key, v := range doubted {
			if err := store.PutJSON(tx, key, v); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("sessions of a copied state: %w", err)
	}
	if !at.IsZero() {
		e.log.Warn("the state is a copy: what happened after it is not known, and sessions that were not over in it "+
			"are cancelled; "+
			"create them anew for the machines that need them", "copied", at.Format(time.RFC3339), "cancelled", dropped)
	}
	return nil
}

// doubt ends in memory what was not over in the copy made at the time, before the first step of the state machine. It
// returns the records that change, by key, and the sessions that it ended.
func (e *Engine) doubt(at time.Time) (out map[string]any, dropped []string) {
	reason := fmt.Sprintf("cancelled: the server's state was restored from the copy of %s, and what happened after "+
		"it is not known; "+
		"look at the machines, and create the session anew for those that need it", at.UTC().Format(time.RFC3339))
	out = map[string]any{}
	for _, id := range e.jobs.Order() {
		if s := e.jobs.Session(id); !s.Over() {
			dropped = append(dropped, id)
			e.drop(out, s, reason)
		}
	}
	for _, n := range e.nodes {
		a := &e.jobs.Node(n.ID).Assignment
		a.Session, n.Session, n.Last = "", "", a.Last
		n.Serial += lostDescriptors
		n.Descriptor = &session.Descriptor{V: session.Version, Node: n.ID, Serial: n.Serial, Action: session.Idle}
		out[record.NodePrefix+n.ID] = n.record()
	}
	e.seq += lostSessions
	out[record.Seq] = e.seq
	return out, dropped
}

// drop ends a session and its parts.
func (e *Engine) drop(out map[string]any, s *sess, reason string) {
	for _, id := range s.Order {
		p := s.Parts[id]
		if p.Over() {
			continue
		}
		p.State, p.Reason = doc.Cancelled, reason
		if n := e.jobs.Node(id); n != nil && n.Session == s.ID {
			n.Last = s.ID
		}
		out[record.PartKey(s.ID, id)] = record.OfPart(p)
		e.judge(s, p)
	}
	s.State, s.Reason, s.Ended = doc.Cancelled, reason, e.now()
	out[record.SessPrefix+s.ID] = recordOf(s)
}
