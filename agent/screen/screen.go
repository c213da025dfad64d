// Package screen shows on the consoles of a node, while it works, what can be read from two metres away: which machine
// it is, what it does, how far that is and what went wrong. The log goes on below it.
//
// What is shown is worked out from the node's events, without a terminal ([State]); terminals that understand a
// terminal's control sequences get it, and those that do not keep the log alone.
package screen

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/internal/rx"
	"github.com/diskcast/diskcast/internal/session"
)

// State is what a node does, from its events. The zero value is a node at the begin of its work.
type State struct {
	Machine string // its name, or the server's name for the node
	Doing   string // "restoring IMAGE"

	phase   string
	share   float64 // 0..1 of the phase; below 0: not known
	seen    []point // of the phase, the oldest first
	trouble string  // the last warning or error
	failed  bool
}

// point is how far the phase was at a time.
type point struct {
	at    time.Duration
	share float64
	bytes int64
}

// window is how far back rate and remaining time are worked out from.
const window = 20 * time.Second

// phases are the steps of a node's work, in words.
var phases = map[string]string{session.StepPlan: "plan is made", session.StepTable: "partition table",
	session.StepFirstByte: "receiving", session.StepLastByte: "writing the rest", session.StepWritten: "flushed",
	session.StepVerified: "read back", session.StepGrown: "file system fits the disk",
	session.StepPersonalized: "made its own", session.StepEntry: "boot entry", session.StepUploaded: "uploaded"}

var percentRE = rx.New(`(\d{1,3})(?:\.\d+)? %`)

// Take takes an event at a time since the kernel's start.
func (s *State) Take(e *session.Event, now time.Duration) {
	words := plain.Line(e.Message, 400)
	switch {
	case e.Step == session.StepProgress:
		s.progress(words, e.Progress, now)
		return
	case e.Step == session.StepFailed:
		s.failed, s.trouble = true, words
		return
	case e.Level != session.Info:
		s.trouble = words
	}
	if p, ok := phases[e.Step]; ok {
		s.enter(p)
	}
}

// enter begins a phase of which nothing is known yet.
func (s *State) enter(phase string) {
	if s.phase != phase {
		s.phase, s.share, s.seen = phase, -1, nil
	}
}

// progress takes the bytes of a progress event, or, of a phase that only counts percent, those of its words.
func (s *State) progress(words string, p *session.Progress, now time.Duration) {
	phase, _, counted := strings.Cut(words, ": ")
	if !counted {
		phase = words
	}
	var done, all int64
	if p != nil {
		switch {
		case strings.HasPrefix(words, "received"):
			phase, done, all = "receiving and writing", p.Written, p.ToWrite
		case p.ToRead > 0:
			done, all = p.Read, p.ToRead
		}
	}
	s.enter(phase)
	share := -1.0
	if all > 0 {
		share = float64(done) / float64(all)
	} else if m := percentRE().FindAllStringSubmatch(words, -1); m != nil {
		n, _ := strconv.Atoi(m[len(m)-1][1]) // the pattern has digits only
		share = float64(n) / 100
	}
	s.share = min(max(share, -1), 1)
	if s.share < 0 {
		return
	}
	if n := len(s.seen); n > 0 && s.share < s.seen[n-1].share {
		s.seen = nil // the next disk of several
	}
	s.seen = append(s.seen, point{now, s.share, done})
	for len(s.seen) > 2 && now-s.seen[1].at >= window {
		s.seen = s.seen[1:]
	}
}

// pace is the rate in bytes a second, 0 where bytes are not counted, and what is left of the phase; negative: not
// known.
func (s *State) pace() (rate float64, left time.Duration) {
	if len(s.seen) < 2 {
		return 0, -1
	}
	a, b := s.seen[0], s.seen[len(s.seen)-1]
	took := (b.at - a.at).Seconds()
	if took <= 0 {
		return 0, -1
	}
	rate = float64(b.bytes-a.bytes) / took
	if b.share <= a.share {
		return rate, -1
	}
	return rate, time.Duration((1 - b.share) / (b.share - a.share) * float64(b.at-a.at))
}

// big is what the large signs say: percent, or that it failed.
func (s *State) big() string {
	switch {
	case s.failed:
		return "FAILED"
	case s.share < 0:
		return "..."
	}
	return fmt.Sprintf("%d%%", int(s.share*100))
}

// facts are the lines beside the large signs.
func (s *State) facts() []string {
	lines := []string{s.Doing, s.phase}
	rate, left := s.pace()
	if s.failed {
		return lines
	}
	if rate > 0 {
		lines = append(lines, fmt.Sprintf("%.0f MB/s", rate/1e6))
	}
	if left >= 0 {
		lines = append(lines, "about "+clock(left)+" left")
	}
	return lines
}

func clock(d time.Duration) string {
	d = d.Round(time.Second)
	if d >= time.Hour {
		return fmt.Sprintf("%d:%02d h", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%d:%02d min", d/time.Minute, d%time.Minute/time.Second)
}
