package core

import (
	"math"
	"slices"
)

// foresee decides how many parity packets go out with each block before anyone asked, from the loss that was measured.
//
// With N receivers that each lose the share p, the one that lost most of a block of k packets lacks about kp + sqrt(2
// ln N) standard deviations. Sending a little less than that at once is almost never in vain, and the rest is repaired
// on request. For those whose repairs can wait nothing is sent at once. N is counted at several levels of loss, since
// ten thousand clean receivers need nothing because one is bad.
func (s *Sender) foresee() {
	losses := s.losses[:0]
	sum, learned := 0.0, 0.0
	s.clean = slices.ContainsFunc(s.order,
		func(p *Peer) bool { return p.waited() && p.learned > 0 && p.baseline <= lossy })
	for _, p := range s.order {
		if p.waited() && p.learned > 0 {
			sum += p.baseline
			learned++
		}
		if p.waited() && p.baseline > 1e-5 && !s.patient(p) {
			losses = append(losses, p.baseline)
		}
	}
	s.losses = losses
	s.typical = sum / max(learned, 1)
	slices.Sort(losses)
	slices.Reverse(losses)
	k := float64(s.p.K)
	best := 0.0
	// Of the receivers heard of, scaled to those that there must be.
	for n := 1; n <= len(losses); n *= 2 {
		p := min(losses[n-1], 0.5)
		sd := math.Sqrt(k * p * (1 - p))
		a := k*p/(1-p) + (math.Sqrt(2*math.Log(float64(n)))-cautious)*sd
		best = max(best, a)
	}
	s.ahead = best
}

// cautious is how many standard deviations below the likely worst need proactive parity stays.
const cautious = 1.0

// proactive is the number of parity packets to send with a block of k source packets.
func (s *Sender) proactive(k int) int {
	return min(int(s.ahead*float64(k)/float64(s.p.K)+0.5), k/2)
}
