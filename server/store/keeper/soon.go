package keeper

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Many small changes go to the store in few transactions, in the order of their making.

// errEnds is told to those whose word came when the keeper had written its last.
var errEnds = errors.New("the server is ending and stores nothing any more: ask again when it runs")

// Batch is the changes of one transaction. A nil one is of what is durable already.
type Batch struct {
	m    map[string][]byte // a nil value deletes
	done chan struct{}     // closed when err is set
	err  error
	word bool // something in it is to be told

	mu    sync.Mutex
	calls []func() // when it is over
}

func newBatch() *Batch { return &Batch{m: map[string][]byte{}, done: make(chan struct{})} }

// Done is closed when the batch was written, or could not be.
func (b *Batch) Done() <-chan struct{} {
	if b == nil {
		return nil
	}
	return b.done
}

func (b *Batch) over() bool {
	select {
	case <-b.done:
		return true
	default:
		return false
	}
}

// Then has f called when the batch was written, or could not be: at once where that was. f does not wait for anything.
func (b *Batch) Then(f func()) {
	if b != nil {
		b.mu.Lock()
		if !b.over() {
			b.calls = append(b.calls, f)
			b.mu.Unlock()
			return
		}
		b.mu.Unlock()
	}
	f()
}

// Over reports whether the batch was written, or why it was not (it will be tried again).
func (b *Batch) Over() (over bool, err error) {
	if b == nil {
		return true, nil
	}
	if !b.over() {
		return false, nil
	}
	return true, help(b.err)
}

// finish tells all who wait for the batch what came of it.
func (b *Batch) finish(err error) {
	b.mu.Lock()
	b.err = err
	close(b.done)
	calls := b.calls
	b.calls = nil
	b.mu.Unlock()
	for _, f := range calls {
		f()
	}
}

// Failed reports whether the batch could not be written.
func (b *Batch) Failed() bool { return b != nil && b.over() && b.err != nil }

// Durable reports whether the batch was written.
func (b *Batch) Durable() bool { return b == nil || b.over() && b.err == nil }

// Put has a record written soon; nil takes it out.
func (k *Keeper) Put(key string, v any) { k.set(key, v, false) }

// Del has a record taken out soon.
func (k *Keeper) Del(key string) { k.set(key, nil, false) }

// Word puts what has to do with what is to be told.
func (k *Keeper) Word(key string, v any) { k.set(key, v, true) }

func (k *Keeper) set(key string, v any, word bool) {
	b, err := encode(v)
	if err != nil {
		panic("keeper: state of " + key + " has no JSON: " + err.Error()) // our own types: cannot be
	}
	k.mu.Lock()
	k.cur.m[key] = b
	k.cur.word = k.cur.word || word
	k.mu.Unlock()
	select {
	case k.kick <- struct{}{}:
	default:
	}
}

// Wait returns when all that was put before is durable, or why it is not (it will be tried again).
func (k *Keeper) Wait(ctx context.Context) error { return k.WaitFor(ctx, k.Last()) }

// WaitFor is Wait for what a batch has.
func (k *Keeper) WaitFor(ctx context.Context, b *Batch) error {
	if b == nil {
		return nil
	}
	select {
	case <-b.done:
		return help(b.err)
	case <-k.over:
		if b.over() { // by the last flush
			return help(b.err)
		}
		return errEnds
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Last is the batch after which all that was put before is durable.
func (k *Keeper) Last() *Batch {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.cur.m) > 0 {
		return k.cur
	}
	return k.fly
}

// Run writes until ctx ends, and then what is left.
func (k *Keeper) Run(ctx context.Context) {
	defer close(k.over)
	var retry <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			k.flush()
			return
		case <-k.probe:
			if retry == nil {
				retry = time.After(time.Second)
			}
			continue
		case <-k.kick:
		case <-retry:
			k.try()
		}
		retry = nil
		if !k.flush() {
			retry = time.After(time.Second)
		}
	}
}

// take takes what is to be written; nil for nothing.
func (k *Keeper) take() *Batch {
	k.whole.Lock()
	defer k.whole.Unlock()
	k.mu.Lock()
	defer k.mu.Unlock()
	b := k.cur
	if len(b.m) == 0 {
		return nil
	}
	k.cur, k.fly = newBatch(), b
	return b
}

func (k *Keeper) flush() bool {
	b := k.take()
	if b == nil {
		return true
	}
	err := k.write(context.Background(), b.m)
	if lostTo(err) {
		k.giveUp.Do(func() { close(k.lost) })
	}
	k.mu.Lock()
	k.fly = nil
	if err == nil {
		k.bad = Trouble{}
	} else {
		if k.bad.Since.IsZero() {
			k.bad.Since = k.now()
		}
		k.bad.Words = Words(err)
		k.log.Error("state could not be written; it will be tried again", "err", err)
		k.cur.word = k.cur.word || b.word
		for key, v := range b.m { // what was put since is newer
			if _, newer := k.cur.m[key]; !newer {
				k.cur.m[key] = v
			}
		}
	}
	k.mu.Unlock()
	b.finish(err)
	if err == nil && b.word && k.stored != nil {
		k.stored()
	}
	return err == nil
}
