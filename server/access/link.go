package access

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/store"
)

// Bounds of links that log somebody in once.
const (
	MaxMinutes = 24 * 60
	maxLinks   = 100 // at once
	linkBytes  = 32
)

// links are those that nobody has used yet. They are in memory: none outlives the server.
type links struct {
	mu    sync.Mutex
	bySum map[Sum]link
}

type link struct {
	token Sum
	until time.Time
}

// Link makes a word that is good for one login with a named token, for so many minutes.
func (b *Book) Link(name string, in doc.LoginLinkSpec) (*doc.LoginLink, error) {
	switch {
	case in.V != session.Version:
		return nil, fmt.Errorf("%w: the link has v=%d, this server speaks v=%d", ErrSpec, in.V, session.Version)
	case in.Minutes < 1 || in.Minutes > MaxMinutes:
		return nil, fmt.Errorf("%w: a link is good for 1 to %d minutes, not for %d", ErrSpec, MaxMinutes, in.Minutes)
	}
	t, ok := b.find(name)
	if !ok {
		return nil, fmt.Errorf("token %q: %w: a link is for a named token (`diskcast token list`)", name,
			store.ErrNotFound)
	}
	now := b.now()
	if _, good := b.Of(t.sum); !good {
		return nil, fmt.Errorf("%w: the token %s has ended", ErrSpec, name)
	}
	var bits [linkBytes]byte
	if _, err := rand.Read(bits[:]); err != nil {
		return nil, err
	}
	word := base64.RawURLEncoding.EncodeToString(bits[:])
	until := now.Add(time.Duration(in.Minutes) * time.Minute)
	l := &b.links
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.bySum, func(_ Sum, x link) bool { return !now.Before(x.until) })
	if len(l.bySum) >= maxLinks {
		return nil, fmt.Errorf("%w: %d links wait for their use already: they end by themselves", ErrSpec, maxLinks)
	}
	if l.bySum == nil {
		l.bySum = map[Sum]link{}
	}
	l.bySum[SumOf(word)] = link{t.sum, until}
	return &doc.LoginLink{Name: name, Path: "/login?link=" + word, Until: until.UTC().Truncate(time.Second)}, nil
}

// Use says whose token a link is for, once.
func (b *Book) Use(word string) (Sum, bool) {
	l := &b.links
	l.mu.Lock()
	x, ok := l.bySum[SumOf(word)]
	delete(l.bySum, SumOf(word))
	l.mu.Unlock()
	if !ok || !b.now().Before(x.until) {
		return Sum{}, false
	}
	_, good := b.Of(x.token)
	return x.token, good
}
