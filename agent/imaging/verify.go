package imaging

import (
	"context"
	"errors"
	"fmt"

	"github.com/diskcast/diskcast/internal/image/restore"
	"github.com/diskcast/diskcast/internal/session"
)

// verify reads the disk back and hashes every chunk. What is not what the image says is fetched from the server once more, hashed before it is
// written this time, and read back again: a difference that is still there is the disk's.
func (r *run) verify(ctx context.Context, casts <-chan *session.Cast) error {
	err := r.readBack(ctx)
	var wrong *restore.MismatchError
	if errors.As(err, &wrong) {
		const next = "; what differs is fetched and written once more"
		if wrong.Chunk >= 0 {
			r.o.Report.Refused(wrong.Chunk, wrong.Error()+next) // the server looks at its own copy too
		} else {
			r.step(session.StepChunk, session.Warn, wrong.Error()+next, nil)
		}
		err = r.repair(ctx, casts)
		if err == nil {
			err = r.readBack(ctx)
		}
	}
	if errors.As(err, &wrong) {
		return fmt.Errorf("%s does not hold what was written to it: %w", r.disk.Path, err)
	}
	if err != nil {
		return err
	}
	r.step(session.StepVerified, session.Info, "every chunk was read back and is what the image says", &r.counts)
	return nil
}

func (r *run) readBack(ctx context.Context) error {
	err := r.plan.Verify(ctx, r.target, func(done, total int64) {
		r.o.Report.Progress(fmt.Sprintf("reading back: %s", percent(done, total)), r.counts)
	})
	var wrong *restore.MismatchError
	if err != nil && !errors.As(err, &wrong) {
		return fmt.Errorf("%s: %w", r.disk.Path, err)
	}
	return err
}

// repair brings what the disk does not hold.
func (r *run) repair(ctx context.Context, casts <-chan *session.Cast) error {
	same, err := r.sameTable()
	if err != nil {
		return err
	}
	return r.fill(ctx, casts, same, true, true)
}
