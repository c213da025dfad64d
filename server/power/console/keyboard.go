package console

import "sync"

// keyboard is what is typed, as a reader that waits for more.
type keyboard struct {
	mu     sync.Mutex
	queued []byte
	closed bool
	used   bool          // something was typed
	more   chan struct{} // has a token where something is queued, or it is closed
}

func newKeyboard() *keyboard {
	return &keyboard{more: make(chan struct{}, 1)}
}

func (k *keyboard) wake() {
	select {
	case k.more <- struct{}{}:
	default:
	}
}

// add queues keys, all or none.
func (k *keyboard) add(keys []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return ErrNone
	}
	if len(k.queued)+len(keys) > maxQueued {
		return ErrFull
	}
	k.queued, k.used = append(k.queued, keys...), true
	k.wake()
	return nil
}

// Read implements io.Reader. One reader reads.
func (k *keyboard) Read(p []byte) (int, error) {
	for {
		k.mu.Lock()
		n := copy(p, k.queued)
		k.queued = k.queued[n:]
		if len(k.queued) > 0 || k.closed {
			k.wake()
		}
		end := k.closed
		k.mu.Unlock()
		switch {
		case end:
			return 0, left
		case n > 0:
			return n, nil
		}
		<-k.more
	}
}

// Close ends it: what is queued is not typed any more.
func (k *keyboard) Close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closed = true
	k.wake()
}

// typed reports whether something was typed at it.
func (k *keyboard) typed() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.used
}
