package node_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/diskcast/diskcast/agent/node"
	"github.com/diskcast/diskcast/internal/session"
)

// TestMenu: a menu stays on the consoles while it is the same and the node has nothing to do, also when the node is
// asked to look; before work begins the consoles are free.
func TestMenu(t *testing.T) {
	f := &fake{}
	synctest.Test(t, func(t *testing.T) {
		f.descs, f.errs, f.left = make(chan *session.Descriptor), make(chan error), make(chan string, 1)
		work := func(*session.Descriptor) node.Job { f.note("work"); return nothing{} }
		n := node.New(node.Options{API: f, Report: f, Machine: f, Actions: map[string]node.Action{"x": work},
			Look: func(context.Context, *session.Look) { f.note("look") },
			Menu: func(ctx context.Context, m *session.Menu, _ *node.Exit) {
				f.note("menu %s", m.ID)
				<-ctx.Done()
				f.note("no menu %s", m.ID)
			}})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- n.Run(ctx) }()
		a, b := &session.Menu{ID: "a"}, &session.Menu{ID: "b"}
		for i, d := range []*session.Descriptor{
			{Action: session.Idle, Menu: a}, {Action: session.Idle, Menu: a, Look: &session.Look{}},
			{Action: session.Idle, Menu: b}, {Action: "x"}, {Action: session.Idle}, {Action: session.Idle, Menu: a},
		} {
			d.Serial = uint64(i + 1)
			f.descs <- d
			synctest.Wait()
		}
		cancel()
		<-ended
	})
	var got []string
	for _, line := range f.log {
		if line != "session " {
			got = append(got, line)
		}
	}
	check(t, got, "menu a", "look", "no menu a", "menu b", "no menu b", "work", "menu a", "no menu a")
}

// nothing is a job that is done at once.
type nothing struct{}

func (nothing) Run(context.Context) error            { return nil }
func (nothing) Takes(*session.Descriptor, bool) bool { return false }
func (nothing) Leave(context.Context, *node.Exit)    {}
func (nothing) Unfinished() string                   { return "" }
