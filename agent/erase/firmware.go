package erase

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/diskcast/diskcast/agent/erase/ata"
	"github.com/diskcast/diskcast/agent/erase/nvme"
	"github.com/diskcast/diskcast/internal/session"
)

const (
	// lookEvery is how often a disk that erases itself is asked how far it is.
	lookEvery = 2 * time.Second
	// stalled is how long it may say the same before it is given up.
	stalled = 2 * time.Hour
	// deafFor is how often in a row it may not answer at all: a bus reset takes a while.
	deafFor = 30
	// blockingLimit bounds a command that answers when everything is erased, where the disk does not say how long that
	// takes.
	blockingLimit = 48 * time.Hour
)

// errStalled is that of a disk that does not come to the end of its sanitize.
var errStalled = errors.New("the disk's sanitize is given up")

// limit is how long a command may take of which the disk says how long it takes.
func limit(says time.Duration) time.Duration {
	if says <= 0 || says >= ata.Longest {
		return max(2*says, blockingLimit)
	}
	return max(2*says, time.Hour)
}

func ataErase(enhanced bool) func(ctx context.Context, r *run) error {
	return func(ctx context.Context, r *run) error {
		p, s := r.dev.ATA(), r.facts.ata.Security
		says := s.Takes
		if enhanced {
			says = s.TakesEnhanced
		}
		if !s.Enabled {
			if err := ata.SetPassword(p); err != nil {
				return err
			}
		}
		err := r.blocking(ctx, "erasing itself", says, func() error { return ata.EraseUnit(p, enhanced, limit(says)) })
		switch {
		case ctx.Err() != nil:
			return err
		case err != nil:
			return r.unlock(p, s.Enabled, err)
		}
		id, err := ata.Identify(p)
		switch {
		case err != nil:
			return fmt.Errorf("looking at the disk after its erase: %w", err)
		case id.Security.Enabled:
			return fmt.Errorf("the disk says that it has erased itself, and still has the password %q, which an "+
				"erase takes "+
				"away", ata.Password)
		}
		return nil
	}
}

// unlock takes away the password of a disk that has not erased itself.
func (r *run) unlock(p ata.Port, had bool, err error) error {
	if had {
		return fmt.Errorf("%w; it had a password before, which is not diskcast's (%q), or it cannot be erased", err,
			ata.Password)
	}
	if derr := ata.Disable(p); derr != nil {
		return fmt.Errorf("%w; it is left with the user password %q, because that could not be taken away: %w", err,
			ata.Password, derr)
	}
	return err
}

// blocking runs a command that answers when it is done, and says meanwhile how long it has run. When ctx ends first the
// disk goes on by itself: the command cannot be called back, and the disk stays open until it answers.
func (r *run) blocking(ctx context.Context, words string, says time.Duration, do func() error) error {
	done, back := make(chan error, 1), make(chan struct{})
	go func() { // ends with the command
		defer close(back)
		done <- do()
	}()
	began := time.Now()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	guess := "it does not say how long that takes"
	if says > 0 {
		guess = fmt.Sprintf("it says that this takes %v", says)
	}
	for {
		select {
		case err := <-done:
			return err
		case <-ctx.Done():
			r.busy = back
			return fmt.Errorf("%w; the disk goes on %s and cannot be called back: leave it its power",
				context.Cause(ctx), words)
		case <-tick.C:
			r.o.Report.Progress(fmt.Sprintf("the disk is %s since %v; %s", words, time.Since(began).Round(time.Second),
				guess),
				session.Progress{})
		}
	}
}

func ataSanitize(op ata.Operation) func(ctx context.Context, r *run) error {
	return func(ctx context.Context, r *run) error {
		p := r.dev.ATA()
		if err := ata.Start(p, op, r.spec.Passes); err != nil {
			return err
		}
		return r.watchATA(ctx, p)
	}
}

func (r *run) watchATA(ctx context.Context, p ata.Port) error {
	return r.watch(ctx, func() (bool, float64, error) {
		s, err := ata.GetStatus(p)
		switch {
		case err != nil || s.Running:
			return false, s.Share, err
		case !s.Done:
			return false, 0, errors.New("the disk says that no sanitize runs and that none was completed")
		}
		return true, 1, nil
	}, func(err error) bool { return !errors.As(err, new(*ata.Error)) })
}

func nvmeSanitize(a nvme.Action) func(ctx context.Context, r *run) error {
	return func(ctx context.Context, r *run) error {
		c, _ := r.dev.NVMe()
		if err := nvme.Start(c, a, r.spec.Passes); err != nil {
			return err
		}
		return r.watchNVMe(ctx, c)
	}
}

func (r *run) watchNVMe(ctx context.Context, c nvme.Controller) error {
	return r.watch(ctx, func() (bool, float64, error) {
		s, err := nvme.GetStatus(c)
		switch {
		case err != nil || s.State == nvme.Running:
			return false, s.Share, err
		case s.State == nvme.Failed:
			return false, 0, &nvme.Error{Command: "Sanitize", Status: 0x1c}
		case s.State == nvme.Never:
			return false, 0, errors.New("the controller says that it was never sanitized")
		}
		return true, 1, nil
	}, func(err error) bool { return !errors.As(err, new(*nvme.Error)) })
}

func nvmeFormat(erase uint32) func(ctx context.Context, r *run) error {
	return func(ctx context.Context, r *run) error {
		c, nsid := r.dev.NVMe()
		return r.blocking(ctx, "formatting itself", 0, func() error {
			return nvme.Format(c, nsid, r.facts.ns, erase,
				blockingLimit)
		})
	}
}

// watch waits for a sanitize. A disk that does not answer is asked again, as long as passing says that this may pass.
func (r *run) watch(ctx context.Context, ask func() (done bool, share float64, err error),
	passing func(error) bool) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	began := time.Now()
	moved, best, deaf := began, -1.0, 0
	for {
		done, share, err := ask()
		switch {
		case err != nil && passing(err) && deaf < deafFor:
			deaf++
		case err != nil:
			return fmt.Errorf("the sanitize failed: %w; until one is done well the disk gives nothing away, but what "+
				"is on it "+
				"is not erased: sanitize it again, or destroy it", err)
		case done:
			return nil
		default:
			deaf = 0
			if share > best {
				best, moved = share, time.Now()
			}
			r.o.Report.Progress(fmt.Sprintf("the disk is sanitizing itself since %v: %.1f %%",
				time.Since(began).Round(time.Second), 100*share), session.Progress{})
		}
		if time.Since(moved) >= stalled {
			return fmt.Errorf("%w: it stands at %.1f %% since %v; the disk goes on by itself and refuses everything "+
				"else "+
				"meanwhile: leave it its power and look again later, or destroy it", errStalled, 100*max(best, 0),
				stalled)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w; the disk goes on sanitizing itself, also after a power cut, and refuses "+
				"everything else "+
				"until it is done", context.Cause(ctx))
		case <-tick.C:
		}
	}
}
