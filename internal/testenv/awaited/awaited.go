// Package awaited is what tests wait for: what a program prints, and the end of what another one has started.
package awaited

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// Output is a writer of which tests can wait for what was written.
type Output struct {
	mu   sync.Mutex
	text strings.Builder
	more chan struct{} // closed, and another made, at each writing
}

// New returns an output in which nothing is yet.
func New() *Output { return &Output{more: make(chan struct{})} }

func (o *Output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.more)
	o.more = make(chan struct{})
	return o.text.Write(b)
}

func (o *Output) String() string {
	all, _ := o.now()
	return all
}

func (o *Output) now() (all string, more <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String(), o.more
}

// until waits until what was written fits.
func (o *Output) until(ctx context.Context, fits func(all string) bool) error {
	for {
		all, more := o.now()
		if fits(all) {
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return fmt.Errorf("%w: %q", context.Cause(ctx), all)
		}
	}
}

// Wait waits until a text was printed so often, and fails the test when that takes longer than the limit.
func (o *Output) Wait(t *testing.T, text string, times int, limit time.Duration) {
	t.Helper()
	ctx, stop := context.WithTimeout(context.Background(), limit)
	defer stop()
	if err := o.until(ctx, func(all string) bool { return strings.Count(all, text) >= times }); err != nil {
		t.Fatalf("%q is not %d times there: %v", text, times, err)
	}
}

// Line waits for a whole line with the words in it, and returns it without blanks around it.
func (o *Output) Line(ctx context.Context, words string) (line string, err error) {
	err = o.until(ctx, func(all string) bool {
		for l := range strings.Lines(all) {
			if strings.Contains(l, words) && strings.HasSuffix(l, "\n") {
				line = strings.TrimSpace(l)
				return true
			}
		}
		return false
	})
	if err != nil {
		return "", fmt.Errorf("no line with %s: %w", words, err)
	}
	return line, nil
}
