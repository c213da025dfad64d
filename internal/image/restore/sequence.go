package restore

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/diskcast/diskcast/internal/image"
)

// Mode says how much of a disk is written.
type Mode int

// Modes of a Sequence.
const (
	Full  Mode = iota // everything
	Delta             // what differs from what is on the disk
	Auto              // Delta where the disk carries the plan's partition table already, else Full
)

// Sequence is what every restore does from its plan on, wherever the bytes come from: what is there already, the
// partition table, the chunks, and, if asked, the reading back. Its funcs are called one at a time.
type Sequence struct {
	Name   string // of the disk, in errors; may be empty
	Plan   *Plan
	Target Target
	Mode   Mode
	Verify bool // read back and hash every chunk; what is wrong is brought once more, and then it is the disk's fault
	// Bring writes the plan's chunks but for those of which have tells that they are there, and returns when they are
	// on the disk. In a repair what was written before did not read back, so each chunk must be hashed before it is
	// written.
	Bring func(ctx context.Context, have []Range, repair bool) error

	// What follows is told to whoever wants to know.
	// before the first write: the table is there already; only what differs is written
	Chosen   func(same, delta bool)
	Tabled   func(same bool)                      // the table is on the disk
	Wrong    func(*MismatchError)                 // what was read back is not what was written; it is brought once more
	Progress func(step string, done, total int64) // step is hash or verify; called from one goroutine at a time
}

// Run restores.
func (s *Sequence) Run(ctx context.Context) error {
	same, err := s.sameTable()
	if err != nil {
		return err
	}
	delta := s.Mode == Delta || s.Mode == Auto && same
	if s.Chosen != nil {
		s.Chosen(same, delta)
	}
	if err := s.fill(ctx, same, delta, false); err != nil || !s.Verify {
		return err
	}
	err = s.readBack(ctx)
	var wrong *MismatchError
	if errors.As(err, &wrong) {
		if s.Wrong != nil {
			s.Wrong(wrong)
		}
		if same, err = s.sameTable(); err != nil {
			return err
		}
		if err := s.fill(ctx, same, true, true); err != nil {
			return err
		}
		err = s.readBack(ctx)
	}
	if errors.As(err, &wrong) {
		return fmt.Errorf("%s does not hold what was written to it: %w", cmp.Or(s.Name, "the target"), err)
	}
	return err
}

// named says of which disk an error is.
func (s *Sequence) named(err error) error {
	if s.Name == "" {
		return err
	}
	return fmt.Errorf("%s: %w", s.Name, err)
}

func (s *Sequence) sameTable() (bool, error) {
	same, err := s.Plan.SameTable(s.Target)
	if err != nil {
		return false, s.named(fmt.Errorf("reading its partition table: %w", err))
	}
	return same, nil
}

// fill puts on the disk the partition table, unless it is there, and every chunk, or, with delta, those that differ.
func (s *Sequence) fill(ctx context.Context, same, delta, repair bool) error {
	var have []Range
	if delta {
		var err error
		if have, err = s.Plan.Present(ctx, s.Target, s.progress("hash")); err != nil {
			return s.named(fmt.Errorf("comparing it with the image: %w", err))
		}
	}
	if !same {
		if err := s.Plan.WriteTable(s.Target); err != nil {
			return s.named(fmt.Errorf("writing the partition table: %w", err))
		}
	}
	if s.Tabled != nil {
		s.Tabled(same)
	}
	return s.Bring(ctx, have, repair)
}

func (s *Sequence) readBack(ctx context.Context) error {
	err := s.Plan.Verify(ctx, s.Target, s.progress("verify"))
	var wrong *MismatchError
	if err != nil && !errors.As(err, &wrong) {
		return s.named(err)
	}
	return err
}

func (s *Sequence) progress(step string) image.Progress {
	if s.Progress == nil {
		return nil
	}
	return func(done, total int64) { s.Progress(step, done, total) }
}
