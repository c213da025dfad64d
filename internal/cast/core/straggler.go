package core

import (
	"fmt"
	"slices"
)

// strainTime is for how long a peer whose memory fills is looked at before it is judged by what it took.
const strainTime = 2 * sec

// strained looks at what a peer whose memory fills took over strainTime, bursts and pauses alike, and stops waiting for
// it when that holds the others back.
func (s *Sender) strained(now int64, p *Peer) bool {
	t := now - p.takenAt
	switch {
	case p.State != PeerActive || s.active < 2 || p.takenAt == 0 && p.strainedAt != now:
		p.takenAt = 0
	case p.takenAt == 0:
		p.takenAt, p.takenNeed = now, p.Need
	case t >= strainTime:
		took := (float64(p.takenNeed) - float64(p.Need)) * s.bits / float64(t) * 1e9
		p.takenAt = 0
		if floor := s.floor(now, p, took, true); p.strainedAt > now-t/2 && took < floor {
			s.slow(now, p, took, fmt.Sprintf("its memory is %d %% full, since its disk or CPU takes but %.0f Mbit/s, "+
				"while the others stand more than %.0f",
				int(p.Pressure)*100/255, took/1e6, floor/1e6))
			return true
		}
	}
	return false
}

// slow stops waiting for a peer, which stands but limit, bits a second.
func (s *Sender) slow(now int64, p *Peer, limit float64, why string) {
	p.State, p.slowAt, p.goodAt, p.limit, p.Why = PeerSlow, now, 0, limit, why
	s.count()
	s.event("slow", p, p.Why)
	s.relieve(p)
	if c := &s.ctl; !c.fixed && !c.startup && s.active > 0 {
		// The pace was this peer's, and it may have been what seemed to share the line. Back to what reached the
		// others.
		c.hold = now
		c.cut(now, s.seq, max(c.wmax, c.best), c.rate, false)
	}
}

// floor is the rate that the group must not fall below for p's sake, whose memory is full or who loses packets. What
// others take whose memory was filling lately is no measure for a full memory, since they may have the same kind of
// disk.
func (s *Sender) floor(now int64, p *Peer, target float64, memory bool) float64 {
	if s.active < 2 {
		return 0
	}
	// What others get who are not in trouble themselves.
	fresh := now - max(sec, 3*s.fb.active)
	var rates []float64
	for _, o := range s.order {
		strained := o.strainedAt != 0 && now-o.strainedAt < 5*strainTime
		if o == p || !o.waited() || o.Heard < fresh || strained && memory || o.limitAt != 0 && now-o.limitAt < 2*sec &&
			o.limit < 2*target {
			continue
		}
		rate := o.Rate
		if !strained {
			rate = max(rate, s.ctl.best*0.9)
		}
		rates = append(rates, rate)
		if len(rates) >= 64 {
			break
		}
	}
	if len(rates) == 0 || len(rates) < s.active/4 && len(rates) < 16 {
		return 0
	}
	if s.cfg.Floor > 0 {
		return s.cfg.Floor
	}
	slices.Sort(rates)
	return rates[len(rates)/2] / 4
}

// slowMeasure lets a slow peer back when it keeps up for a second.
func (s *Sender) slowMeasure(now int64, p *Peer, loss float64) {
	if loss > p.baseline+0.02 || int(p.Pressure) >= easing {
		p.goodAt = 0
		return
	}
	if p.goodAt == 0 {
		p.goodAt = now
	}
	if now-p.goodAt > sec {
		p.State, p.slowAt = PeerActive, 0
		s.count()
		s.event("back", p, "it keeps up")
	}
}

// judge moves peers that stayed slow to unicast.
func (s *Sender) judge(now int64) {
	for _, p := range s.order {
		if p.State != PeerSlow || now-p.slowAt <= sec {
			continue
		}
		if s.active == 0 {
			// Nobody is left to wait: the group goes at its pace.
			p.State, p.slowAt = PeerActive, 0
			s.count()
			continue
		}
		// One that keeps up lately, or that nothing was sent to, is not judged.
		if p.goodAt == 0 {
			p.State = PeerUnicast
			s.count()
			s.event("unicast", p, p.Why)
		}
	}
}
