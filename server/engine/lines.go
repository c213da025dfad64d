package engine

import (
	"time"

	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/feed"
)

// linesFor is how long a line that was told is kept for others who follow.
const linesFor = 500 * time.Millisecond

// told are lines that somebody was just told, by what they tell: many follow the same, and each is to be made once.
type told struct {
	at       time.Time
	now, old map[feed.Change]doc.Line // in the last linesFor, and before that
}

// sharedLine is line, made once for all who ask at about the same time. The change has the number of the newest change
// of what it is about. The caller holds the lock.
func (e *Engine) sharedLine(c *feed.Change) doc.Line {
	if c.Key.Job != "" { // a job changes without the lock
		return e.line(c)
	}
	t := &e.told
	if now := e.now(); t.now == nil || now.Sub(t.at) > linesFor || now.Before(t.at) {
		old := t.now
		if now.Sub(t.at) > 2*linesFor || now.Before(t.at) {
			old = nil
		}
		t.at, t.now, t.old = now, map[feed.Change]doc.Line{}, old
	}
	if l, ok := t.now[*c]; ok {
		return l
	}
	if l, ok := t.old[*c]; ok { // not kept for longer: words about time are in it
		return l
	}
	l := e.line(c)
	l.Share()
	t.now[*c] = l
	return l
}
