package bootos

import (
	"fmt"
	"io"
	"time"
)

// budget bounds what Find does on a disk whose files may be made to hold it up. Once it is spent every further step
// fails, and Find ends in a restart: what was found until then may be another system than the loader's. A nil budget
// has no bounds.
type budget struct {
	now    func() time.Time
	begun  time.Time // zero: Find is not running, and nothing is counted
	left   spent
	failed error
}

// spent is what a step costs.
type spent struct {
	steps int   // elements of paths, names in folders
	bytes int64 // of files
}

// Bounds of one Find. Real systems need some thousand steps, some megabytes and a second.
const (
	maxSteps = 1 << 20
	maxRead  = 512 << 20
	maxTime  = 60 * time.Second
)

func newBudget() *budget { return &budget{now: time.Now} }

// begin starts counting anew; end stops it.
func (b *budget) begin() { b.begun, b.left, b.failed = b.now(), spent{maxSteps, maxRead}, nil }
func (b *budget) end()   { b.begun, b.failed = time.Time{}, nil }

// spend takes a step's cost off. The error names the bound.
func (b *budget) spend(s spent) error {
	if b == nil || b.begun.IsZero() || b.failed != nil {
		return b.err()
	}
	b.left.steps -= s.steps
	b.left.bytes -= s.bytes
	switch {
	case b.left.steps < 0:
		b.failed = fmt.Errorf("more than %d names would have to be looked up", maxSteps)
	case b.left.bytes < 0:
		b.failed = fmt.Errorf("more than %d MiB would have to be read", maxRead>>20)
	case b.now().Sub(b.begun) > maxTime:
		b.failed = fmt.Errorf("looking through the disk takes more than %v", maxTime)
	}
	return b.failed
}

func (b *budget) err() error {
	if b == nil {
		return nil
	}
	return b.failed
}

// readerAt counts what is read of a file.
func (b *budget) readerAt(r io.ReaderAt) io.ReaderAt { return counted{r, b} }

type counted struct {
	r io.ReaderAt
	b *budget
}

// ReadAt reads if the budget allows it.
func (c counted) ReadAt(p []byte, off int64) (int, error) {
	if err := c.b.err(); err != nil {
		return 0, err
	}
	n, err := c.r.ReadAt(p, off)
	if over := c.b.spend(spent{bytes: int64(n)}); over != nil {
		return 0, over
	}
	return n, err
}
