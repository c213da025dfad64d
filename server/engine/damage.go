package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/diskcast/diskcast/server/jobs"
)

// check is the last look at a chunk of an image.
type check struct {
	running bool
	at      time.Time
}

// recheck is how soon the same chunk is looked at again: nodes that receive the same damage report it together, and
// a node that reports nonsense must not keep the disk busy.
const recheck = time.Minute

// suspect looks whether the server's own copy of a chunk of the image for the disk is damaged, and fails every session
// of the image if so. Chunk -1 looks at the whole image.
func (e *Engine) suspect(s *sess, disk, chunk int) {
	if e.runCtx == nil || s.Over() || !s.Kind.Traits().Cast {
		return
	}
	im := s.ImageOf(disk)
	manifest, name := im.Manifest, im.Name
	key := fmt.Sprintf("%s %d", manifest, chunk)
	c := e.checks[key]
	if c != nil && (c.running || e.now().Sub(c.at) < recheck) {
		return
	}
	busy := 0
	for k, c := range e.checks {
		if c.running {
			busy++
		} else if e.now().Sub(c.at) >= recheck {
			delete(e.checks, k)
		}
	}
	if busy >= 2 || len(e.checks) > 100 {
		return // the node asks for the chunk again and reports it again
	}
	c = &check{running: true}
	e.checks[key] = c
	ctx := e.runCtx
	e.casts.Add(1)
	// Ends when the chunk is read, or with the engine.
	go func() {
		defer e.casts.Done()
		err := e.cfg.Images.Check(ctx, manifest, chunk)
		e.mu.Lock()
		defer e.mu.Unlock()
		c.running, c.at = false, e.now()
		if errors.Is(err, context.Canceled) {
			return
		}
		if err == nil {
			e.log.Warn("a node refused a chunk that is whole on the server", "image", name, "chunk", chunk)
			return
		}
		e.log.Error("image is damaged", "image", name, "manifest", manifest, "err", err)
		for _, id := range slices.Clone(e.jobs.Order()) {
			if s := e.jobs.Session(id); s.Brings(manifest) {
				e.step(jobs.Broken{Session: id, Reason: fmt.Sprintf(
					"%v; `diskcast image verify %s` shows all that is damaged, then capture or import the image again",
					err, name)})
			}
		}
	}()
}
