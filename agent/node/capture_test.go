package node_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/diskcast/diskcast/agent/capturing"
	"github.com/diskcast/diskcast/agent/node"
	"github.com/diskcast/diskcast/internal/session"
)

// playCapture is play with a node that can capture.
func playCapture(t *testing.T, f *fake, run capturing.Capturer, script func(f *fake)) []string {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f.descs, f.errs, f.left = make(chan *session.Descriptor), make(chan error), make(chan string, 1)
		ctx, cancel := context.WithCancel(t.Context())
		f.stopped = ctx
		n := node.New(node.Options{API: f, Report: f, Machine: f, Actions: map[string]node.Action{
			session.Restore: f.restoring(),
			session.Capture: capturing.Action(func(ctx context.Context, d *session.Descriptor) error {
				f.note("capture %s", d.Upload.Name)
				return run(ctx, d)
			}),
		}})
		ended := make(chan error, 1)
		go func() { ended <- n.Run(ctx) }()
		script(f)
		synctest.Wait()
		cancel()
		synctest.Wait()
	})
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.log
}

func captureOf(serial uint64, method string) *session.Descriptor {
	return &session.Descriptor{V: 1, Session: "c", Serial: serial, Action: session.Capture, Target: &session.Target{},
		Upload: &session.Upload{Name: "golden"}, Boot: &session.Boot{Method: method}}
}

func TestCapture(t *testing.T) {
	idle := &session.Descriptor{Serial: 9, Action: session.Idle}
	waits := func(ctx context.Context, _ *session.Descriptor) error { <-ctx.Done(); return context.Cause(ctx) }
	for name, c := range map[string]struct {
		run    capturing.Capturer
		script func(f *fake)
		want   []string
	}{
		"stays": {
			func(context.Context, *session.Descriptor) error { return nil },
			func(f *fake) { f.descs <- captureOf(1, session.BootStay) },
			[]string{"session c", "capture golden", "info boot stay: as the session asks", "flush"},
		},
		"restarts": {
			func(context.Context, *session.Descriptor) error { return nil },
			func(f *fake) { f.descs <- captureOf(1, session.BootReboot); <-f.left },
			[]string{"session c", "capture golden", "info boot reboot: as the session asks", "flush", "REBOOT"},
		},
		"fails": {
			func(context.Context, *session.Descriptor) error { return errors.New("bad sector") },
			func(f *fake) { f.descs <- captureOf(1, session.BootReboot) },
			[]string{"session c", "capture golden", "error failed bad sector"},
		},
		"breaks": {
			func(context.Context, *session.Descriptor) error { panic("oops") },
			func(f *fake) { f.descs <- captureOf(1, session.BootReboot) },
			nil, // a stack
		},
		"cancelled": {
			waits,
			func(f *fake) { f.descs <- captureOf(1, session.BootReboot); f.descs <- idle },
			[]string{"session c", "capture golden", "session "},
		},
		"told again": {
			waits,
			func(f *fake) {
				f.descs <- captureOf(1, session.BootReboot)
				f.descs <- captureOf(2, session.BootReboot)
			},
			[]string{"session c", "capture golden"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := playCapture(t, &fake{}, c.run, c.script)
			if c.want == nil {
				if len(got) != 3 || len(got[2]) < 100 {
					t.Errorf("%q", got)
				}
				return
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}
