package grub

import (
	"errors"
	"fmt"
	"time"
)

// ErrLimit is the error of a configuration that is too large or runs too long; what it wraps it in says which limit.
var ErrLimit = errors.New("it runs longer than a boot menu should")

// MaxConfig bounds one file of a configuration, in bytes.
const MaxConfig = 1 << 20

// Limits on a configuration. One budget of steps is for a whole run: a command, a word or a variable of what is parsed,
// and every stepBytes bytes that are read, parsed, put together or kept, are one step each. So all memory is within a
// small multiple of maxSteps*stepBytes = 25 MB.
const (
	maxSteps     = 200_000
	stepBytes    = 128
	fileSteps    = 32 // of a look at the disk: links are followed
	maxTime      = 20 * time.Second
	maxDepth     = 24
	maxEntries   = 1024
	maxValue     = 64 << 10 // bytes of a variable or of all words of a command
	maxPath      = 4096     // bytes, as Linux has it
	maxMemory    = 8 << 20  // bytes of all variables and menu entries' words
	maxVariables = 8192
	maxDoubts    = 256 // variables that a search could not set
	maxFallbacks = 64
	maxWorlds    = 128 // runs with other answers to what only GRUB knows

	maxPattern     = 1024 // bytes of a regular expression,
	maxMatched     = 4096 // of what it is matched with,
	maxPatternSize = 4096 // and instructions that it becomes
)

func limit(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrLimit}, args...)...)
}

// meter counts what a run has cost.
type meter struct {
	steps int
	now   func() time.Time
	end   time.Time
	over  error // the limit that was reached
}

func newMeter(now func() time.Time) *meter { return &meter{now: now, end: now().Add(maxTime)} }

// spend takes steps off the budget. Once it is used up every further call is an error too.
func (m *meter) spend(steps int) error {
	m.steps += steps
	switch {
	case m.over != nil:
	case m.steps > maxSteps:
		m.over = limit("more than %d steps", maxSteps)
	case m.now().After(m.end):
		m.over = limit("more than %v", maxTime)
	}
	return m.over
}

// charge spends bytes.
func (m *meter) charge(bytes int) error { return m.spend(1 + bytes/stepBytes) }

// metered is the disk, with a price on every look at it. A look that the budget does not have is as one at a file that
// is not there; the run ends at its next step.
type metered struct {
	Files
	*meter
}

func (m metered) ReadFile(dev int, name string, max int64) ([]byte, error) {
	if err := m.look(name); err != nil {
		return nil, err
	}
	b, err := m.Files.ReadFile(dev, name, max)
	return b, errors.Join(err, m.charge(len(b)))
}

func (m metered) Blocks(dev int, first, count int64) ([]byte, error) {
	if err := m.charge(int(count) * 512); err != nil {
		return nil, err
	}
	return m.Files.Blocks(dev, first, count)
}

func (m metered) Exists(dev int, name string, dir bool) bool {
	return m.look(name) == nil && m.Files.Exists(dev, name, dir)
}

func (m metered) Listed(dev int, name string) (dir, is bool) {
	if m.look(name) != nil {
		return false, false
	}
	return m.Files.Listed(dev, name)
}

func (m metered) List(dev int, name string) ([]string, error) {
	if err := m.look(name); err != nil {
		return nil, err
	}
	names, err := m.Files.List(dev, name)
	return names, errors.Join(err, m.charge(len(names)*stepBytes))
}

func (m metered) look(name string) error {
	if len(name) > maxPath && m.over == nil {
		m.over = limit("a file name of more than %d bytes", maxPath)
	}
	return m.spend(fileSteps)
}
