// Package sluice keeps a flood of log lines from filling the operator's disk: of lines with the same message so many
// pass at once and then so many a second; the rest are counted, and the count is told.
package sluice

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Bounds for one message. Errors, which are the server's own trouble, have more room.
const (
	burst      = 50
	rate       = 5.0 // a second
	errorBurst = 200
	errorRate  = 20.0
	quiet      = 10 * time.Second
	maxKeys    = 1024 // messages told apart; they are the program's own, so there are fewer
)

// Handler is a slog.Handler before another one.
type Handler struct {
	next slog.Handler
	*state
}

var _ slog.Handler = (*Handler)(nil)

type state struct {
	mu  sync.Mutex
	now func() time.Time
	by  map[key]*bucket
}

// key is what lines are held by: an error is not held for warnings of the same words.
type key struct {
	message string
	bad     bool // an error
}

type bucket struct {
	tokens  float64
	at      time.Time
	dropped int
	since   time.Time // of the first that was dropped
}

// New returns a Handler that passes lines to next.
func New(next slog.Handler) *Handler {
	return &Handler{next: next, state: &state{now: time.Now, by: map[key]*bucket{}}}
}

// Enabled implements slog.Handler.
func (h *Handler) Enabled(ctx context.Context, l slog.Level) bool { return h.next.Enabled(ctx, l) }

// WithAttrs implements slog.Handler.
func (h *Handler) WithAttrs(a []slog.Attr) slog.Handler {
	return &Handler{next: h.next.WithAttrs(a), state: h.state}
}

// WithGroup implements slog.Handler.
func (h *Handler) WithGroup(name string) slog.Handler {
	return &Handler{next: h.next.WithGroup(name), state: h.state}
}

// Handle implements slog.Handler.
func (h *Handler) Handle(ctx context.Context, r slog.Record) error {
	pass, told := h.take(r.Message, r.Level)
	for _, t := range told {
		if err := h.next.Handle(ctx, t); err != nil {
			return err
		}
	}
	if !pass {
		return nil
	}
	return h.next.Handle(ctx, r)
}

// take says whether a line may pass, and returns lines about those that did not, a while ago.
func (s *state) take(message string, level slog.Level) (pass bool, told []slog.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	for m, b := range s.by {
		if b.dropped > 0 && now.Sub(b.since) >= quiet {
			t := slog.NewRecord(now, slog.LevelWarn, "lines were left out of the log", 0)
			t.AddAttrs(slog.String("message", m.message), slog.Int("lines", b.dropped),
				slog.Duration("within", now.Sub(b.since).Round(time.Second)))
			told = append(told, t)
			b.dropped = 0
		}
	}
	k, burst, rate := key{message, level >= slog.LevelError}, float64(burst), rate
	if k.bad {
		burst, rate = errorBurst, errorRate
	}
	b := s.by[k]
	if b == nil {
		if len(s.by) >= maxKeys {
			return true, told
		}
		b = &bucket{tokens: burst, at: now}
		s.by[k] = b
	}
	b.tokens = min(burst, b.tokens+rate*now.Sub(b.at).Seconds())
	b.at = now
	if b.tokens < 1 {
		if b.dropped++; b.dropped == 1 {
			b.since = now
		}
		return false, told
	}
	b.tokens--
	return true, told
}
