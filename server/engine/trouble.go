package engine

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/diskcast/diskcast/internal/units"
	"github.com/diskcast/diskcast/server/jobs"
	"github.com/diskcast/diskcast/server/store/keeper"
)

// The server's own trouble: a store or a state directory that cannot be written. It is shown while it lasts, and ends
// a session when it lasts too long.
const (
	minRoom     = 256 << 20 // bytes free in the store, without which no capture begins
	maxWarnings = 10        // that a session shows
)

// CaptureFailed is told of each time that the server could not keep what a node sent of its disk; nil says that it
// could.
func (e *Engine) CaptureFailed(u *Upload, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.jobs.Session(u.Session)
	if s == nil || s.Over() {
		return
	}
	if err == nil {
		e.step(jobs.StoreWell{Session: s.ID})
		return
	}
	if s.Store.Since.IsZero() {
		e.log.Warn("a capture cannot be stored", "session", s.ID, "image", u.Name, "err", err)
	}
	e.step(jobs.StoreFailed{Session: s.ID, Words: keeper.Words(err)})
}

// roomFor refuses a capture for which there is no room at all.
func (e *Engine) roomFor() error {
	free, err := e.cfg.Captures.Room()
	if err != nil {
		return fmt.Errorf("looking for room in the image store: %w", err)
	}
	if free < minRoom {
		return fmt.Errorf("the image store has %s free, and a capture needs more than %s: %s", units.Bytes(free),
			units.Bytes(minRoom),
			jobs.MakeRoom)
	}
	return nil
}

// warnings are what the operator must hear of a session: the server's own trouble, and the first sentence of why a node
// will not start by itself, or else of its warning.
func (e *Engine) warnings(s *sess) []string {
	if s.Over() {
		out := slices.Concat(hookWarnings(s), unsigned(s), s.Alike)
		if t := e.w.Trouble(); !t.Since.IsZero() {
			out = append(out, fmt.Sprintf("The server cannot write its state: %s. Until it can, this session's end "+
				"is not stored: a server that is started again goes on with the session as it was before.", t.Words))
		}
		return out
	}
	out := slices.Concat(unsigned(s), s.Alike)
	now := e.now()
	left := func(since time.Time, d time.Duration) time.Duration {
		return max(0, d-now.Sub(since)).Round(time.Second)
	}
	if t := e.w.Trouble(); !t.Since.IsZero() {
		out = append(out, fmt.Sprintf("The server cannot write its state: %s. What nodes report does not count until "+
			"it can; the session fails in %v.",
			t.Words, left(t.Since, jobs.StateTrouble)))
	}
	if t := s.Store; !t.Since.IsZero() {
		out = append(out, fmt.Sprintf("The server cannot store what the node sends: %s. When there is room (%s) the "+
			"capture goes on by itself; it fails in %v.",
			t.Words, jobs.MakeRoom, left(t.Since, jobs.StoreTrouble)))
	}
	out = append(out, e.unapprovedHere(s)...)
	more := 0
	for _, id := range s.Order {
		p := s.Parts[id]
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

// unsigned says of which disks there is no receipt that should have one.
func unsigned(s *sess) (out []string) {
	more := 0
	for _, id := range s.Order {
		switch p := s.Parts[id]; {
		case p.NoReceipt == "":
		case len(out) >= maxWarnings:
			more++
		default:
			out = append(out, id+": "+p.NoReceipt)
		}
	}
	if more > 0 {
		out = append(out, fmt.Sprintf("%d more nodes have no receipt.", more))
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
