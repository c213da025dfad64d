package desk

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/power"
	"github.com/diskcast/diskcast/server/serve/task"
)

// Bounds on the work of a desk.
const (
	maxRuns = 8   // at once
	maxOld  = 100 // kept after their end
)

// Pace that is kept where none is asked for: twenty servers starting are some 10 A more at each half second.
const (
	atOnce = 20
	gap    = 500 * time.Millisecond
)

// ErrNoRun is wrapped by errors about work that is not there.
var ErrNoRun = errors.New("there is no such work on power; what ran when the server ended was cancelled")

// ErrTooMany says that so much work runs already that another must wait.
var ErrTooMany = errors.New("too many works on power run at once")

type run struct {
	doc.PowerRun
	machines []Machine
	stop     context.CancelFunc
	changed  chan struct{} // closed and replaced
}

// New makes a desk.
func New(cfg Config) *Desk {
	return &Desk{Crew: task.NewCrew(), cfg: cfg, gates: power.NewGates(cfg.Pause), line: newLine(),
		epoch: "p" + strings.ToLower(rand.Text()[:4])}
}

// Name implements task.Task.
func (d *Desk) Name() string { return "power" }

// Start begins work on machines. The spec is checked by who calls.
func (d *Desk) Start(spec doc.PowerSpec, machines []Machine) (*doc.PowerRun, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.runs = slices.DeleteFunc(d.runs, func(r *run) bool {
		return r.Over() && len(d.runs) > maxOld && r == d.runs[0]
	})
	going := 0
	for _, r := range d.runs {
		if !r.Over() {
			going++
		}
	}
	if going >= maxRuns {
		return nil, fmt.Errorf("%w (%d): wait for one, or cancel one", ErrTooMany, going)
	}
	d.seq++
	r := &run{machines: machines, changed: make(chan struct{}), PowerRun: doc.PowerRun{
		ID: fmt.Sprintf("%s-%d", d.epoch, d.seq), Spec: spec, State: doc.JobRunning, Serial: 1,
		Started: time.Now().UTC()}}
	for _, m := range machines {
		r.Rows = append(r.Rows, doc.PowerRow{Machine: m.ID, Name: m.Name, State: doc.Waiting})
	}
	var err error
	if r.stop, err = d.Go(func(ctx context.Context) { d.work(ctx, r) }); err != nil {
		return nil, err
	}
	d.runs = append(d.runs, r)
	return r.view(), nil
}

func (r *run) view() *doc.PowerRun {
	v := r.PowerRun
	v.Rows = slices.Clone(r.Rows)
	return &v
}

func (d *Desk) change(r *run, f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
	r.Serial++
	close(r.changed)
	r.changed = make(chan struct{})
}

func (d *Desk) work(ctx context.Context, r *run) {
	pace := power.Pace{AtOnce: r.Spec.AtOnce, Gap: gap}
	if pace.AtOnce == 0 {
		pace.AtOnce = atOnce
	}
	if r.Spec.Gap != nil {
		pace.Gap = time.Duration(*r.Spec.Gap * float64(time.Second))
	}
	pace.Each(ctx, len(r.machines), func(i int) {
		d.change(r, func() { r.Rows[i].State = doc.Running })
		o, err := d.do(ctx, r.machines[i], &r.Spec, func(words string) {
			d.change(r, func() {
				if r.Rows[i].State == doc.Running {
					r.Rows[i].Words = plain.Line(words, 500)
				}
			})
		})
		d.change(r, func() { fill(&r.Rows[i], o, err, ctx.Err() != nil) })
	}, func(i int) {
		d.change(r, func() {
			r.Rows[i].State, r.Rows[i].Word, r.Rows[i].Words = doc.Cancelled, string(power.Cancelled), "not begun"
		})
	})
	d.change(r, func() {
		r.Ended, r.State = time.Now().UTC(), doc.Done
		for _, row := range r.Rows {
			if row.State == doc.Cancelled {
				r.State = doc.Cancelled
			}
			if row.State == doc.Failed && r.State == doc.Done {
				r.State = doc.Failed
			}
		}
	})
}

// fill writes what a machine came to.
func fill(row *doc.PowerRow, o *power.Outcome, err error, cancelled bool) {
	switch {
	case err == nil:
		row.State, row.Boot, row.Blind, row.Words = doc.Done, string(o.Boot), o.Blind, o.Note
		row.Power = string(o.State)
	case cancelled:
		row.State, row.Word = doc.Cancelled, string(power.Cancelled)
		row.Words = "cancelled in its middle, so ask for its state: " + plain.Line(err.Error(), 300)
	default:
		row.State, row.Word, row.Words = doc.Failed, string(power.WordOf(err)), plain.Line(err.Error(), 500)
	}
}

func (d *Desk) find(id string) *run {
	for _, r := range d.runs {
		if r.ID == id {
			return r
		}
	}
	return nil
}

// Wait returns work as soon as its serial is above after or it is over, at the latest when ctx ends.
func (d *Desk) Wait(ctx context.Context, id string, after uint64) (*doc.PowerRun, error) {
	for {
		d.mu.Lock()
		r := d.find(id)
		if r == nil {
			d.mu.Unlock()
			return nil, fmt.Errorf("power work %.40s: %w", id, ErrNoRun)
		}
		v, changed := r.view(), r.changed
		d.mu.Unlock()
		if v.Serial > after || v.Over() {
			return v, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return v, nil
		}
	}
}

// Cancel ends work: no machine begins any more, and those in work are left as they are.
func (d *Desk) Cancel(id string) (*doc.PowerRun, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	r := d.find(id)
	if r == nil {
		return nil, fmt.Errorf("power work %.40s: %w", id, ErrNoRun)
	}
	r.stop()
	return r.view(), nil
}
