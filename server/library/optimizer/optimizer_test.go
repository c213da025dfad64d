package optimizer_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/capture"
	"github.com/diskcast/diskcast/internal/image/imagetest"
	"github.com/diskcast/diskcast/internal/image/optimize"
	"github.com/diskcast/diskcast/server/engine"
	"github.com/diskcast/diskcast/server/library/optimizer"
)

// sessions is what the test says goes on.
type sessions struct {
	mu      sync.Mutex
	now     engine.Activity
	changed chan struct{}
}

func (s *sessions) Activity() (engine.Activity, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now, s.changed
}

func (s *sessions) set(a engine.Activity) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = a
	close(s.changed)
	s.changed = make(chan struct{})
}

// house is an optimizer whose every frame waits for the test.
type house struct {
	t        *testing.T
	st       *image.Store
	sessions *sessions
	look     chan time.Time
	frames   chan struct{} // one is taken for each frame
	asked    chan struct{} // a frame is to be compressed
}

func newHouse(t *testing.T) *house {
	st, err := image.OpenStore(filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	return &house{t: t, st: st, sessions: &sessions{changed: make(chan struct{})}, look: make(chan time.Time),
		frames: make(chan struct{}), asked: make(chan struct{}, 1000)}
}

func (h *house) image(name string, seed uint64) string {
	h.t.Helper()
	disk := make([]byte, 1<<20)
	imagetest.Fill(disk, seed)
	r, err := capture.Capture(h.t.Context(), bytes.NewReader(disk), int64(len(disk)), 512,
		capture.Options{Store: h.st, Name: name, Grid: 256 << 10, Level: capture.Fast})
	if err != nil {
		h.t.Fatal(err)
	}
	return r.Digest
}

// run runs the optimizer until the returned function is called, which waits for its end.
func (h *house) run() (stop func()) {
	ctx, cancel := context.WithCancel(h.t.Context())
	task := optimizer.New(optimizer.Config{Store: h.st, Sessions: h.sessions, Look: h.look,
		New: func() (optimize.Compressor, error) {
			c, err := optimize.Go()
			return func(ctx context.Context, dst, p []byte) ([]byte, error) {
				h.asked <- struct{}{}
				select {
				case <-h.frames:
					return c(ctx, dst, p)
				case <-ctx.Done():
					return nil, ctx.Err()
				}
			}, err
		}})
	done := make(chan error, 1)
	go func() { done <- task.Run(ctx) }()
	<-task.Ready()
	return func() {
		cancel()
		if err := <-done; err != nil {
			h.t.Errorf("%s: %v", task.Name(), err)
		}
	}
}

// idle returns when the optimizer waits for something to happen.
func (h *house) idle() { h.look <- time.Time{} }

func (h *house) level(name string) string {
	h.t.Helper()
	m, err := h.st.Open(name)
	if err != nil {
		h.t.Fatal(err)
	}
	defer m.Close()
	return m.Config().Level
}

func (h *house) expect(when string, want map[string]string) {
	h.t.Helper()
	for name, level := range want {
		if got := h.level(name); got != level {
			h.t.Errorf("%s: %s is of level %q, want %q", when, name, got, level)
		}
	}
}

func TestStopsForSessions(t *testing.T) {
	h := newHouse(t)
	h.image("a", 1)
	busy := h.image("b", 2)
	h.sessions.now = engine.Activity{Going: true, Images: map[string]bool{busy: true}}
	stop := h.run()
	h.idle()
	if len(h.asked) > 0 {
		t.Error("it works beside a session")
	}
	// The session waits for nodes: what it is not about may be worked on.
	h.sessions.set(engine.Activity{Images: map[string]bool{busy: true}})
	<-h.asked
	h.frames <- struct{}{}
	<-h.asked
	h.sessions.set(engine.Activity{Going: true, Images: map[string]bool{busy: true}})
	h.idle()
	h.expect("stopped", map[string]string{"a": "fast", "b": "fast"})

	// It is over.
	close(h.frames)
	h.sessions.set(engine.Activity{Images: map[string]bool{busy: true}})
	h.idle()
	h.idle() // taken only after the first was worked on
	h.expect("while a session is about b", map[string]string{"a": "best", "b": "fast"})
	h.sessions.set(engine.Activity{})
	h.idle()
	h.idle()
	h.expect("at the end", map[string]string{"a": "best", "b": "best"})

	// An image that comes later is found.
	h.image("c", 3)
	h.idle()
	h.idle()
	h.expect("later", map[string]string{"c": "best"})
	stop()
	if stages, err := h.st.Stages(); err != nil || len(stages) > 0 {
		t.Errorf("left behind: %v %v", stages, err)
	}
	for _, name := range []string{"a", "b", "c"} {
		m, err := h.st.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Verify(t.Context(), nil); err != nil {
			t.Error(err)
		}
		m.Close()
	}
}

// TestEndsInTheMiddle ends the server while a frame is compressed, and starts it again.
func TestEndsInTheMiddle(t *testing.T) {
	h := newHouse(t)
	h.image("a", 4)
	stop := h.run()
	<-h.asked
	stop()
	h.expect("after the end", map[string]string{"a": "fast"})
	close(h.frames)
	stop = h.run()
	h.idle()
	h.idle()
	stop()
	h.expect("started again", map[string]string{"a": "best"})
}

// TestPassesOver leaves alone what another process works on, and goes on after an image that cannot be optimized.
func TestPassesOver(t *testing.T) {
	h := newHouse(t)
	close(h.frames)
	damaged := h.image("a", 5)
	h.image("b", 6)
	m, err := h.st.Open(damaged)
	if err != nil {
		t.Fatal(err)
	}
	blob, _ := m.DataBlob(0)
	m.Close()
	path := filepath.Join(h.st.Dir(), "blobs", "sha256", blob[len("sha256:"):])
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := errors.Join(os.Remove(path), os.WriteFile(path, b, 0o600)); err != nil {
		t.Fatal(err)
	}
	work, err := h.st.Exclusive("optimize")
	if err != nil {
		t.Fatal(err)
	}
	stop := h.run()
	defer stop()
	h.idle()
	h.expect("while another process works", map[string]string{"a": "fast", "b": "fast"})
	if err := work.Close(); err != nil {
		t.Fatal(err)
	}
	h.idle()
	h.idle()
	h.expect("after it", map[string]string{"a": "fast", "b": "best"})
}
