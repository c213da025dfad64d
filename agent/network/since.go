package network

import (
	"context"
	"sync"
	"time"
)

// links remembers since when interfaces have carrier.
type links struct {
	mu    sync.Mutex
	since map[string]time.Time
}

// watchLinks notes when each interface gets its carrier, until ctx ends.
func watchLinks(ctx context.Context, s System) (*links, error) {
	changed, err := s.Changed(ctx)
	if err != nil {
		return nil, err
	}
	l := &links{since: map[string]time.Time{}}
	l.look(s)
	// Ends with ctx.
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-changed:
				l.look(s)
			}
		}
	}()
	return l, nil
}

func (l *links) look(s System) {
	nics, err := s.Interfaces()
	if err != nil {
		return // the next change tells
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range nics {
		switch _, had := l.since[n.Name]; {
		case n.Carrier && !had:
			l.since[n.Name] = time.Now()
		case !n.Carrier:
			delete(l.since, n.Name)
		}
	}
}

// waited is the time since the interface has carrier; 0 when it was not seen to get it.
func (l *links) waited(name string) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	at, ok := l.since[name]
	if !ok {
		return 0
	}
	return max(time.Since(at), time.Nanosecond)
}
