package core

import (
	"math/rand/v2"

	"github.com/diskcast/diskcast/internal/cast/wire"
)

// Times in this package are nanoseconds of the driver's clock.
const (
	ms  = int64(1e6)
	sec = int64(1e9)
)

// ReceiverConfig is what a Receiver is made from.
type ReceiverConfig struct {
	Params       Params
	ID           uint64 // 48 random bits
	Label        string
	Memory       int64 // bytes of blocks not yet with the sink
	SilenceAfter int64 // nanoseconds
	Stream       bool  // ask for a unicast stream where multicast fails
	Rand         *rand.Rand
	// Dropped is called with a partial block that is given up for memory.
	Dropped func(*Partial)
	// Aside is called with a partial block of which the driver is to write the packets that are held where it can read
	// them back. When it has, it calls IsAside. It is nil where that cannot be done.
	Aside func(*Partial)
	// Changed is called when Phase or Why change.
	Changed func()
}

// Receiver is the receiving side of a cast.
type Receiver struct {
	cfg       ReceiverConfig
	p         Params
	blocks    int
	have      bitset
	part      bitset
	partial   map[uint32]*Partial
	last      *Partial // the partial of the latest packet
	spare     *Partial // not registered yet
	missing   int      // blocks
	memory    int      // packets held, and places reserved for them
	limit     int
	waiting   int // of memory: what the sink is still to take
	evictable int // partial blocks that can be given up
	begun     [asideAfter]*Partial
	begins    int // blocks, of which begun has the latest
	asides    int // blocks put aside
	listed    int // the block that the next report's list begins with

	cur       *channel // the sender's current epoch
	old       []*channel
	stream    channel
	strange   strange
	mismatch  error  // what arrives is not what this receiver expects
	pastLost  uint64 // lost and got of earlier epochs and generations
	pastGot   uint64
	heard     int64 // when multicast was last heard; start time if never
	everHeard bool

	phase     Phase
	why       string
	away      bool // told to leave the group
	held      bool // the same by our own side
	acked     bool // the sender knows that we are done
	ended     bool // the sender has ended without that
	askedAt   int64
	lastReply int64
	sched     schedule
	// Pressure of the driver's own queues, 0..255, added to what the core knows.
	queues uint8
	start  int64

	Useful, Useless, Refused int64 // packets
	StreamUseful             int64
	Evicted                  int64
}

// NewReceiver makes a receiver that has nothing of the object.
func NewReceiver(cfg ReceiverConfig, now int64) *Receiver {
	p := cfg.Params
	r := &Receiver{
		cfg: cfg, p: p, blocks: p.Blocks(),
		partial: map[uint32]*Partial{},
		missing: p.Blocks(),
		heard:   now, start: now,
	}
	r.have, r.part = newBitset(r.blocks), newBitset(r.blocks)
	r.limit = max(int(cfg.Memory/int64(p.Payload)), 2*(p.K+MaxParity))
	r.stream = channel{window: wire.NewWindow(1024)}
	r.sched.init(cfg.Rand, now)
	if r.missing == 0 {
		r.setPhase(Complete, "")
	}
	return r
}

// Phase returns the phase and the reason for it.
func (r *Receiver) Phase() (Phase, string) { return r.phase, r.why }

// InGroup says whether the driver should be a member of the group.
func (r *Receiver) InGroup() bool { return !r.away && !r.held && !r.strange.out }

// Missing returns the number of blocks that are not whole.
func (r *Receiver) Missing() int { return r.missing }

// Finished says that nothing is missing and the sender knows.
func (r *Receiver) Finished() bool { return r.missing == 0 && r.acked }

// Has says whether block b is whole.
func (r *Receiver) Has(b int) bool { return r.have.has(b) }

// Counts returns the packets of the group that came and that were lost.
func (r *Receiver) Counts() (got, lost uint64) {
	got, lost = r.pastGot, r.pastLost
	if r.cur != nil {
		got, lost = got+r.cur.got, lost+r.cur.lost()
	}
	return got, lost
}

// StreamSeq is a window check for a packet of the unicast stream or a reply, before it is opened.
func (r *Receiver) StreamFresh(origin, seq uint64) bool {
	return origin != r.stream.origin || r.stream.fresh(seq)
}

func (r *Receiver) channel(epoch uint64) *channel {
	if r.cur != nil && r.cur.origin == epoch {
		return r.cur
	}
	for _, c := range r.old {
		if c.origin == epoch {
			return c
		}
	}
	return nil
}

// Fresh says whether a packet of the group may be new. It changes nothing, so it can be asked before the packet is
// authenticated.
func (r *Receiver) Fresh(epoch, seq uint64) bool {
	c := r.channel(epoch)
	return c == nil || c.fresh(seq)
}

// place counts a packet of the group by its number. Anybody who has the key can have made it, so what it says of the
// sender holds only as far as the sender's own word, the latest ANNOUNCE, allows. It returns false for a number that
// was seen.
func (r *Receiver) place(now int64, epoch, seq uint64) (fresh bool) {
	c := r.channel(epoch)
	if c == nil {
		if r.cur != nil {
			// The sender has started anew, or somebody says so: its ANNOUNCE will tell.
			r.unknown(now)
			return true
		}
		c = newChannel(now, epoch)
		r.become(c)
		r.sched.newEpoch(now)
	}
	if c.ahead(now, seq) {
		r.odd(now, wire.Ahead)
		return true
	}
	if !c.fresh(seq) {
		return false
	}
	c.mark(now, seq)
	if c == r.cur && c.lively(now) {
		r.hears(now)
	}
	return true
}

// hears notes that multicast of the sender arrives.
func (r *Receiver) hears(now int64) {
	r.heard = now
	if !r.everHeard {
		r.everHeard = true
		r.sched.firstHeard(now)
	}
	if r.phase == Waiting || r.phase == Silent {
		r.setPhase(Receiving, r.suspicion())
	}
}

const oldEpochs = 4

func newChannel(now int64, epoch uint64) *channel {
	return &channel{origin: epoch, window: wire.NewWindow(wire.WindowLen), born: now}
}

func (r *Receiver) become(c *channel) {
	if r.cur != nil {
		r.pastGot += r.cur.got
		r.pastLost += r.cur.lost()
		r.old = append(r.old, r.cur)
	}
	for i, o := range r.old {
		if o == c {
			r.old = append(r.old[:i], r.old[i+1:]...)
			break
		}
	}
	if len(r.old) > oldEpochs {
		r.old = r.old[1:]
	}
	r.cur = c
	c.restart()
	r.strange.unknownAt = 0
}

// Data takes an authentic data packet of the group. On Useful the Partial says where its bytes belong; when it is then
// Complete, the driver decodes it, passes it on and calls Release. What is lacking is taken whatever its number: who
// could displace the sender's numbers would stop the cast.
func (r *Receiver) Data(now int64, epoch, seq uint64, block uint32, index uint8) (*Partial, Verdict) {
	fresh := r.place(now, epoch, seq)
	if !fresh {
		if _, v := r.Peek(block, index); v != Useful {
			return nil, Replay
		}
		r.odd(now, wire.Behind)
	}
	r.sched.sending(now, true)
	p, v := r.take(block, index)
	if v == Useful {
		r.Useful++
	}
	return p, v
}

// StreamData is Data for the unicast stream.
func (r *Receiver) StreamData(now int64, origin, seq uint64, block uint32, index uint8) (*Partial, Verdict) {
	if !r.markStream(now, origin, seq) {
		return nil, Replay
	}
	p, v := r.take(block, index)
	if v == Useful {
		r.StreamUseful++
	}
	return p, v
}

func (r *Receiver) markStream(now int64, origin, seq uint64) bool {
	if origin != r.stream.origin {
		r.stream = channel{origin: origin, window: wire.NewWindow(1024), gen: r.stream.gen}
	}
	if !r.stream.fresh(seq) {
		return false
	}
	r.stream.mark(now, seq)
	return true
}

func (r *Receiver) done(now int64, b int) {
	if r.have.has(b) {
		return
	}
	r.have.set(b)
	if r.missing--; r.missing == 0 {
		r.sched.finished(now)
		r.setPhase(Complete, "")
	}
}

// Have notes that block b is here by another way. It returns the partial block that is no longer needed, if there was
// one; a complete one stays, since the driver is passing it on.
func (r *Receiver) Have(now int64, b int) *Partial {
	p := r.partial[uint32(b)]
	if p != nil {
		if p.Complete {
			return nil
		}
		r.drop(p)
	}
	r.done(now, b)
	return p
}

// Again notes that block b is lost and must be received anew.
func (r *Receiver) Again(now int64, b int) {
	if !r.have.has(b) {
		// The sink may have dropped, while it was given the block, bytes of that very block.
		if p := r.partial[uint32(b)]; p != nil && p.Complete {
			p.lost = true
		}
		return
	}
	r.have.clear(b)
	r.missing++
	r.acked = false
	if r.phase == Complete {
		r.heard = now
		switch {
		case !r.InGroup():
			r.setPhase(Unicast, r.why)
		case r.everHeard:
			r.setPhase(Receiving, "")
		default:
			r.setPhase(Waiting, "")
		}
	}
	r.sched.urgent(now)
}

func (r *Receiver) setPhase(p Phase, why string) {
	if r.phase == p && r.why == why {
		return
	}
	r.phase, r.why = p, why
	if r.cfg.Changed != nil {
		r.cfg.Changed()
	}
}
