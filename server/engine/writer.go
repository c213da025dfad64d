package engine

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/diskcast/diskcast/server/store"
	"github.com/diskcast/diskcast/server/store/record"
)

// writer brings many small changes to the store in few transactions, in the order of their making.
type writer struct {
	store store.Store
	log   *slog.Logger
	now   func() time.Time
	kick  chan struct{}
	whole sync.Locker    // held while what belongs together is put: no transaction has only a part of that
	owned store.Revision // of record.OwnerKey, when this server became the owner
	lost  chan struct{}  // closed when another server is the owner
	over  chan struct{}  // closed when nothing is written any more
	// stored is called when words were written; nil: there are none.
	stored func()

	mu  sync.Mutex
	cur *batch // being filled
	fly *batch // being written, nil when none is
	bad trouble

	giveUp sync.Once
}

// errEnds is told to those whose word came when the server had written its last.
var errEnds = errors.New("the server is ending and stores nothing any more: ask again when it runs")

// batch is the changes of one transaction; a nil value deletes.
type batch struct {
	m    map[string][]byte
	done chan struct{} // closed when err is set
	err  error
	word bool // something in it is to be told
}

// over reports whether the batch was written, or could not be.
func (b *batch) over() bool {
	select {
	case <-b.done:
		return true
	default:
		return false
	}
}

// failed reports whether the batch could not be written.
func (b *batch) failed() bool { return b != nil && b.over() && b.err != nil }

func newBatch() *batch { return &batch{m: map[string][]byte{}, done: make(chan struct{})} }

func newWriter(s store.Store, log *slog.Logger, now func() time.Time, whole sync.Locker) *writer {
	return &writer{store: s, log: log, now: now, whole: whole, kick: make(chan struct{}, 1), lost: make(chan struct{}),
		over: make(chan struct{}),
		cur:  newBatch()}
}

// clockSet tells a trouble that lasts in the time of a clock that was set.
func (w *writer) clockSet(by time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.bad.since.IsZero() {
		w.bad.since = w.bad.since.Add(by)
	}
}

func (w *writer) put(key string, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic("engine: state of " + key + " has no JSON: " + err.Error()) // our own types: cannot be
	}
	w.set(key, b)
}

// word puts, or with nil deletes, what has to do with what is to be told.
func (w *writer) word(key string, v any) {
	w.mu.Lock()
	w.cur.word = true
	w.mu.Unlock()
	if v == nil {
		w.del(key)
	} else {
		w.put(key, v)
	}
}

func (w *writer) del(key string) { w.set(key, nil) }

func (w *writer) set(key string, b []byte) {
	w.mu.Lock()
	w.cur.m[key] = b
	w.mu.Unlock()
	select {
	case w.kick <- struct{}{}:
	default:
	}
}

// wait returns when all that was put before is durable, or why it is not (it will be tried again).
func (w *writer) wait(ctx context.Context) error {
	b := w.last()
	if b == nil {
		return nil
	}
	select {
	case <-b.done:
		return stateHelp(b.err)
	case <-w.over:
		if b.over() { // by the last flush
			return stateHelp(b.err)
		}
		return errEnds
	case <-ctx.Done():
		return ctx.Err()
	}
}

// last is the batch after which all that was put before is durable, nil when it is already.
func (w *writer) last() *batch {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.cur.m) > 0 {
		return w.cur
	}
	return w.fly
}

// trouble is why records are not written, and since when.
func (w *writer) trouble() trouble {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.bad
}

// run writes until ctx ends, and then what is left.
func (w *writer) run(ctx context.Context) {
	defer close(w.over)
	var retry <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			w.flush()
			return
		case <-w.kick:
		case <-retry:
		}
		retry = nil
		if !w.flush() {
			retry = time.After(time.Second)
		}
	}
}

// take takes what is to be written; nil for nothing.
func (w *writer) take() *batch {
	w.whole.Lock()
	defer w.whole.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	b := w.cur
	if len(b.m) == 0 {
		return nil
	}
	w.cur, w.fly = newBatch(), b
	return b
}

func (w *writer) flush() bool {
	b := w.take()
	if b == nil {
		return true
	}

	err := w.store.Update(context.Background(), func(tx store.WriteTx) error {
		if err := tx.Expect(record.OwnerKey, w.owned); err != nil {
			return err
		}
		for k, v := range b.m {
			var err error
			if v == nil {
				err = tx.Delete(k)
			} else {
				err = tx.Put(k, v)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})

	if lostTo(err) {
		w.giveUp.Do(func() { close(w.lost) })
	}
	w.mu.Lock()
	w.fly = nil
	if err == nil {
		w.bad = trouble{}
	} else {
		w.bad.is(w.now(), err)
		w.log.Error("state could not be written; it will be tried again", "err", err)
		w.cur.word = w.cur.word || b.word
		for k, v := range b.m { // what was put since is newer
			if _, newer := w.cur.m[k]; !newer {
				w.cur.m[k] = v
			}
		}
	}
	w.mu.Unlock()
	b.err = err
	close(b.done)
	if err == nil && b.word && w.stored != nil {
		w.stored()
	}
	return err == nil
}
