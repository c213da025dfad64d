package core

import "github.com/diskcast/diskcast/internal/cast/wire"

// besetTime is how long the sender keeps its ANNOUNCEs close together after a receiver has said that somebody else
// sends with the key. Such receivers count only numbers that were announced; annCount numbers are as many as they can
// count at once, with room to spare.
const (
	besetTime = 5 * sec
	annCount  = wire.WindowLen / 8
)

// beset says that somebody else sends to the group, if a receiver is to be believed.
func (s *Sender) beset(now int64) bool { return s.waryAt != 0 && now-s.waryAt < besetTime }

// beware looks at what a report says of others who send with the key. It tells of the first such packet and whenever
// there are ten times as many.
func (s *Sender) beware(now int64, p *Peer, r *wire.ReportBody) {
	p.misled = r.Epoch == s.cfg.Epoch && r.Top >= s.seq
	more := p.misled || r.Flags&wire.RepWary != 0
	for kind, n := range r.Strange {
		more = more || n > p.Strange[kind]
	}
	if p.misled {
		p.misleads++
	}
	p.Strange, p.From = r.Strange, r.From
	p.Strange[wire.Ahead] = max(p.Strange[wire.Ahead], p.misleads)
	if more {
		s.waryAt = now
	}
	if n := total(&p.Strange); n > 0 && n >= 10*p.told {
		p.told = n
		s.event("hostile", p, p.Suspicion())
	}
}

// Strangers is how many packets of somebody else who has the key the peer speaks of.
func (p *Peer) Strangers() uint32 { return total(&p.Strange) }

// Suspicion says what the peer has seen of somebody else who sends with the cast's key; "" if nothing.
func (p *Peer) Suspicion() string { return Suspicion(p.Strange, p.From) }
