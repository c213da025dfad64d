// Package optimizer makes the images of a server smaller while it has nothing else to do: one after another, at the
// lowest priority, and none that a session is about. A session that begins to send or to receive stops it; when the
// last such session is over it goes on where it was.
package optimizer

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/optimize"
	"github.com/diskcast/diskcast/server/engine"
)

// Sessions tells what the server is busy with; engine.Engine does.
type Sessions interface {
	// Activity returns what goes on, and a channel that is closed when that may have changed.
	Activity() (engine.Activity, <-chan struct{})
}

// Config of New.
type Config struct {
	Store    *image.Store
	Sessions Sessions
	Log      *slog.Logger
	New      func() (optimize.Compressor, error) // nil: optimize.Best
	// Look is when to look for images that other programs have brought into the store; nil: every minute.
	Look <-chan time.Time
}

// Task optimizes images. It is a task.Task.
type Task struct {
	cfg   Config
	ready chan struct{}
	// tried has the images, by digest, that could not be optimized. They are tried again after a restart of the server.
	tried map[string]bool
}

// New returns a Task.
func New(cfg Config) *Task {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	t := &Task{cfg: cfg, ready: make(chan struct{}), tried: map[string]bool{}}
	close(t.ready) // nobody waits for it
	return t
}

// Name implements task.Task.
func (t *Task) Name() string { return "optimizer" }

// Ready implements task.Task.
func (t *Task) Ready() <-chan struct{} { return t.ready }

// Run implements task.Task.
func (t *Task) Run(ctx context.Context) error {
	look := t.cfg.Look
	if look == nil {
		tick := time.NewTicker(time.Minute)
		defer tick.Stop()
		look = tick.C
	}
	for {
		// Asked for before the store is read: a change in between is not missed.
		activity, changed := t.cfg.Sessions.Activity()
		if e, ok := t.next(activity); ok && t.one(ctx, e) {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-look:
		}
	}
}

// next chooses an image to optimize, with a name if it has one.
func (t *Task) next(a engine.Activity) (image.Entry, bool) {
	if a.Going {
		return image.Entry{}, false
	}
	list, err := t.cfg.Store.List()
	if err != nil {
		t.cfg.Log.Warn("images cannot be listed", "err", err)
		return image.Entry{}, false
	}
	for _, e := range list {
		// One without a name waits for garbage collection: it is not worth the time.
		if e.Name == "" || t.tried[e.Digest] || a.Images[e.Digest] {
			continue
		}
		m, err := t.cfg.Store.Open(e.Digest)
		if err != nil {
			t.failed(e, err)
			continue
		}
		done := optimize.Done(m.Config(), e)
		if err := m.Close(); err != nil {
			t.cfg.Log.Warn("closing an image", "image", e.Name, "err", err)
		}
		if !done {
			return e, true
		}
	}
	return image.Entry{}, false
}

func (t *Task) failed(e image.Entry, err error) {
	t.tried[e.Digest] = true
	t.cfg.Log.Error("image cannot be optimized", "image", e.Name, "manifest", e.Digest, "err", err)
}

// one optimizes an image until a session comes in between. It reports whether another one may be looked for at once.
func (t *Task) one(ctx context.Context, e image.Entry) bool {
	log := t.cfg.Log.With("image", e.Name, "manifest", e.Digest)
	ctx, stop := context.WithCancel(ctx)
	watched := make(chan struct{})
	// Ends when the work does.
	go func() {
		defer close(watched)
		defer stop()
		for ctx.Err() == nil {
			a, changed := t.cfg.Sessions.Activity()
			if a.Going || a.Images[e.Digest] {
				return
			}
			select {
			case <-changed:
			case <-ctx.Done():
			}
		}
	}()
	log.Info("image is optimized while no session runs")
	began := time.Now()
	r, err := optimize.Image(ctx, t.cfg.Store, e.Digest, optimize.Options{New: t.cfg.New})
	interrupted := ctx.Err() != nil
	stop()
	<-watched
	switch {
	case err == nil && r.Digest == e.Digest:
		log.Info("image stays as it is: it becomes no smaller", "bytes", r.Before)
	case err == nil:
		log.Info("image is optimized; `diskcast image gc --unnamed` frees what it took before",
			"names", r.Names, "now", r.Digest, "before", r.Before, "after", r.After, "seconds",
			int(time.Since(began).Seconds()))
	case interrupted:
		log.Info("image is optimized later: a session has begun, or the server ends")
		return false
	case errors.Is(err, image.ErrBusy), errors.Is(err, image.ErrNotFound):
		// Another process does it, or it is not there any more.
		log.Info("image is not optimized now", "err", err)
		return false
	default:
		t.failed(e, err)
	}
	return true
}
