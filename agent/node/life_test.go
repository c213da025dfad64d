package node_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/diskcast/diskcast/agent/node"
	"github.com/diskcast/diskcast/internal/session"
)

// stuck is work that cannot be ended, as an erase in a disk's firmware cannot.
type stuck struct {
	over chan struct{}
	err  error
}

func (s *stuck) Run(context.Context) error            { <-s.over; return s.err }
func (s *stuck) Takes(*session.Descriptor, bool) bool { return false }
func (s *stuck) Unfinished() string                   { return "unfinished" }
func (s *stuck) Leave(context.Context, *node.Exit)    {}

// TestBeat: a node lives while it asks for descriptors, and while it has one for work that cannot be ended. What the
// kernel said is told before the failure.
func TestBeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{descs: make(chan *session.Descriptor), errs: make(chan error)}
		s := &stuck{over: make(chan struct{}), err: errors.New("I/O error")}
		var beats atomic.Int64
		n := node.New(node.Options{API: f, Report: f, Machine: f, Failing: func() { f.note("KERNEL") },
			Beat:    func() { beats.Add(1) },
			Actions: map[string]node.Action{"stuck": func(*session.Descriptor) node.Job { return s }}})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := make(chan error)
		go func() { done <- n.Run(ctx) }()
		f.descs <- &session.Descriptor{V: 1, Session: "s", Serial: 1, Action: "stuck"}
		f.descs <- &session.Descriptor{V: 1, Session: "t", Serial: 2, Action: session.Idle}
		f2 := beats.Load()
		time.Sleep(10 * time.Minute)
		if got := beats.Load() - f2; got < 9 {
			t.Errorf("%d beats in ten minutes of work that cannot be ended", got)
		}
		close(s.over)
		time.Sleep(time.Minute)
		synctest.Wait()
		s.over = make(chan struct{})
		f.descs <- &session.Descriptor{V: 1, Session: "u", Serial: 3, Action: "stuck"}
		synctest.Wait()
		close(s.over)
		time.Sleep(time.Minute)
		synctest.Wait()
		if log := strings.Join(f.log, "\n"); !strings.Contains(log, "KERNEL\nerror failed I/O error") {
			t.Errorf("the kernel's words are not before the failure:\n%s", log)
		}
		cancel()
		<-done
	})
}
