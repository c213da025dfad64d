package page

import (
	"context"
	"sync"
	"time"
)

// Bounds of what pages that look again share.
const (
	pollFor  = time.Second
	maxPolls = 64
)

// polls are answers that pages which look again just had: what 50 people have open asks for the same lists of all
// machines every few seconds, and each is made while the engine waits.
type polls struct {
	now func() time.Time

	mu sync.Mutex
	by map[string]*polled // by who may see what, and the path
}

type polled struct {
	at   time.Time
	once sync.Once
	doc  any
	err  error
}

// of is the answer for a key, a new one if there is none of the last second.
func (ps *polls) of(key string) *polled {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	now := ps.now()
	if p := ps.by[key]; p != nil && !now.Before(p.at) && now.Sub(p.at) < pollFor {
		return p
	}
	for k, p := range ps.by {
		if now.Sub(p.at) >= pollFor || len(ps.by) >= maxPolls {
			delete(ps.by, k)
		}
	}
	p := &polled{at: now}
	ps.by[key] = p
	return p
}

// list is get for a page's script that looks again: the answer may be a second old, and is shared with all who may see
// the same machines. A page that is loaded, such as after something was done, has what is.
func list[T any](v *visit, format string, args ...string) (T, error) {
	if !v.fragment() {
		return get[T](v, format, args...)
	}
	p := v.page.polls.of(v.holder.Within + "\x00" + path(format, args...))
	p.once.Do(func() {
		asks := *v
		asks.ctx = context.WithoutCancel(v.ctx) // whoever asks first may go away
		p.doc, p.err = get[T](&asks, format, args...)
	})
	doc, _ := p.doc.(T)
	return doc, p.err
}
