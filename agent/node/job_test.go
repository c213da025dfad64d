package node_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/diskcast/diskcast/agent/node"
	"github.com/diskcast/diskcast/internal/session"
)

// sweep is an action that this program does not have: all that a new one must bring.
type sweep struct {
	f    *fake
	d    *session.Descriptor
	work func(ctx context.Context) error
}

func (s *sweep) Run(ctx context.Context) error {
	s.f.note("sweep")
	return s.work(ctx)
}

func (s *sweep) Takes(nd *session.Descriptor, done bool) bool {
	same := nd.Action == s.d.Action && nd.Session == s.d.Session
	s.f.note("asked: same %v, done %v", same, done)
	return same
}
func (s *sweep) Unfinished() string                         { return "stopped before it was swept" }
func (s *sweep) Leave(ctx context.Context, exit *node.Exit) { exit.AsAsked(ctx, s.d.Boot) }
func sweepOf(serial uint64, method string) *session.Descriptor {
	return &session.Descriptor{Serial: serial, Session: "s", Action: "sweep", Boot: &session.Boot{Method: method}}
}

// TestNewAction gives the node an action that this package has never heard of, with one line, and has it go on, be
// replaced, fail and leave.
func TestNewAction(t *testing.T) {
	waits := func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) }
	var last chan struct{}
	for name, c := range map[string]struct {
		work   func(ctx context.Context) error
		script func(f *fake)
		want   []string
	}{
		"leaves": {
			func(context.Context) error { return nil },
			func(f *fake) { f.descs <- sweepOf(1, session.BootPoweroff); <-f.left },
			[]string{"session s", "sweep", "info boot poweroff: as the session asks", "flush", "POWEROFF"},
		},
		"fails": {
			func(context.Context) error { return errors.New("no broom") },
			func(f *fake) { f.descs <- sweepOf(1, session.BootReboot) },
			[]string{"session s", "sweep", "error failed no broom"},
		},
		"goes on, then is cancelled": {
			waits,
			func(f *fake) {
				f.descs <- sweepOf(1, session.BootReboot)
				synctest.Wait() // until it sweeps
				f.descs <- sweepOf(2, session.BootReboot)
				f.descs <- &session.Descriptor{Serial: 3, Action: session.Idle}
			},
			[]string{"session s", "sweep", "asked: same true, done false", "asked: same false, done false", "session "},
		},
		"the newest of those that came while it ended counts": {
			func(ctx context.Context) error {
				<-ctx.Done()
				<-last
				return context.Cause(ctx)
			},
			func(f *fake) {
				last = make(chan struct{})
				f.descs <- sweepOf(1, session.BootReboot)
				synctest.Wait() // until it sweeps
				f.descs <- restore(2, "a", &session.Boot{Method: session.BootStay})
				f.descs <- &session.Descriptor{Serial: 3, Action: session.Idle}
				synctest.Wait() // until the node has it
				close(last)
			},
			[]string{"session s", "sweep", "asked: same false, done false", "session "},
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{}
			got := playWith(t, f, map[string]node.Action{
				session.Restore: f.restoring(),
				"sweep":         func(d *session.Descriptor) node.Job { return &sweep{f, d, c.work} },
			}, c.script)
			check(t, got, c.want...)
		})
	}
}
