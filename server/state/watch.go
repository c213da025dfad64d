package state

import (
	"context"
	"strings"
	"sync"
)

// watchers hands changes to those who watch. The zero value is ready.
type watchers struct {
	mu  sync.Mutex
	set map[*watcher]struct{}
}

type watcher struct {
	prefix string
	ch     chan Change
	lost   bool
}

func (w *watchers) watch(ctx context.Context, prefix string) <-chan Change {
	x := &watcher{prefix: prefix, ch: make(chan Change, 64)}
	w.mu.Lock()
	if w.set == nil {
		w.set = map[*watcher]struct{}{}
	}
	w.set[x] = struct{}{}
	w.mu.Unlock()
	context.AfterFunc(ctx, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.set, x)
		close(x.ch)
	})
	return x.ch
}

// tell never blocks: a watcher that is behind is told so as soon as it has room.
func (w *watchers) tell(keys []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for x := range w.set {
		for _, key := range keys {
			if !strings.HasPrefix(key, x.prefix) {
				continue
			}
			x.send(Change{Key: key})
		}
	}
}

func (x *watcher) send(c Change) {
	// One place is kept for the Lost change, so that a slow watcher always learns of its loss.
	if len(x.ch) < cap(x.ch)-1 {
		x.lost = false
		x.ch <- c
		return
	}
	if !x.lost {
		x.lost = true
		x.ch <- Change{Lost: true}
	}
}
