package doctor

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/serve/task"
)

// Bounds of a server's looks at itself: each asks the LAN for DHCP servers and reads the boot directory.
const (
	roundEvery = time.Minute
	roundTime  = time.Minute // that a look may take
)

// Rounds are the looks of a server at itself, for all who ask: one at a time, and what one found is everybody's. It is
// a task; a look ends with it.
type Rounds struct {
	*task.Crew
	look func(context.Context) *Report
	now  func() time.Time
	log  *slog.Logger

	mu      sync.Mutex
	last    doc.Doctor
	changed chan struct{} // closed and replaced
}

var _ task.Task = (*Rounds)(nil)

// NewRounds returns the rounds of a server, which look does.
func NewRounds(look func(context.Context) *Report, log *slog.Logger) *Rounds {
	return &Rounds{Crew: task.NewCrew(), look: look, now: time.Now, log: log,
		last: doc.Doctor{V: session.Version, State: doc.DoctorNever}, changed: make(chan struct{})}
}

// Name implements task.Task.
func (r *Rounds) Name() string { return "doctor" }

// Ask has the server look, in the name of who asks, unless it does so already or has just done so.
func (r *Rounds) Ask(by string) (*doc.Doctor, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now().UTC()
	if r.last.State == doc.DoctorLooking || r.last.State == doc.DoctorLooked && now.Before(r.last.Again) &&
		!now.Before(r.last.Began) { // a clock that was set back would forbid it for ever
		return r.view(), nil
	}
	if _, err := r.Go(r.round); err != nil {
		return nil, err
	}
	r.log.Info("the server looks at itself", "by", by)
	r.last.State, r.last.By, r.last.Began = doc.DoctorLooking, by, now
	r.tell()
	return r.view(), nil
}

func (r *Rounds) round(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, roundTime)
	defer cancel()
	report := r.look(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last.State, r.last.Report, r.last.Ended = doc.DoctorLooked, report, r.now().UTC()
	r.last.Again = r.last.Ended.Add(roundEvery)
	r.tell()
	r.log.Info("the server looked at itself", "found", len(report.Findings()), "not_looked", report.Missed())
}

// tell wakes those who wait. The caller holds the lock.
func (r *Rounds) tell() {
	r.last.Serial++
	close(r.changed)
	r.changed = make(chan struct{})
}

// view is what is shown. The caller holds the lock; the report is not changed any more.
func (r *Rounds) view() *doc.Doctor {
	v := r.last
	return &v
}

// Wait returns what there is as soon as its serial is above after and no look goes on, or ctx ends.
func (r *Rounds) Wait(ctx context.Context, after uint64) *doc.Doctor {
	for {
		r.mu.Lock()
		v, changed := r.view(), r.changed
		r.mu.Unlock()
		if v.Serial > after && v.State != doc.DoctorLooking {
			return v
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return v
		}
	}
}
