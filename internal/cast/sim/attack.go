package sim

import (
	"math/rand/v2"
	"net/netip"

	"github.com/diskcast/diskcast/internal/cast/core"
	"github.com/diskcast/diskcast/internal/cast/wire"
)

// Attack is what somebody who has the cast's key sends to the group.
type Attack int

// The attacks. All but Once and Wrong send packets of no use, whose numbers do the harm.
const (
	None     Attack = iota
	Once            // one packet with a number far ahead
	Far             // numbers far ahead, again and again
	Near            // numbers that the sender may have reached by now, as far as a receiver can tell
	Next            // the sender's next numbers
	Replays         // what was sent a while ago, ANNOUNCEs too
	Epochs          // numbers of senders that never were
	Unsigned        // ANNOUNCEs that nobody signed
	Wrong           // what the sender is about to send, with other bytes
)

func (a Attack) String() string {
	return [...]string{"none", "once", "far", "near", "next", "replays", "epochs", "unsigned", "wrong"}[a]
}

// attacker has the cast's key, and a line as fast as it likes.
type attacker struct {
	rng      *rand.Rand
	recorded []flight
	owed     float64 // packets
	last     flight  // of the sender's data
	began    int64
}

// addr is where a node reports from.
func (n *node) addr() netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(n.id >> 8), byte(n.id)}), 1)
}

// attack puts the packets of this tick beside the sender's, before those or after them.
func (c *castRun) attack(r *run) {
	a := &c.attacker
	if a.rng == nil {
		a.rng = rand.New(rand.NewPCG(r.cfg.Seed, 77))
	}
	for _, f := range c.air {
		if f.ctl == nil {
			a.last = f
			if a.began == 0 {
				a.began = r.now
			}
		}
		if c.Attack == Replays && len(a.recorded) < 4096 {
			a.recorded = append(a.recorded, f)
		}
	}
	if c.Attack == None || a.began == 0 || r.now < a.began+10*Millisecond || c.AttackFor != 0 &&
		r.now > a.began+c.AttackFor {
		return
	}
	a.owed += c.AttackRate * float64(r.tick) / 1e9
	if c.Attack == Once {
		a.owed = 1
		c.AttackFor = 1
	}
	var forged []flight
	for ; a.owed >= 1; a.owed-- {
		forged = append(forged, a.packet(c, r))
	}
	if a.rng.IntN(2) == 0 {
		c.air = append(forged, c.air...)
	} else {
		c.air = append(c.air, forged...)
	}
}

func (a *attacker) packet(c *castRun, r *run) flight {
	f := a.last
	f.at, f.use, f.lost = r.now, nil, 0
	f.block, f.index = 0, 0 // which everybody has
	switch c.Attack {
	case Once:
		f.seq += 1 << 40
	case Far:
		f.seq += 1 << (20 + a.rng.Uint64N(24))
	case Near:
		f.seq += 1500 + a.rng.Uint64N(15000)
	case Next:
		f.seq += 1 + a.rng.Uint64N(64)
	case Epochs:
		f.epoch, f.seq = a.rng.Uint64N(1<<48), a.rng.Uint64N(1<<48)
	case Replays:
		f = a.recorded[a.rng.IntN(len(a.recorded))]
		f.at, f.use, f.lost = r.now, nil, 0
	case Unsigned:
		f.seq, f.ctl, f.unsigned = f.seq+1<<30, []byte{}, true
	case Wrong:
		f.seq += 1 + a.rng.Uint64N(64)
		f.block, f.index, f.wrong = (a.last.block+1)%uint32(c.p.Blocks()), uint8(a.rng.IntN(c.p.K)), true
	}
	return f
}

// whole takes a block that is complete. The hash of one that has a wrong packet is not what it must be.
func (c *castRun) whole(now int64, n *node, p *core.Partial) {
	n.core.Release(now, p)
	if n.wrong[p] {
		delete(n.wrong, p)
		n.core.Again(now, int(p.Block))
		n.core.Wrong(now)
		return
	}
	c.complete(n, now)
}

// forged takes an ANNOUNCE that is not signed: the driver does not show it to the core.
func (n *node) forged(now int64) { n.core.Strange(now, wire.Unsigned, netip.Addr{}) }
