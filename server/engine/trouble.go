package engine

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/server/model"
)

// The server's own trouble: a store or a state directory that cannot be written. It is shown while it lasts, and ends
// a session when it lasts too long.
const (
	storeTrouble = 5 * time.Minute  // without one frame stored
	stateTrouble = 10 * time.Minute // without one record written
	minRoom      = 256 << 20        // bytes free in the store, without which no capture begins
	maxWarnings  = 10               // that a session shows
)

// trouble is something that goes wrong again and again.
type trouble struct {
	since time.Time // of the first time; zero: all is well
	words string
}

func (t *trouble) is(now time.Time, err error) {
	if t.since.IsZero() {
		t.since = now
	}
	t.words = fmt.Sprint(err)
	if full(err) {
		t.words = "the disk is full (" + t.words + ")"
	}
}

// last reports whether it has gone on for so long.
func (t *trouble) last(now time.Time, d time.Duration) bool {
	return !t.since.IsZero() && now.Sub(t.since) >= d
}

func full(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
}

// CaptureFailed is told of each time that the server could not keep what a node sent of its disk; nil says that it could.
func (e *Engine) CaptureFailed(u *Upload, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.sessions[u.Session]
	if s == nil || s.Over() {
		return
	}
	if err == nil {
		s.store = trouble{}
		return
	}
	if s.store.since.IsZero() {
		e.log.Warn("a capture cannot be stored", "session", s.ID, "image", u.Name, "err", err)
	}
	s.store.is(e.now(), err)
	e.touchSession(s)
}

const makeRoom = "make room with `diskcast image rm` and `diskcast image gc --unnamed`, or give the store a larger disk"

// endTroubled ends a session whose trouble lasts.
func (e *Engine) endTroubled(s *sess) {
	now := e.now()
	switch state := e.w.trouble(); {
	case s.store.last(now, storeTrouble):
		e.end(s, model.Failed, fmt.Sprintf("for %v the server could not store what the node sent: %s; %s, and capture again",
			storeTrouble, s.store.words, makeRoom))
	case state.last(now, stateTrouble):
		e.end(s, model.Failed, fmt.Sprintf("for %v the server could not write its state: %s; mend that and create the session again",
			stateTrouble, state.words))
	}
}

// roomFor refuses a capture for which there is no room at all.
func (e *Engine) roomFor() error {
	free, err := e.cfg.Captures.Room()
	if err != nil {
		return fmt.Errorf("looking for room in the image store: %w", err)
	}
	if free < minRoom {
		return fmt.Errorf("the image store has %d MB free, and a capture needs more than %d: %s", free>>20, minRoom>>20, makeRoom)
	}
	return nil
}

// mayNotFit says so when a disk has more bytes in use than the store has free; they may still fit, compressed and shared.
func (e *Engine) mayNotFit(inUse int64) string {
	free, err := e.cfg.Captures.Room()
	if err != nil || inUse <= free {
		return ""
	}
	return fmt.Sprintf("The image may not fit, for the disk has %d MB in use and the image store %d MB free.", inUse>>20, free>>20)
}

// warnings are what the operator must hear of a session: the server's own trouble, and the first sentence of why a node will not start
// by itself, or else of its warning.
func (e *Engine) warnings(s *sess) []string {
	if s.Over() {
		return nil
	}
	var out []string
	now := e.now()
	left := func(t *trouble, d time.Duration) time.Duration { return max(0, d-now.Sub(t.since)).Round(time.Second) }
	if t := e.w.trouble(); !t.since.IsZero() {
		out = append(out, fmt.Sprintf("The server cannot write its state: %s. What nodes report does not count until it can; the session fails in %v.",
			t.words, left(&t, stateTrouble)))
	}
	if t := &s.store; !t.since.IsZero() {
		out = append(out, fmt.Sprintf("The server cannot store what the node sends: %s. When there is room (%s) the capture goes on by itself; it fails in %v.",
			t.words, makeRoom, left(t, storeTrouble)))
	}
	more := 0
	for _, id := range s.order {
		p := s.parts[id]
		w := cmp.Or(p.Unbootable, p.Warning)
		switch {
		case w == "" && p.Identity == "":
		case len(out) >= maxWarnings:
			more++
		default:
			if p.Identity != "" {
				out = append(out, id+": "+p.Identity)
			}
			if w != "" {
				out = append(out, id+": "+firstSentence(w))
			}
		}
	}
	if more > 0 {
		out = append(out, fmt.Sprintf("%d more nodes have a warning.", more))
	}
	return out
}

// firstSentence ends at the first full stop, semicolon or colon that is followed by a blank.
func firstSentence(s string) string {
	for i := range len(s) - 1 {
		if strings.IndexByte(".;:", s[i]) >= 0 && s[i+1] == ' ' {
			return s[:i] + "."
		}
	}
	return s
}
