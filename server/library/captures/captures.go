// Package captures keeps what nodes send of their disks until it is an image. It lives in stages of the image store, so
// that a server which was killed has all the frames that it took; a stage is opened when a node asks for it.
package captures

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/server/engine"
)

// Store takes captures into an image store. Its methods may be called from several goroutines.
type Store struct {
	st  *image.Store
	log *slog.Logger

	mu     sync.Mutex
	open   map[string]*upload
	closed bool
}

// upload is one capture under way. Frames come side by side; making the image, or an end of it, waits for them.
type upload struct {
	mu    sync.RWMutex
	disk  int64
	stage *image.Stage // nil: not open
	over  error        // why no request is taken any more
	// uses is what the operator is told while the stage is open. It is read while mu is held for minutes.
	uses atomic.Pointer[string]
}

// drop forgets the stage, which is closed.
func (up *upload) drop() {
	up.stage = nil
	up.uses.Store(nil)
}

var (
	errOver = fmt.Errorf("%w: its session is over", image.ErrNotFound)
	// errClosed is not the node's fault: it asks again, and the next server takes the capture up.
	errClosed = errors.New("the server ends")
)

var _ engine.Captures = (*Store)(nil)

// New returns a Store.
func New(st *image.Store, log *slog.Logger) *Store {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Store{st: st, log: log, open: map[string]*upload{}}
}

func (s *Store) find(id string) *upload {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.open[id]
	if u == nil && s.closed {
		return &upload{over: errClosed}
	}
	if u == nil {
		u = &upload{}
		s.open[id] = u
	}
	return u
}

// with runs f with the stage of the capture open. A node that comes back with a disk of another size starts again, with
// the frames that are there.
func (s *Store) with(u *engine.Upload, disk int64, f func(*image.Stage) error) error {
	up := s.find(u.ID)
	for {
		up.mu.RLock()
		if err := up.over; err != nil {
			up.mu.RUnlock()
			return fmt.Errorf("capture %s: %w", u.ID, err)
		}
		if up.stage != nil && up.disk == disk {
			defer up.mu.RUnlock()
			return f(up.stage)
		}
		up.mu.RUnlock()
		if err := s.prepare(up, u, disk); err != nil {
			return err
		}
	}
}

func (s *Store) prepare(up *upload, u *engine.Upload, disk int64) error {
	up.mu.Lock()
	defer up.mu.Unlock()
	if up.over != nil || (up.stage != nil && up.disk == disk) {
		return nil
	}
	if up.stage != nil {
		up.stage.Close()
		up.drop()
	}
	stage, err := s.st.OpenStage(u.ID,
		image.BuilderOptions{DiskSize: disk, Grid: max(u.Grid, image.GridFor(disk)), Parent: u.Parent})
	if err != nil {
		return err
	}
	words := fmt.Sprintf("session %s of this server captures %s into it: `diskcast session watch %s` follows it",
		u.Session, u.Name, u.Session)
	if u.Session == engine.ImportSession {
		words = "an import of " + u.Name + " from an operator is under way"
	}
	up.stage, up.disk = stage, disk
	up.uses.Store(&words)
	s.log.Info("capture is taken in", "capture", u.ID, "image", u.Name, "disk", disk)
	return nil
}

// Has reports whether a frame need not be sent.
func (s *Store) Has(u *engine.Upload, disk int64, sum [32]byte, size int64) (have bool, err error) {
	err = s.with(u, disk, func(g *image.Stage) error {
		have = g.Has(sum, size)
		return nil
	})
	return have, err
}

// Put takes a frame, which is decoded and hashed before it counts.
func (s *Store) Put(u *engine.Upload, disk int64, sum [32]byte, size int64, stored []byte) error {
	return s.with(u, disk, func(g *image.Stage) error { return g.Put(sum, size, stored) })
}

// Finish makes the image. It goes on when ctx ends, because a node that lost its connection asks again, and must then
// not begin anew.
func (s *Store) Finish(ctx context.Context, u *engine.Upload, disk int64, x *image.Index, cfg *image.Config) (string,
	error) {
	if cfg.DiskSize != disk || x.DiskSize != disk {
		return "", fmt.Errorf("capture %s: %w: config and index are of disks of %d and %d bytes, not %d", u.ID,
			image.ErrFormat, cfg.DiskSize, x.DiskSize, disk)
	}
	cfg.Level = u.Level
	if err := s.with(u, disk, func(*image.Stage) error { return nil }); err != nil {
		return "", err
	}
	up := s.find(u.ID)
	up.mu.Lock()
	defer up.mu.Unlock()
	if errors.Is(up.over, errClosed) {
		return "", fmt.Errorf("capture %s: %w", u.ID, up.over)
	}
	if up.over != nil || up.stage == nil || up.disk != disk {
		return "", fmt.Errorf("capture %s: %w: another request ended it meanwhile", u.ID, image.ErrNotFound)
	}
	digest, err := up.stage.Finish(context.WithoutCancel(ctx), x, cfg, u.Name, time.Now().UTC(),
		map[string]string{"org.diskcast.session": u.Session})
	var missing *image.MissingError
	if errors.As(err, &missing) {
		s.log.Warn("capture lacks frames", "capture", u.ID, "frames", len(missing.Frames))
	}
	if err != nil {
		return "", err
	}
	up.drop() // gone; should the answer be lost, another is opened, which finds all frames in the store
	return digest, nil
}

// End implements engine.Captures.
func (s *Store) End(id string) {
	up := s.find(id)
	up.mu.Lock()
	defer up.mu.Unlock()
	up.over = errOver // it stays in s.open: a request that is late must not begin the stage anew
	if up.stage == nil {
		// Of before a restart of the server, perhaps.
		ids, err := s.st.Stages()
		if err != nil || !slices.Contains(ids, id) {
			return
		}
		if up.stage, err = s.st.OpenStage(id, image.BuilderOptions{DiskSize: 1 << 40}); err != nil {
			s.log.Warn("what came of a capture stays until `diskcast image gc --partial`", "capture", id, "err", err)
			return
		}
	}
	if err := up.stage.Discard(); err != nil {
		s.log.Warn("what came of a capture stays until `diskcast image gc --partial`", "capture", id, "err", err)
	}
	up.drop()
}

// Uses says what has the store in use, so that no space of it can be freed.
func (s *Store) Uses() (words []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, up := range s.open {
		if w := up.uses.Load(); w != nil {
			words = append(words, *w)
		}
	}
	slices.Sort(words)
	return words
}

// Rest lets go of a capture of which nothing more comes for now, so that the store's space can be freed. What has come
// stays, and the next request goes on with it.
func (s *Store) Rest(id string) {
	s.mu.Lock()
	up := s.open[id]
	s.mu.Unlock()
	if up == nil {
		return
	}
	up.mu.Lock()
	defer up.mu.Unlock()
	if up.stage != nil {
		up.stage.Close()
		up.drop()
	}
}

// Room implements engine.Captures.
func (s *Store) Room() (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(s.st.Dir(), &st); err != nil {
		return 0, fmt.Errorf("%s: %w", s.st.Dir(), err)
	}
	return int64(st.Bavail) * st.Bsize, nil
}

// Close lets go of all captures; what has come of them stays for the next Store.
func (s *Store) Close() {
	s.mu.Lock()
	all := s.open
	s.open, s.closed = map[string]*upload{}, true
	s.mu.Unlock()
	for _, up := range all {
		up.mu.Lock()
		if up.stage != nil {
			up.stage.Close()
			up.drop()
		}
		if up.over == nil {
			up.over = errClosed
		}
		up.mu.Unlock()
	}
}
