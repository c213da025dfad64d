package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/store"
	"github.com/diskcast/diskcast/server/store/keeper"
	"github.com/diskcast/diskcast/server/store/record"
)

const (
	ring       = 512  // events kept of each node
	maxMessage = 4096 // bytes of an event's message
	maxStep    = 64   // bytes of an event's step
	maxBatch   = 1000 // events a batch
)

// record puts an event into the node's ring and tells those who watch.
func (e *Engine) record(n *node, boot string, ev session.Event) {
	ring, message := uint64(ring), maxMessage
	if e.stranger(n) {
		ring, message = strangerRing, strangerMessage
	}
	ev.Message = plain.Line(ev.Message, message)
	rec := doc.Event{N: n.next, Node: n.ID, Boot: boot, Event: ev}
	e.w.Put(record.EventKey(n.ID, n.next), record.OfEvent(&rec))
	n.next++
	for n.next-n.first > ring {
		e.w.Del(record.EventKey(n.ID, n.first))
		n.first++
	}
	e.tellEvent(ev.Session, rec)
}

// Events is Report, and waits until what must not be forgotten is durable.
func (e *Engine) Events(ctx context.Context, id string, batch *session.Events) error {
	b, err := e.Report(id, batch)
	if err != nil {
		return err
	}
	return e.w.WaitFor(ctx, b)
}

// Report takes in what a node reports. Each number of a boot counts once. What must not be forgotten is durable when
// the batch that it returns is; nil: there is nothing of that kind.
func (e *Engine) Report(id string, batch *session.Events) (*keeper.Batch, error) {
	if len(batch.Events) > maxBatch {
		return nil, refuse("%d events in a batch, at most %d are taken", len(batch.Events), maxBatch)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	n := e.nodes[id]
	if n == nil || n.Boot != batch.Boot {
		return nil, ErrToken
	}
	durable, told := false, false
	e.watchClock()
	n.setClock(e.now(), batch.Events)
	for _, ev := range batch.Events {
		if !n.seen.add(ev.Seq) {
			told = true // perhaps by a node that was refused, because it could not be stored
			continue
		}
		e.clean(n, &ev)
		// A report of progress is worth nothing a second later: it is not stored, so that a lab in full swing costs no
		// disk writes.
		if ev.Step != session.StepProgress {
			durable = true
			kept := ev
			kept.Result = nil // it is the part's
			e.record(n, n.Boot, kept)
		}
		e.apply(n, &ev)
	}
	e.heard(n)
	if n.Where == doc.Silent {
		n.Where = doc.Ready
	}
	if durable {
		e.saveSeen(n)
	}
	if durable || told {
		return e.w.Last(), nil
	}
	return nil, nil
}

// maxSince bounds Event.Since, in seconds: three years of a kernel.
const maxSince = 1e8

func seconds(f float64) time.Duration { return time.Duration(f * float64(time.Second)) }

// setClock estimates when the node's kernel started. Events wait at the node for a batch, and longer while the server
// is away, but a batch whose newest event has waited the least tells it best.
func (n *node) setClock(now time.Time, events []session.Event) {
	for i := range events {
		if s := events[i].Since; s > 0 && s < maxSince {
			if zero := now.Add(-seconds(s)); n.zero.IsZero() || zero.Before(n.zero) {
				n.zero = zero
			}
		}
	}
}

// clean bounds what a node may say and sets the time, by the server's clock.
func (e *Engine) clean(n *node, ev *session.Event) {
	ev.Time = e.now()
	if ev.Since > 0 && ev.Since < maxSince && !n.zero.IsZero() {
		ev.Time = n.zero.Add(seconds(ev.Since))
	}
	ev.Step = plain.Line(ev.Step, maxStep)
	switch ev.Level {
	case session.Info, session.Warn, session.Error:
	default:
		ev.Level = session.Info
	}
	if n := len(ev.Result); n > session.MaxResult {
		ev.Result, ev.Level = nil, session.Warn
		ev.Message = also(ev.Message,
			fmt.Sprintf("its result of %d bytes is larger than %d and was dropped", n, session.MaxResult))
	}
	if !(ev.Since >= 0 && ev.Since < maxSince) { // also NaN
		ev.Since = 0
	}
	if s := e.jobs.Session(ev.Session); s == nil || s.Parts[n.ID] == nil {
		ev.Session = "" // not a session of this node
	}
}

// bootMark stands for a boot of a node where it is shown: who knows its id could speak as the node.
func bootMark(boot string) string {
	if boot == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(boot))
	return hex.EncodeToString(sum[:8])
}

// eventView is an event as it is shown.
func eventView(ev *doc.Event) *doc.Event {
	v := *ev
	v.Boot = bootMark(ev.Boot)
	return &v
}

// Log returns the last events of a node, at most limit, oldest first. all includes timeline steps, else log lines,
// warnings and errors only.
func (e *Engine) Log(ctx context.Context, name string, limit int, all bool) ([]doc.Event, error) {
	e.mu.Lock()
	n, err := e.find(name)
	if err != nil {
		e.mu.Unlock()
		return nil, err
	}
	id := n.ID
	e.mu.Unlock()
	if err := e.w.Wait(ctx); err != nil {
		return nil, err
	}
	out := []doc.Event{}
	err = e.cfg.Store.View(ctx, func(tx store.Tx) error {
		return tx.Walk(record.EventPrefix+id+"/", func(key string, b []byte) error {
			var r record.Event
			if err := json.Unmarshal(b, &r); err != nil {
				return fmt.Errorf("state of %s is damaged: %w", key, err)
			}
			ev := r.Told()
			ev = *eventView(&ev)
			if all || ev.Event.Step == session.StepLog || ev.Event.Level != session.Info {
				out = append(out, ev)
			}
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	if len(out) > limit {
		out = out[len(out)-limit:]
	}
	return out, nil
}
