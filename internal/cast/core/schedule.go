package core

import (
	"math"
	"math/rand/v2"
)

// Bounds of what a sender may announce, and what holds before anything was announced.
const (
	minInterval   = 1 * ms
	maxInterval   = 600 * sec
	firstInterval = 300 * ms // of reports while nothing was ever heard; grows to
	quietInterval = 2 * sec
	awayInterval  = 500 * ms
)

// schedule decides when a receiver reports.
//
// A receiver draws a number u when it has reported, and reports again u intervals later. The interval is the sender's
// latest word: when it changes, reports that are already waiting move with it. That is what keeps ten thousand
// receivers that come at once from reporting at once, although the first of them could not know how many they are.
type schedule struct {
	rand   *rand.Rand
	base   int64   // when u was drawn
	u      float64 // intervals from base to the report
	active int64
	done   int64
	kick   int64
	own    int64 // while nothing is heard, and while away
	heard  bool
	run    bool // the sender is sending
	first  bool // nobody has reported yet
	quiet  int  // reports since anything was heard
	seq    uint64
}

func (s *schedule) init(r *rand.Rand, now int64) {
	if r == nil {
		r = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	s.rand = r
	s.active, s.done, s.kick, s.own = firstInterval, firstInterval, firstInterval, firstInterval
	s.base, s.u = now, 0.5+0.5*r.Float64()
	s.seq = r.Uint64() & (1<<47 - 1)
}

// soon draws a moment within the coming interval: something has changed that the sender should know.
func (s *schedule) soon(now int64) { s.base, s.u = now, s.rand.Float64() }

func (s *schedule) firstHeard(now int64) { s.heard = true; s.soon(now) }
func (s *schedule) newEpoch(now int64)   { s.heard = true; s.soon(now) }
func (s *schedule) finished(now int64)   { s.soon(now) }
func (s *schedule) urgent(now int64)     { s.soon(now) }

func (s *schedule) sending(now int64, on bool) {
	if s.run && !on {
		s.soon(now)
	}
	s.run = on
}

func (s *schedule) sent(now int64) {
	s.base, s.u = now, 0.5+s.rand.Float64()
	if s.quiet++; s.quiet > 3 {
		s.own = min(s.own*3/2, quietInterval)
	}
}

func (s *schedule) due(interval int64) int64 { return s.base + int64(s.u*float64(interval)) }

// dueFirst is when to report while nobody has. Of any number of receivers up to audience a few are first, and the
// others hear of it in time: the chance grows by the factor e each kick/ln(audience), so that in a larger group those
// few are earlier (after RFC 5740, 5.2.2).
func (s *schedule) dueFirst() int64 {
	return s.base + int64(float64(s.kick)*max(0, 1+math.Log(min(s.u, 1))/math.Log(audience)))
}

const audience = 1e5

func interval(us uint32) int64 { return min(max(int64(us)*1000, minInterval), maxInterval) }
