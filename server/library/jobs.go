package library

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/serve/task"
)

// Bounds on the jobs of a server.
const (
	maxJobs = 16  // at once
	maxOld  = 200 // kept after their end
)

// ErrTooMany says that so many jobs run already that another must wait.
var ErrTooMany = errors.New("too many jobs run at once")

// Jobs does long work on images for those who asked for it over a connection, and goes on when that breaks: who asked
// comes back and follows the job by its id. It is a task; when it ends, so do the jobs. What they did of their work is
// in the store and is not done again.
type Jobs struct {
	*task.Crew
	lib   Library
	epoch string // tells this server's jobs from those of before it was started
	log   *slog.Logger
	now   func() time.Time
	// changed is told the id of each job that changes; nil: nobody.
	changed func(id string)
	// uses says what else has the store in use; nil: nothing is known.
	uses func() []string

	mu    sync.Mutex
	seq   int
	jobs  map[string]*job
	order []*job // oldest first
}

// job is one job. Its fields are guarded by Jobs.mu.
type job struct {
	doc.Job
	stop    context.CancelFunc
	stopped bool          // by Cancel
	changed chan struct{} // closed and replaced
}

// NewJobs returns the jobs of a server on a library.
func NewJobs(lib Library, log *slog.Logger) *Jobs {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Jobs{Crew: task.NewCrew(), lib: lib, epoch: strings.ToLower(rand.Text()[:4]), log: log, now: time.Now,
		jobs: map[string]*job{}}
}

// Name implements task.Task.
func (j *Jobs) Name() string { return "jobs" }

// Start starts a job, or finds the one with the same key.
func (j *Jobs) Start(spec doc.JobSpec) (*doc.Job, error) {
	if err := spec.Check(); err != nil {
		return nil, err
	}
	if l, here := j.lib.(*Local); here && spec.Name != "" { // before anything of it is done
		if err := l.st.NameFree(spec.Name); err != nil {
			return nil, err
		}
	}
	return j.start(spec, func(ctx context.Context, w Watch) (*doc.JobResult, error) { return j.lib.Do(ctx, spec, w) })
}

// work is what a job does.
type work = func(context.Context, Watch) (*doc.JobResult, error)

// start starts a job that does the work, or finds the one with the same key.
func (j *Jobs) start(spec doc.JobSpec, do work) (*doc.Job, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	going := 0
	for _, x := range j.order {
		if spec.Key != "" && x.Spec.Key == spec.Key {
			if x.Spec != spec {
				return nil, fmt.Errorf("job %s has the same key and does something else", x.ID)
			}
			v := x.Job
			return &v, nil
		}
		if !x.Over() {
			going++
		}
	}
	if going >= maxJobs {
		return nil, fmt.Errorf("%w (%d): wait for one, or cancel one", ErrTooMany, going)
	}
	j.forget()
	j.seq++
	x := &job{Job: doc.Job{ID: fmt.Sprintf("%s-%d", j.epoch, j.seq), Spec: spec, State: doc.JobRunning, Serial: 1,
		Started: j.now().UTC()}, changed: make(chan struct{})}
	stop, err := j.Go(func(ctx context.Context) { j.do(ctx, x, do) })
	if err != nil {
		return nil, err
	}
	x.stop = stop
	j.jobs[x.ID] = x
	j.order = append(j.order, x)
	j.tell(x.ID)
	j.log.Info("job", "job", x.ID, "kind", spec.Kind, "image", spec.Image, "name", spec.Name, "registry", spec.Registry)
	v := x.Job
	return &v, nil
}

// Changed has f told the id of each job that comes to be, changes or is forgotten. It is called before the first one
// starts; f must not call Jobs.
func (j *Jobs) Changed(f func(id string)) { j.changed = f }

func (j *Jobs) tell(id string) {
	if j.changed != nil {
		j.changed(id)
	}
}

// Job shows a job, or says that there is none.
func (j *Jobs) Job(id string) (*doc.Job, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	x := j.jobs[id]
	if x == nil {
		return nil, false
	}
	v := x.Job
	return &v, true
}

// forget drops the oldest jobs that are over. The caller holds the lock.
func (j *Jobs) forget() {
	drop := len(j.order) - maxOld
	kept := j.order[:0]
	for _, x := range j.order {
		if drop > 0 && x.Over() {
			drop--
			delete(j.jobs, x.ID)
			j.tell(x.ID)
			continue
		}
		kept = append(kept, x)
	}
	clear(j.order[len(kept):])
	j.order = kept
}

// change changes a job and wakes those who follow it.
func (j *Jobs) change(x *job, f func()) {
	j.mu.Lock()
	defer j.mu.Unlock()
	f()
	x.Serial++
	j.tell(x.ID)
	close(x.changed)
	x.changed = make(chan struct{})
}

// told is the least time between two words of progress.
const told = 200 * time.Millisecond

func (j *Jobs) do(ctx context.Context, x *job, do work) {
	var last time.Time
	progress := image.Progress(func(done, total int64) {
		if now := time.Now(); done == total || now.Sub(last) >= told {
			last = now
			j.change(x, func() { x.Done, x.Total = done, total })
		}
	})
	note := func(words string) { j.log.Info("job", "job", x.ID, "note", words) }
	result, err := do(ctx, Watch{Progress: progress, Note: note})
	if errors.Is(err, image.ErrBusy) {
		err = j.busy(x, err)
	}
	j.change(x, func() {
		x.Ended, x.Result, x.State = j.now().UTC(), result, doc.Done
		switch {
		case err == nil:
		case x.stopped && ctx.Err() != nil:
			x.State, x.Error = doc.Cancelled, "cancelled by the operator"
		case ctx.Err() != nil:
			x.State, x.Kind = doc.Failed, doc.KindEnded
			x.Error = "the server ended; asked for again, the work goes on where it was"
			if x.Spec.Kind == doc.JobImport {
				x.Error = "the server ended, and the file is gone with it: send it again"
			}
		default:
			x.State, x.Error, x.Kind = doc.Failed, plain.Line(err.Error(), 0), Kind(err)
		}
	})
	j.log.Info("job is over", "job", x.ID, "kind", x.Spec.Kind, "state", x.State, "err", err)
}

// Uses has f asked what else of this server has the image store in use, in words for the operator. It is called before
// the first job starts; f must not call Jobs.
func (j *Jobs) Uses(f func() []string) { j.uses = f }

// busy names what of this server has the store, if it is anything.
func (j *Jobs) busy(x *job, err error) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, o := range j.order {
		words := using(&o.Spec, x.Spec.Kind)
		if o != x && !o.Over() && words != "" {
			return fmt.Errorf("%w: job %s of this server %s: `diskcast job watch %s` follows it; ask again when it "+
				"has ended", image.ErrBusy, o.ID, words, o.ID)
		}
	}
	if x.Spec.Kind == doc.JobGC && j.uses != nil {
		if words := j.uses(); len(words) > 0 {
			return fmt.Errorf("%w: %s; ask again when it has ended", image.ErrBusy, strings.Join(words, "; "))
		}
	}
	return err
}

// using says what a job does by which one of the kind cannot have the store; empty: nothing.
func using(s *doc.JobSpec, kind string) string {
	gc := kind == doc.JobGC
	switch {
	case s.Kind == doc.JobOptimize && (gc || kind == doc.JobOptimize):
		return "optimizes " + s.Image
	case s.Kind == doc.JobPull && gc:
		return "pulls " + s.Registry + " as " + s.Name
	case s.Kind == doc.JobImport && gc:
		return "makes " + s.Name + " of a file that was sent"
	case s.Kind == doc.JobCut && gc:
		return fmt.Sprintf("makes %s of partition %d of %s", s.Name, s.Partition, s.Image)
	case s.Kind == doc.JobGC && gc:
		return "frees its space"
	}
	return ""
}

// List lists all jobs, oldest first.
func (j *Jobs) List() []doc.Job {
	j.mu.Lock()
	defer j.mu.Unlock()
	out := []doc.Job{}
	for _, x := range j.order {
		out = append(out, x.Job)
	}
	return out
}

// Wait returns a job as soon as its serial is above after or it is over, at the latest when ctx ends.
func (j *Jobs) Wait(ctx context.Context, id string, after uint64) (*doc.Job, error) {
	for {
		j.mu.Lock()
		x := j.jobs[id]
		if x == nil {
			j.mu.Unlock()
			return nil, j.unknown(id)
		}
		v, changed := x.Job, x.changed
		j.mu.Unlock()
		if v.Serial > after || v.Over() {
			return &v, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return &v, nil
		}
	}
}

// ErrNoJob is wrapped by errors about jobs that are not there.
var ErrNoJob = errors.New("there is no such job")

func (j *Jobs) unknown(id string) error {
	if epoch, _, ok := strings.Cut(id, "-"); ok && epoch != j.epoch {
		return fmt.Errorf("job %.40s: %w: the server was started anew since; asked for again, the work goes on where "+
			"it was",
			id, ErrNoJob)
	}
	return fmt.Errorf("job %.40s: %w", id, ErrNoJob)
}

// Cancel stops a job; what it did stays.
func (j *Jobs) Cancel(id string) (*doc.Job, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	x := j.jobs[id]
	if x == nil {
		return nil, j.unknown(id)
	}
	if !x.Over() {
		x.stopped = true
		x.stop()
	}
	v := x.Job
	return &v, nil
}
