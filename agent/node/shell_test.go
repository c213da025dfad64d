package node_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/diskcast/diskcast/internal/session"
)

// TestShellBeforeTheStart: a machine gives its shell when it has its boot entry, and starts what was restored once that
// is closed; its session's end closes it, and another word of the same session does not.
func TestShellBeforeTheStart(t *testing.T) {
	shell := &session.Boot{Method: session.BootShell, Append: "quiet", Shell: json.RawMessage(`{"seconds":60}`)}
	whole := []string{"session s-a", "restore a", "info entry made", "shell for 1m0s"}
	for name, c := range map[string]struct {
		nobody error
		script func(f *fake, left chan error)
		want   []string
	}{
		"it is left": {script: func(f *fake, left chan error) {
			f.descs <- restore(1, "a", shell)
			f.descs <- restore(2, "a", shell) // of a server that was started again
			synctest.Wait()
			f.note("exit")
			left <- nil
			<-f.left
		}, want: append(whole[:4:4], "exit", "prepare quiet", "info boot kexec: Debian", "flush", "KEXEC")},
		"its session is cancelled": {script: func(f *fake, _ chan error) {
			f.descs <- restore(1, "a", shell)
			synctest.Wait()
			f.descs <- &session.Descriptor{Serial: 2, Action: session.Idle}
		}, want: append(whole[:4:4], "session ")},
		"it cannot be opened": {script: func(f *fake, left chan error) {
			f.descs <- restore(1, "a", shell)
			left <- errors.New("port 22 is taken")
		}, want: append(whole[:4:4],
			"error failed the shell before the machine's start, which did not follow: port 22 is taken")},
		"nobody could come in": {nobody: errors.New("no key"), script: func(f *fake, _ chan error) {
			f.descs <- restore(1, "a", shell)
		}, want: []string{"session s-a", "error failed no key"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{nobody: c.nobody}
			var left chan error
			f.shell = func(ctx context.Context) error {
				select {
				case err := <-left:
					return err
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			}
			check(t, play(t, f, func(f *fake) {
				left = make(chan error) // of the bubble
				c.script(f, left)
			}), c.want...)
		})
	}
}
