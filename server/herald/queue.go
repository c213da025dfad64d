package herald

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/internal/sealed"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/store"
)

// sender is a way to tell a receiver.
type sender interface {
	// by is the kind of receiver, and to where words go.
	by() string
	to() string
	// wants is the operator's word for the secret. needs is set where nothing is sent without.
	wants() (what string, needs bool)
	// most is how many words go at once, at most, and gather how long the first waits for the others.
	most() int
	gather() time.Duration
	// send tells words, in order. The answer is a line for the operator.
	send(ctx context.Context, secret string, words []doc.Word) (answer string, err error)
}

// state is what is stored of a receiver beside its words.
type state struct {
	Told      uint64    `json:"told,omitempty"`
	LastTold  time.Time `json:"last_told,omitzero"`
	GivenUp   uint64    `json:"given_up,omitempty"`
	LastGiven time.Time `json:"last_given_up,omitzero"`
	Tries     int       `json:"tries,omitempty"`
	LastTry   time.Time `json:"last_try,omitzero"`
	NextTry   time.Time `json:"next_try,omitzero"`
	Error     string    `json:"error,omitempty"`
}

// waiting is a word in the queue, whose content is in the store.
type waiting struct {
	id       string
	at       time.Time
	stranger bool // anybody on the LAN can cause such
}

// queue is one receiver's.
type queue struct {
	h      *Herald
	name   string
	out    sender
	kinds  []string
	giveUp time.Duration
	kick   chan struct{}

	mu      sync.Mutex
	words   []waiting // oldest first
	state   state
	dropped uint64
	box     []byte   // the secret, sealed; nil: none
	undone  []string // words that were told, and could not be taken out
}

func newQueue(h *Herald, name string, out sender, kinds []string, giveUp time.Duration) *queue {
	return &queue{h: h, name: name, out: out, kinds: kinds, giveUp: giveUp, kick: make(chan struct{}, 1)}
}

func (q *queue) reset() { q.words = nil }

func (q *queue) key(id string) string { return wordPrefix + q.name + "/" + id }

// found takes in a word that was stored.
func (q *queue) found(id string, b []byte) error {
	var w doc.Word
	if err := json.Unmarshal(b, &w); err != nil {
		return fmt.Errorf("state of %s is damaged: %w", q.key(id), err)
	}
	q.words = append(q.words, waiting{id: id, at: w.Time, stranger: w.Kind == doc.WordMachine})
	return nil
}

func (q *queue) load(tx store.Tx) error {
	for key, v := range map[string]any{statePrefix: &q.state, lostPrefix: &q.dropped, secretPrefix: &q.box} {
		if err := store.GetJSON(tx, key+q.name, v); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	return nil
}

// take adds a word, and what is to be stored for that. Where there is no room the oldest goes; a stranger's word has
// room only beside the others.
func (q *queue) take(w doc.Word, puts map[string]any) {
	q.mu.Lock()
	defer q.mu.Unlock()
	stranger := w.Kind == doc.WordMachine
	drop := func() {
		q.dropped++
		puts[lostPrefix+q.name] = q.dropped
		if q.dropped%1000 == 1 {
			q.h.log.Error("words are dropped: too many wait", "receiver", q.name, "waiting", len(q.words), "dropped",
				q.dropped, "try", "diskcast notify list")
		}
	}
	if stranger {
		n := 0
		for i := range q.words {
			if q.words[i].stranger {
				n++
			}
		}
		if n >= maxStrangers {
			drop()
			return
		}
	}
	if len(q.words) >= maxWaiting {
		puts[q.key(q.words[0].id)] = nil
		q.words = slices.Delete(q.words, 0, 1)
		drop()
	}
	q.words = append(q.words, waiting{id: w.ID, at: q.h.cfg.Now(), stranger: stranger})
	puts[q.key(w.ID)] = w
}

func (q *queue) wake() {
	select {
	case q.kick <- struct{}{}:
	default:
	}
}

// run tells what waits until ctx ends.
func (q *queue) run(ctx context.Context) {
	for {
		var due <-chan time.Time
		stop := func() bool { return true }
		if wait, some := q.wait(); some {
			t := time.NewTimer(wait)
			due, stop = t.C, t.Stop
		}
		select {
		case <-ctx.Done():
			stop()
			return
		case <-q.kick:
			stop()
		case <-due:
			q.turn(ctx)
		}
	}
}

// wait is how long nothing is to be told; some is false while nothing waits, or nothing can be told.
func (q *queue) wait() (d time.Duration, some bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.words) == 0 && len(q.undone) == 0 || q.problem() != "" {
		return 0, false
	}
	now := q.h.cfg.Now()
	if q.state.Tries > 0 {
		// A clock that was set back makes nobody wait for longer than the longest pause.
		return min(max(0, q.state.NextTry.Sub(now)), q.h.cfg.Timing.Most), true
	}
	if len(q.words) == 0 || len(q.words) >= q.out.most() {
		return 0, true
	}
	gather := q.out.gather()
	return min(max(0, q.words[0].at.Add(gather).Sub(now)), gather), true
}

// problem is what keeps all words from the receiver. The caller holds the lock.
func (q *queue) problem() string {
	if _, err := q.secret(); err != nil {
		return err.Error()
	}
	return ""
}

// secret opens what is stored; without what the receiver needs it fails. The caller holds the lock.
func (q *queue) secret() (string, error) {
	what, needs := q.out.wants()
	switch {
	case q.box == nil && needs:
		return "", fmt.Errorf("its %s is not stored: `diskcast notify secret %s --secret-file -` stores it", what,
			q.name)
	case q.box == nil:
		return "", nil
	}
	b, err := q.h.cfg.Key.Open(secretPrefix+q.name, q.box)
	if err != nil {
		return "", fmt.Errorf("its %s does not open with %s, which is another one since: `diskcast notify secret %s "+
			"--secret-file -` stores it anew", what, sealed.KeyFile, q.name)
	}
	return string(b), nil
}

// turn tells the next words.
func (q *queue) turn(ctx context.Context) {
	if err := q.settle(ctx); err != nil {
		q.failed(ctx, err)
		return
	}
	words, err := q.next(ctx)
	if err != nil {
		q.failed(ctx, err)
		return
	}
	if len(words) == 0 {
		// They are on their way into the store: Stored wakes the queue, and if the state cannot be written, this does.
		q.pause(ctx)
		return
	}
	_, err = q.send(ctx, words)
	switch {
	case ctx.Err() != nil:
		return // nobody knows whether they came: they are told again
	case err != nil:
		q.failed(ctx, err)
		return
	}
	q.told(words)
	if err := q.settle(ctx); err != nil {
		q.failed(ctx, err)
	}
}

// pause waits for the next wake, or a second.
func (q *queue) pause(ctx context.Context) {
	t := time.NewTimer(time.Second)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-q.kick:
	case <-t.C:
	}
}

func (q *queue) send(ctx context.Context, words []doc.Word) (string, error) {
	q.mu.Lock()
	secret, err := q.secret()
	q.mu.Unlock()
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, q.h.cfg.Timing.Send)
	defer cancel()
	answer, err := q.out.send(ctx, secret, words)
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = fmt.Errorf("no answer within %v: %w", q.h.cfg.Timing.Send, err)
	}
	return line(answer, 300), err
}

var errEnough = errors.New("enough")

// next reads the words that go next.
func (q *queue) next(ctx context.Context) ([]doc.Word, error) {
	var words []doc.Word
	most := q.out.most()
	err := q.h.cfg.Store.View(ctx, func(tx store.Tx) error {
		words = nil
		return tx.Walk(q.key(""), func(key string, b []byte) error {
			var w doc.Word
			if err := json.Unmarshal(b, &w); err != nil {
				return fmt.Errorf("state of %s is damaged: %w", key, err)
			}
			w.ID = strings.TrimPrefix(key, q.key(""))
			if words = append(words, w); len(words) == most {
				return errEnough
			}
			return nil
		})
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return words, err
}

// told notes that the receiver has words.
func (q *queue) told(words []doc.Word) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range words {
		q.undone = append(q.undone, words[i].ID)
	}
	q.state.Told += uint64(len(words))
	q.state.LastTold, q.state.LastTry = q.h.cfg.Now(), q.h.cfg.Now()
	if q.state.Tries > 0 {
		q.h.log.Info("words are told again", "receiver", q.name, "tries", q.state.Tries)
	}
	q.state.Tries, q.state.NextTry, q.state.Error = 0, time.Time{}, ""
}

// settle takes words out that were told.
func (q *queue) settle(ctx context.Context) error {
	q.mu.Lock()
	undone, st := slices.Clone(q.undone), q.state
	q.mu.Unlock()
	if len(undone) == 0 {
		return nil
	}
	if err := q.write(ctx, undone, st); err != nil {
		return fmt.Errorf("it was told, and the state cannot be written: %w", err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.undone = nil
	q.remove(undone)
	return nil
}

func (q *queue) remove(ids []string) {
	gone := map[string]bool{}
	for _, id := range ids {
		gone[id] = true
	}
	q.words = slices.DeleteFunc(q.words, func(w waiting) bool { return gone[w.id] })
}

func (q *queue) write(ctx context.Context, gone []string, st state) error {
	return q.h.cfg.Store.Update(ctx, func(tx store.WriteTx) error {
		for _, id := range gone {
			if err := tx.Delete(q.key(id)); err != nil {
				return err
			}
		}
		return store.PutJSON(tx, statePrefix+q.name, st)
	})
}

// failed has the words tried again later, and gives up those that are too old.
func (q *queue) failed(ctx context.Context, err error) {
	now, words := q.h.cfg.Now(), plain.Line(err.Error(), 600)
	q.mu.Lock()
	q.state.Tries++
	q.state.LastTry, q.state.Error = now, words
	pause := q.h.backoff(q.state.Tries)
	q.state.NextTry = now.Add(pause)
	var old []string
	for _, w := range q.words {
		if now.Sub(w.at) > q.giveUp && !slices.Contains(q.undone, w.id) {
			old = append(old, w.id)
		}
	}
	if len(old) > 0 {
		q.state.GivenUp += uint64(len(old))
		q.state.LastGiven = now
	}
	st, tries := q.state, q.state.Tries
	q.mu.Unlock()
	if tries == 1 || len(old) > 0 || tries%10 == 0 {
		q.h.log.Warn("words could not be told; they are tried again", "receiver", q.name, "tries", tries, "next",
			pause.Round(time.Second), "err", words)
	}
	if err := q.write(ctx, old, st); err != nil {
		q.h.log.Warn("state could not be written", "receiver", q.name, "err", err)
		q.mu.Lock()
		q.state.GivenUp -= uint64(len(old)) // they are not
		q.mu.Unlock()
		return
	}
	q.mu.Lock()
	q.remove(old)
	q.mu.Unlock()
	if len(old) > 0 {
		q.h.log.Error("words are given up: they could not be told for too long", "receiver", q.name, "words", len(old),
			"after", q.giveUp, "err", words)
	}
}

// backoff is the pause after so many failures in a row: doubled each time, and a random half of it taken off, so that
// those who failed together do not come again together.
func (h *Herald) backoff(tries int) time.Duration {
	d := h.cfg.Timing.Most
	if tries < 24 {
		d = min(d, h.cfg.Timing.First<<(tries-1))
	}
	return d - rand.N(d/2+1)
}
