package herald

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/diskcast/diskcast/internal/nearest"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/store"
)

// Errors that callers tell apart.
var (
	ErrNone   = errors.New("no such receiver")
	ErrRefuse = errors.New("refused")
)

// refusal is an ErrRefuse in its own words.
type refusal struct{ words string }

func (r *refusal) Error() string        { return r.words }
func (r *refusal) Is(target error) bool { return target == ErrRefuse }

// List shows all receivers, and what waits for each.
func (h *Herald) List() []doc.NotifyReceiver {
	out := []doc.NotifyReceiver{}
	for _, q := range h.queues {
		out = append(out, q.view())
	}
	for _, g := range h.gone {
		out = append(out, doc.NotifyReceiver{Name: g.name, By: doc.ByNone, Kinds: []string{}, Dropped: g.dropped,
			Problem: "it is not in the settings any more, and what waited for it was dropped"})
	}
	return out
}

func (q *queue) view() doc.NotifyReceiver {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.state
	r := doc.NotifyReceiver{Name: q.name, By: q.out.by(), To: q.out.to(), Kinds: q.kinds, Secret: q.box != nil,
		Waiting: max(0, len(q.words)-len(q.undone)), Tries: s.Tries, LastTry: s.LastTry, NextTry: s.NextTry,
		Error: s.Error, Problem: q.problem(), Told: s.Told, LastTold: s.LastTold, GivenUp: s.GivenUp,
		LastGiven: s.LastGiven, Dropped: q.dropped}
	if r.Waiting > 0 {
		r.Oldest = q.words[0].at
	}
	if r.Waiting == 0 {
		r.NextTry = time.Time{}
	}
	return r
}

func (h *Herald) find(name string) (*queue, error) {
	if q := h.queue(name); q != nil {
		return q, nil
	}
	var names []string
	for _, q := range h.queues {
		names = append(names, q.name)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%.80q: %w: nobody is to be told anything; [[notify.webhook]] and [notify.mail] in the "+
			"settings file say who is (`diskcast config example`)", name, ErrNone)
	}
	return nil, fmt.Errorf("%.80q: %w: `diskcast notify list` lists them%s", name, ErrNone, nearest.Hint(name, names))
}

// SetSecret stores a receiver's key or password, sealed; an empty one is taken away.
func (h *Herald) SetSecret(ctx context.Context, name string, in doc.NotifySecret) (*doc.NotifyReceiver, error) {
	if in.V != session.Version {
		return nil, fmt.Errorf("%w: the secret has v=%d, this server speaks v=%d", session.ErrVersion, in.V,
			session.Version)
	}
	q, err := h.find(name)
	if err != nil {
		return nil, err
	}
	if len(in.Secret) > maxSecret {
		return nil, &refusal{fmt.Sprintf("a secret of more than %d bytes", maxSecret)}
	}
	var box []byte
	if in.Secret != "" {
		box = h.cfg.Key.Seal(secretPrefix+name, []byte(in.Secret))
	}
	err = h.cfg.Store.Update(ctx, func(tx store.WriteTx) error {
		if box == nil {
			return tx.Delete(secretPrefix + name)
		}
		return store.PutJSON(tx, secretPrefix+name, box)
	})
	if err != nil {
		return nil, err
	}
	q.mu.Lock()
	q.box = box
	q.mu.Unlock()
	q.soon()
	v := q.view()
	return &v, nil
}

// soon has the next try made at once.
func (q *queue) soon() {
	q.mu.Lock()
	if q.state.Tries > 0 {
		q.state.NextTry = q.h.cfg.Now()
	}
	q.mu.Unlock()
	q.wake()
}

// Test tells one receiver, or all, a word at once, beside the queue. One who takes it is told what waits at once too.
func (h *Herald) Test(ctx context.Context, in doc.NotifyTest) ([]doc.NotifyResult, error) {
	if in.V != session.Version {
		return nil, fmt.Errorf("%w: the test has v=%d, this server speaks v=%d", session.ErrVersion, in.V,
			session.Version)
	}
	queues := h.queues
	if in.To != "" || len(queues) == 0 {
		q, err := h.find(in.To)
		if err != nil {
			return nil, err
		}
		queues = []*queue{q}
	}
	out := make([]doc.NotifyResult, len(queues))
	var all sync.WaitGroup
	for i, q := range queues {
		all.Go(func() { out[i] = q.test(ctx) })
	}
	all.Wait()
	return out, nil
}

func (q *queue) test(ctx context.Context) doc.NotifyResult {
	h := q.h
	h.mu.Lock()
	h.seq++
	id := fmt.Sprintf("%s-%08x-test", h.tag, h.seq)
	h.mu.Unlock()
	w := h.trim(doc.Word{ID: id, Kind: doc.WordTest, Title: "this is a test: words of the server come here"})
	began := time.Now()
	r := doc.NotifyResult{Receiver: q.name}
	answer, err := q.send(ctx, []doc.Word{w})
	r.OK, r.Answer, r.Seconds = err == nil, answer, time.Since(began).Seconds()
	if err != nil {
		r.Answer = line(err.Error(), 600)
		return r
	}
	q.soon()
	return r
}
