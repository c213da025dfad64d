package castcmd

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/diskcast/diskcast/internal/cast"
	"github.com/diskcast/diskcast/internal/plain"
)

// arrivals knows when receivers came.
type arrivals struct {
	mu     sync.Mutex
	joined map[uint64]time.Time
}

func newArrivals() *arrivals { return &arrivals{joined: map[uint64]time.Time{}} }

func (a *arrivals) event(e cast.Event) {
	if e.Kind == "join" {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.joined[e.Peer.ID] = time.Now()
	}
}

// maxNamed is how many receivers an error names.
const maxNamed = 10

// unfinished is the error that names receivers that came and have not everything. One that was started again on the
// same machine under the same label, after the last word of the one before, and has everything, stands for both.
func (a *arrivals) unfinished(s cast.SenderStats) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	var names []string
	n := 0
	for _, r := range s.Receivers {
		if r.State == "done" || a.replaced(now, &r, s.Receivers) {
			continue
		}
		if n++; n <= maxNamed {
			names = append(names, fmt.Sprintf("%s (%s)", who(&r), r.State))
		}
	}
	if n == 0 {
		return nil
	}
	if n > maxNamed {
		names = append(names, fmt.Sprintf("and %d more", n-maxNamed))
	}
	return fmt.Errorf("%d of %d receivers have not everything: %s; look at them for why, and send to them again", n,
		len(s.Receivers), strings.Join(names, ", "))
}

func (a *arrivals) replaced(now time.Time, r *cast.Peer, all []cast.Peer) bool {
	for i := range all {
		o := &all[i]
		if o.State == "done" && o.Label == r.Label && o.Addr.Addr() == r.Addr.Addr() &&
			!a.joined[o.ID].Before(now.Add(-r.Heard)) {
			return true
		}
	}
	return false
}

// who names a receiver: what it calls itself is its own word, its address is where its packets come from.
func who(p *cast.Peer) string {
	label := plain.Line(p.Label, 64)
	if label == "" {
		return p.Addr.String()
	}
	return fmt.Sprintf("%s at %v", label, p.Addr.Addr())
}
