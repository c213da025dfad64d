package contents

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/diskcast/diskcast/agent/node"
	"github.com/diskcast/diskcast/internal/session"
)

// lab is a node with disks whose reads a test can hold up.
type lab struct {
	t     *testing.T
	disks []session.Disk
	hold  map[string]chan struct{} // reads of the disk wait for it
	reads chan string              // a read of a held disk has begun
	told  chan *session.Survey
	s     *Surveyor

	waiting atomic.Int32 // reads of held disks that have begun
}

type held struct {
	io.ReaderAt
	l    *lab
	path string
}

func (h held) ReadAt(p []byte, off int64) (int, error) {
	if wait := h.l.hold[h.path]; wait != nil {
		h.l.waiting.Add(1)
		select {
		case h.l.reads <- h.path:
		default:
		}
		<-wait
	}
	return h.ReaderAt.ReadAt(p, off)
}

func (h held) Close() error { return nil }

func newLab(t *testing.T, patience time.Duration, paths ...string) *lab {
	l := &lab{t: t, hold: map[string]chan struct{}{}, reads: make(chan string, 1), told: make(chan *session.Survey, 8)}
	for _, p := range paths {
		l.disks = append(l.disks, session.Disk{Path: p, Size: 1 << 20, SectorSize: 512, Serial: p})
	}
	l.s = New(Options{List: func() []session.Disk { return l.disks }, Patience: patience,
		Open: func(d session.Disk) (Disk, error) {
			if strings.HasSuffix(d.Path, "gone") {
				return nil, errors.New("no such device")
			}
			return held{bytes.NewReader(make([]byte, d.Size)), l, d.Path}, nil
		},
		InUse: func(path string) (string, error) {
			return map[string]string{"/dev/used": "used1 is mounted at /mnt"}[path], nil
		},
		Tell: func(context.Context) error { l.told <- l.s.Latest(); return nil }})
	return l
}

func (l *lab) start() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = l.s.Run(ctx) // ends with the context
	}()
	l.t.Cleanup(func() { cancel(); <-done })
}

func (l *lab) next() *session.Survey {
	l.t.Helper()
	select {
	case s := <-l.told:
		return s
	case <-time.After(20 * time.Second):
		l.t.Fatal("the server was told nothing")
		return nil
	}
}

// TestTold tells of all disks: one that is in use, one that cannot be opened.
func TestTold(t *testing.T) {
	l := newLab(t, time.Hour, "/dev/well", "/dev/used", "/dev/gone")
	if l.s.Latest() != nil {
		t.Error("something is known before the first look")
	}
	l.start()
	if s := l.next(); s == nil || len(s.Disks) != 3 || s.Disks[0].Table != "none" || s.Disks[0].Problem != "" ||
		s.Disks[1].Used != "used1 is mounted at /mnt" || !strings.Contains(s.Disks[2].Problem, "no such device") {
		t.Errorf("%+v", s)
	}
}

// TestHangs tells of a disk that hangs that it does, and has one read of it wait, however often it is looked at.
func TestHangs(t *testing.T) {
	l := newLab(t, 10*time.Millisecond, "/dev/hangs")
	hang := make(chan struct{})
	l.hold["/dev/hangs"] = hang
	l.start()
	for range 3 {
		if s := l.next(); s == nil || !strings.Contains(s.Disks[0].Problem, errStuck.Error()) {
			t.Errorf("%+v", s)
		}
		l.s.Again()
	}
	if n := l.waiting.Load(); n > 1 {
		t.Errorf("%d reads of the disk wait", n)
	}
	close(hang)
}

// TestWork reads nothing while a job may write, forgets what was seen before, and looks anew after it.
func TestWork(t *testing.T) {
	l := newLab(t, time.Hour, "/dev/sda")
	hang := make(chan struct{})
	l.hold["/dev/sda"] = hang
	l.start()
	<-l.reads // a look is under way
	var during *session.Survey
	begun, end := make(chan struct{}), make(chan error)
	run := l.s.Around(func(*session.Descriptor) node.Job {
		return job2{run: func() error { during = l.s.Latest(); close(begun); return <-end }}
	})
	finished := make(chan error, 1)
	j := run(nil)
	go func() { finished <- j.Run(t.Context()) }()
	<-begun
	close(hang) // the look that was under way ends, and counts for nothing
	if during != nil || l.s.Latest() != nil {
		t.Error("what was seen before the job counts during it")
	}
	select {
	case s := <-l.told:
		t.Errorf("told during a job: %+v", s)
	default:
	}
	end <- errors.New("it failed")
	<-finished
	if s := l.next(); s == nil || len(s.Disks) != 1 || s.Disks[0].Table != "none" {
		t.Errorf("after the job: %+v", s)
	}
	// A job that did well counts until its machine has left, or stays.
	left := make(chan struct{})
	j = l.s.Around(func(*session.Descriptor) node.Job {
		return job2{run: func() error { return nil }, leave: func() { <-left }}
	})(nil)
	if err := j.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	go j.Leave(t.Context(), nil)
	if l.s.Latest() != nil {
		t.Error("what was seen before counts while the machine leaves")
	}
	close(left)
	if l.next() == nil {
		t.Error("nothing is known of a node that stays")
	}
}

type job2 struct {
	node.Job
	run   func() error
	leave func()
}

func (j job2) Run(context.Context) error             { return j.run() }
func (j job2) Leave(_ context.Context, _ *node.Exit) { j.leave() }

// TestFit tells of many partitions and disks what there is room for, and how many it leaves out.
func TestFit(t *testing.T) {
	var seen []session.Content
	for i := range 40 {
		c := session.Content{Disk: session.DiskID{Path: fmt.Sprint("/dev/", i), Size: 1 << 40}}
		for n := range session.MaxSurveyPartitions {
			c.Partitions = append(c.Partitions, session.PartitionContent{Number: n + 1, Label: strings.Repeat("l", 64)})
		}
		seen = append(seen, c)
	}
	got := fit(seen)
	b, err := json.Marshal(session.Survey{Age: 1e6, Disks: got})
	if err != nil || len(b) > session.MaxSurvey || len(got) == 0 {
		t.Fatalf("%d bytes of %d disks, %v", len(b), len(got), err)
	}
	for _, c := range got {
		if len(c.Partitions)+c.More != session.MaxSurveyPartitions {
			t.Errorf("%s: %d partitions and %d more", c.Disk.Path, len(c.Partitions), c.More)
		}
	}
}
