package engine

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/store/keeper"
)

// Want is somebody who waits for a node's next descriptor. It has no goroutine: 5,000 nodes wait at a time.
type Want struct {
	e     *Engine
	id    string
	after uint64
	boot  string
	node  *node  // among whose wants it is; nil: none
	wake  func() // it is worth another look

	// What has come, and becomes durable with the batch.
	d *session.Descriptor
	b *keeper.Batch
}

// Want is for who waits for the node's descriptor with a serial above after.
func (e *Engine) Want(id string, after uint64) *Want { return &Want{e: e, id: id, after: after} }

// Look returns the descriptor when there is one and it is durable. When it returns nil, wake is called when it is worth
// another look, at once or later; it does not wait for anything.
func (w *Want) Look(wake func()) (*session.Descriptor, error) {
	if err := w.find(wake); err != nil || w.d == nil {
		return nil, err
	}
	over, err := w.b.Over()
	if err != nil {
		w.d = nil // it is looked for anew
		return nil, err
	}
	if !over {
		w.b.Then(wake)
		return nil, nil
	}
	return w.d, nil
}

// Coming reports whether a descriptor is there that is not durable yet.
func (w *Want) Coming() bool { return w.d != nil }

// find looks for a descriptor, and waits for one where there is none.
func (w *Want) find(wake func()) error {
	e := w.e
	e.mu.Lock()
	defer e.mu.Unlock()
	w.leave()
	n := e.nodes[w.id]
	if n == nil {
		return fmt.Errorf("node %s: %w", w.id, ErrNotFound)
	}
	if w.boot == "" {
		w.boot = n.Boot
	}
	if n.Boot != w.boot { // a machine that is alive asks again, and is heard
		return ErrToken
	}
	if w.d != nil {
		return nil
	}
	e.heard(n)
	if d := n.Descriptor; d != nil && d.Serial > w.after {
		w.d, w.b = d, e.w.Last()
		return nil
	}
	w.node, w.wake = n, wake
	n.wants = append(n.wants, w)
	return nil
}

// leave forgets the wait. The caller holds the engine's lock.
func (w *Want) leave() {
	if w.node == nil {
		return
	}
	if i := slices.Index(w.node.wants, w); i >= 0 {
		w.node.wants = slices.Delete(w.node.wants, i, i+1)
	}
	w.node = nil
}

// Close ends the wait.
func (w *Want) Close() {
	w.e.mu.Lock()
	defer w.e.mu.Unlock()
	w.leave()
}

// wake has those who wait for a descriptor look again.
func (n *node) wake() {
	for _, w := range n.wants {
		w.node = nil
		w.wake()
	}
	clear(n.wants)
	n.wants = n.wants[:0]
}

// Descriptor returns the node's descriptor when its serial is above after, waiting for one at most so long; nil when
// there is none. What it returns is durable.
func (e *Engine) Descriptor(ctx context.Context, id string, after uint64, wait time.Duration) (*session.Descriptor,
	error) {
	late := time.NewTimer(wait)
	defer late.Stop()
	again := make(chan struct{}, 1)
	w := e.Want(id, after)
	defer w.Close()
	for {
		d, err := w.Look(func() {
			select {
			case again <- struct{}{}:
			default:
			}
		})
		if d != nil || err != nil {
			return d, err
		}
		var due <-chan time.Time
		if w.d == nil {
			due = late.C
		}
		select {
		case <-again:
		case <-due:
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
