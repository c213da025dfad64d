package events

import (
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/session"
)

// TestEvery has a server with many nodes want to be told less often: steps are told as before.
func TestEvery(t *testing.T) {
	now := time.Duration(0)
	r := New(Options{Since: func() time.Duration { return now }})
	told := func() (progress, steps int) {
		for _, e := range r.queue {
			if e.Step == session.StepProgress {
				progress++
			} else {
				steps++
			}
		}
		r.queue = nil
		return progress, steps
	}
	goOn := func(seconds int) {
		for range seconds {
			now += time.Second
			r.Progress("", session.Progress{})
			r.Step(session.StepPlan, session.Info, "", nil) // what stands between keeps progress from being replaced
		}
	}
	for _, c := range []struct {
		every time.Duration
		want  int
	}{{time.Second, 20}, {5 * time.Second, 4}, {time.Second, 20}} {
		r.Every(c.every)
		goOn(20)
		if p, steps := told(); p != c.want || steps != 20 {
			t.Errorf("each %v: %d reports of progress and %d steps in 20 s, want %d and 20", c.every, p, steps, c.want)
		}
	}
}
