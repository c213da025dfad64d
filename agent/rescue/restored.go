package rescue

import (
	"context"

	"github.com/diskcast/diskcast/internal/rescue"
)

// Restored gives a shell on a machine whose disk was written, before that is started.
type Restored struct{ Options }

// Reach says why nobody could come in.
func (r Restored) Reach(spec *rescue.Spec) error { return r.reach(spec, "--shell-key") }

// Open opens the shell and waits for its end.
func (r Restored) Open(ctx context.Context, spec *rescue.Spec) error {
	o := r.Options
	o.said = said{"a shell on a machine whose disk is restored, and not started yet. With exit, or after " +
		spec.Time().String() + ", it is started: unmount first what you mounted.", "the shell is closed."}
	return o.open(ctx, spec)
}
