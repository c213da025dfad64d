package dhcp

import (
	"maps"
	"sync"
	"time"
)

// How often the log hears of one sender, and of how many in that time: whoever forges packets can be any number.
const (
	sayAgain     = time.Hour
	maxStrangers = 64
)

// Seldom bounds what the log hears of the packets of senders that anybody can make up. Its methods may be called from
// several goroutines.
type Seldom struct {
	now func() time.Time

	mu   sync.Mutex
	said map[string]time.Time
}

// NewSeldom returns one that has said nothing yet.
func NewSeldom() *Seldom { return &Seldom{now: time.Now, said: map[string]time.Time{}} }

// Due tells whether the sender is to be named now, and counts that as done.
func (s *Seldom) Due(sender string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	maps.DeleteFunc(s.said, func(_ string, at time.Time) bool { return now.Sub(at) >= sayAgain })
	if _, ok := s.said[sender]; ok || len(s.said) >= maxStrangers {
		return false
	}
	s.said[sender] = now
	return true
}
