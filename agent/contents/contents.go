// Package contents tells what is on a node's disks before anything is written to them: partition tables, file systems
// with their labels, boot loaders, and what uses a disk. The operator's plan of a session shows it.
//
// It only reads, and never mounts. The node says hello first and looks then, so that a disk that hangs delays nothing.
// While the node works for a session it does not look; afterwards it looks anew.
package contents

import (
	"context"
	"encoding/json"
	"io"
	"sync"
	"time"

	"github.com/diskcast/diskcast/agent/node"
	"github.com/diskcast/diskcast/internal/session"
)

// Disk is a disk that is open for reading.
type Disk interface {
	io.ReaderAt
	io.Closer
}

// Options of a Surveyor.
type Options struct {
	List func() []session.Disk
	Open func(d session.Disk) (Disk, error)
	// InUse says what uses a disk; empty when nothing does.
	InUse func(path string) (string, error)
	// Tell has the server told anew what the node is.
	Tell func(ctx context.Context) error
	// Forget is called when what was told of the disks counts no more; it may be nil.
	Forget func()
	// Patience is how long one disk may take; 0 means 20 s.
	Patience time.Duration
}

// Surveyor looks at the disks, and has the server told.
type Surveyor struct {
	o    Options
	wake chan struct{} // of one: something is to be looked at

	mu     sync.Mutex
	seen   []session.Content
	at     time.Time // of the last look; zero: none counts
	works  int       // jobs that may write
	cancel context.CancelCauseFunc

	turns map[string]chan struct{} // by a disk's path, of Run alone: who reads it holds it
}

// New returns a Surveyor that has not looked yet.
func New(o Options) *Surveyor {
	if o.Patience <= 0 {
		o.Patience = 20 * time.Second
	}
	s := &Surveyor{o: o, wake: make(chan struct{}, 1), turns: map[string]chan struct{}{}}
	s.Again()
	return s
}

// Latest is what was seen last; nil when nothing is known, or what is known counts no more.
func (s *Surveyor) Latest() *session.Survey {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at.IsZero() {
		return nil
	}
	return &session.Survey{Age: time.Since(s.at).Seconds(), Disks: s.seen}
}

// Again has the disks looked at anew: one came or went.
func (s *Surveyor) Again() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Work ends a look that is under way, and keeps from another until done is called: a job may write to a disk. What was
// seen before counts no more.
func (s *Surveyor) Work() (done func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.works++
	s.seen, s.at = nil, time.Time{}
	if s.o.Forget != nil {
		s.o.Forget()
	}
	if s.cancel != nil {
		s.cancel(errWork)
	}
	return sync.OnceFunc(func() {
		s.mu.Lock()
		s.works--
		s.mu.Unlock()
		s.Again()
	})
}

// Around is the action, with the disks looked at anew when the node stays after it.
func (s *Surveyor) Around(a node.Action) node.Action {
	return func(d *session.Descriptor) node.Job { return &job{Job: a(d), s: s} }
}

type job struct {
	node.Job
	s    *Surveyor
	done func()
}

// Run implements node.Job.
func (j *job) Run(ctx context.Context) error {
	j.done = j.s.Work()
	well := false
	defer func() { // also of a panic
		if !well {
			j.done()
		}
	}()
	err := j.Job.Run(ctx)
	well = err == nil
	return err
}

// Leave implements node.Job; it returns when the machine stays.
func (j *job) Leave(ctx context.Context, exit *node.Exit) {
	defer j.done()
	j.Job.Leave(ctx, exit)
}

// Run looks whenever there is something to look at, until ctx ends.
func (s *Surveyor) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.wake:
		}
		if !s.look(ctx) {
			continue
		}
		if err := s.o.Tell(ctx); err != nil {
			return err
		}
	}
}

// look looks at all disks side by side, and reports whether what it saw counts.
func (s *Surveyor) look(ctx context.Context) bool {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s.mu.Lock()
	if s.works > 0 {
		s.mu.Unlock()
		return false // done wakes it
	}
	s.cancel = cancel
	s.mu.Unlock()
	disks := s.o.List()
	contents := make([]chan session.Content, len(disks))
	for i, d := range disks {
		contents[i] = make(chan session.Content, 1)
		s.begin(ctx, d, contents[i])
	}
	patience := time.NewTimer(s.o.Patience)
	defer patience.Stop()
	late := false
	seen := make([]session.Content, 0, len(disks))
	for i, d := range disks {
		if !late {
			select {
			case c := <-contents[i]:
				seen = append(seen, c)
				continue
			case <-ctx.Done():
			case <-patience.C:
				late = true
				cancel(errStuck)
			}
		}
		select {
		case c := <-contents[i]:
			seen = append(seen, c)
		default:
			seen = append(seen, session.Content{Disk: d.ID(), Problem: errStuck.Error()})
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cancel = nil
	if s.works > 0 || ctx.Err() != nil && !late {
		return false
	}
	s.seen, s.at = fit(seen), time.Now()
	return true
}

// begin looks at one disk, when the look before has ended: a disk that hangs has one read that waits for it.
func (s *Surveyor) begin(ctx context.Context, d session.Disk, to chan<- session.Content) {
	turn := s.turns[d.Path]
	if turn == nil {
		turn = make(chan struct{}, 1)
		s.turns[d.Path] = turn
	}
	// Ends when the disk has answered: a read that the kernel waits for cannot be ended.
	go func() {
		select {
		case turn <- struct{}{}:
		case <-ctx.Done():
			return
		}
		to <- s.one(ctx, d)
		<-turn
	}()
}

func (s *Surveyor) one(ctx context.Context, d session.Disk) session.Content {
	used, uerr := s.o.InUse(d.Path)
	f, err := s.o.Open(d)
	if err != nil {
		c := session.Content{Disk: d.ID(), Problem: "it cannot be read: " + err.Error(), Used: used}
		tidy(&c)
		return c
	}
	defer f.Close()
	c := Look(ctx, f, d)
	c.Used = used
	if uerr != nil && c.Problem == "" {
		c.Problem = "whether it is in use cannot be told: " + uerr.Error()
	}
	tidy(&c)
	return c
}

// fit leaves out what is too much to be told: the partitions of the disk that has most of them, again and again. What
// is left out is counted.
func fit(seen []session.Content) []session.Content {
	for {
		text, err := json.Marshal(session.Survey{Disks: seen})
		if err != nil {
			return nil // strings and numbers: cannot be
		}
		if len(text) <= session.MaxSurvey-64 { // room for the age
			return seen
		}
		most := 0
		for i := range seen {
			if len(seen[i].Partitions) > len(seen[most].Partitions) {
				most = i
			}
		}
		if c := seen[most]; len(c.Partitions) > 0 {
			half := len(c.Partitions) / 2
			seen[most].Partitions, seen[most].More = c.Partitions[:half], c.More+len(c.Partitions)-half
			continue
		}
		seen = seen[:len(seen)/2] // that many disks: of the rest nothing is said
	}
}
