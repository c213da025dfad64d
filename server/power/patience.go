package power

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// One request to a machine is several messages: a slow BMC that answers each of them is not silent, however long they
// take together.
const (
	maxMessages = 24              // of one request; Redfish needs up to 9 to find a system
	slow        = 5 * time.Second // after that it is said that somebody waits
)

type patienceKey struct{}

// patience ends a request when one of its answers takes too long, or when it has had too many.
type patience struct {
	each time.Duration
	stop context.CancelFunc
	tell func(string)

	mu    sync.Mutex
	bound *time.Timer // ends the request
	word  *time.Timer // tells
	sent  int
	over  bool
}

// patient bounds each answer of a request. The caller ends it.
func patient(ctx context.Context, each time.Duration, tell func(string)) (context.Context, *patience) {
	one, stop := context.WithCancel(ctx)
	p := &patience{each: each, stop: stop, tell: tell}
	p.bound = time.AfterFunc(each, stop)
	if tell != nil {
		p.word = time.AfterFunc(slow, p.say)
	}
	return context.WithValue(one, patienceKey{}, p), p
}

func (p *patience) say() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.over {
		p.tell(fmt.Sprintf("its answer takes more than %v; each is waited for %v, and this is message %d", slow, p.each,
			max(1, p.sent)))
	}
}

func (p *patience) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	p.bound.Stop()
	if p.word != nil {
		p.word.Stop()
	}
	p.stop()
}

// sends gives the request of ctx the time for one more answer.
func sends(ctx context.Context) error {
	p, ok := ctx.Value(patienceKey{}).(*patience)
	if !ok {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over || ctx.Err() != nil {
		return ctx.Err()
	}
	if p.sent++; p.sent > maxMessages {
		return Fail(Odd, "after %d messages it has not answered what one request asks for: look at what the BMC says "+
			"of its systems", maxMessages)
	}
	p.bound.Reset(p.each)
	if p.word != nil {
		p.word.Reset(slow)
	}
	return nil
}
