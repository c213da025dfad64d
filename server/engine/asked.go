package engine

import (
	"context"
	"strings"
)

// Asked is the word under which somebody asked for something, and what for: sums in hex. What is made for it and is
// stored keeps it, so that it is not made again when the answer was lost.
type Asked struct{ Key, Body string }

type askedKey struct{}

// WithAsked has what is made in the context keep the word.
func WithAsked(ctx context.Context, a Asked) context.Context {
	return context.WithValue(ctx, askedKey{}, a)
}

// askedFor is the word as it is stored; empty where there is none.
func askedFor(ctx context.Context) string {
	a, ok := ctx.Value(askedKey{}).(Asked)
	if !ok {
		return ""
	}
	return a.Key + " " + a.Body
}

// Made finds the session or the repeating session that was made for a key: its path in the API, and the sum of what was
// asked for.
func (e *Engine) Made(key string) (path, body string, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, id := range e.jobs.Order() {
		if body, ok := strings.CutPrefix(e.jobs.Session(id).Asked, key+" "); ok {
			return "/v1/sessions/" + id, body, true
		}
	}
	for _, r := range e.repeats {
		if body, ok := strings.CutPrefix(r.asked, key+" "); ok {
			return "/v1/repeats/" + r.ID, body, true
		}
	}
	return "", "", false
}
