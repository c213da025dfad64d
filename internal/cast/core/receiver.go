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
	// Changed is called when Phase or Why change.
	Changed func()
}

// A Partial is a block on its way: some packets are here, or all that are needed and the sink is still to take it.
type Partial struct {
	Block    uint32
	K        int // source packets of the block
	Count    int // packets held
	Parity   int // of these, parity packets
	Complete bool
	lost     bool // the sink lost bytes of the complete block while taking it: it must come anew
	// Ext belongs to the driver: the packets' bytes.
	Ext  any
	bits [4]uint64
	next uint8 // one more than the highest index held
}

// Has says whether the packet of that index is held.
func (p *Partial) Has(index uint8) bool { return p.bits[index>>6]&(1<<(index&63)) != 0 }

func (p *Partial) need() int { return p.K - p.Count }

// Verdict is what is to be done with a data packet.
type Verdict int

// Verdicts.
const (
	Useful   Verdict = iota // keep its bytes
	Useless                 // authentic, counted, not needed
	NoMemory                // would be needed, but memory is full
	Replay                  // seen before
	Unknown                 // names a block or index that the object does not have
)

// stream is what one receiver has seen of one origin.
type channel struct {
	origin  uint64
	window  *wire.Window
	first   uint64 // sequence number that the generation began with
	top     uint64
	topTime int64
	got     uint64 // packets of this generation
	gen     uint8
	// The window of the latest packets: from the previous report, or from 100 to 200 ms ago if that is later. It
	// is what rate control goes by, so it must be short also where reports are far apart.
	winFirst, winGot uint64
	winTime          int64
	midFirst, midGot uint64
	midTime          int64
}

const windowHalf = 100 * ms

// rotate moves the window's start to the middle mark, or to now when a report was made.
func (c *channel) rotate(now int64, report bool) {
	if report {
		c.winFirst, c.winGot, c.winTime = c.top+1, c.got, c.topTime
	} else {
		c.winFirst, c.winGot, c.winTime = c.midFirst, c.midGot, c.midTime
	}
	c.midFirst, c.midGot, c.midTime = c.top+1, c.got, c.topTime
}

func (c *channel) fresh(seq uint64) bool { return c.window.Fresh(seq) }

func (c *channel) mark(now int64, seq uint64) {
	c.window.Mark(seq)
	if c.got == 0 {
		c.first, c.top, c.topTime = seq, seq, now
		c.winFirst, c.winGot, c.winTime = seq, 0, now
		c.midFirst, c.midGot, c.midTime = seq, 0, now
	} else if now-c.midTime > windowHalf {
		c.rotate(now, false)
	}
	if seq >= c.first {
		c.got++
	}
	if seq >= c.top {
		c.top, c.topTime = seq, now
	}
}

func (c *channel) lost() uint64 {
	if c.got == 0 {
		return 0
	}
	if n := c.top - c.first + 1; n > c.got {
		return n - c.got
	}
	return 0
}

// restart begins a new generation of counters.
func (c *channel) restart() { c.gen, c.got = c.gen+1, 0 }

// Receiver is the receiving side of a cast.
type Receiver struct {
	cfg     ReceiverConfig
	p       Params
	blocks  int
	have    bitset
	part    bitset
	partial map[uint32]*Partial
	last    *Partial // the partial of the latest packet
	spare   *Partial // not registered yet
	missing int      // blocks
	memory  int      // packets held, and places reserved for them
	limit   int
	waiting int // of memory: complete blocks that the sink is still to take

	cur       *channel // the sender's current epoch
	old       []*channel
	stream    channel
	pastLost  uint64 // lost and got of earlier epochs and generations
	pastGot   uint64
	heard     int64 // when multicast was last heard; start time if never
	everHeard bool

	phase     Phase
	why       string
	away      bool // told to leave the group
	held      bool // the same by our own side
	acked     bool // the sender knows that we are done
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
func (r *Receiver) InGroup() bool { return !r.away && !r.held }

// Missing returns the number of blocks that are not whole.
func (r *Receiver) Missing() int { return r.missing }

// Finished says that nothing is missing and the sender knows.
func (r *Receiver) Finished() bool { return r.missing == 0 && r.acked }

// Has says whether block b is whole.
func (r *Receiver) Has(b int) bool { return r.have.has(b) }

// Memory returns the bytes that blocks take.
func (r *Receiver) Memory() int64 { return int64(r.memory) * int64(r.p.Payload) }

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

// Peek says what Data would, and where the bytes belong, without changing anything but making room: it may be asked about a packet that
// is not authenticated yet.
func (r *Receiver) Peek(block uint32, index uint8) (*Partial, Verdict) {
	if int64(block) >= int64(r.blocks) || int(index) >= r.p.K+MaxParity {
		return nil, Unknown
	}
	p := r.last
	if p == nil || p.Block != block {
		if r.have.has(int(block)) {
			return nil, Useless
		}
		p = r.partial[block]
	}
	k := 0
	if p != nil {
		if p.Complete || p.Has(index) {
			return p, Useless
		}
		k = p.K
	} else {
		k = r.p.SourcePackets(int(block))
	}
	if int(index) >= k && int(index) < r.p.K {
		return nil, Unknown
	}
	cost := 0
	if p == nil {
		cost = k
	}
	if int(index) >= r.p.K {
		cost++
	}
	// A block that was begun may go on: take makes room by giving up another.
	if r.memory+cost > r.limit && (p == nil || len(r.partial) < 2) {
		return p, NoMemory
	}
	if p == nil {
		// The same one for Peek and for the Data that follows it.
		if r.spare == nil || r.spare.Block != block {
			r.spare = &Partial{Block: block, K: k}
		}
		p = r.spare
	}
	return p, Useful
}

// Group notes that an authentic packet of the group came: DATA and ANNOUNCE alike.
func (r *Receiver) Group(now int64, epoch, seq uint64) bool {
	c := r.channel(epoch)
	switch {
	case c == nil:
		// An epoch never seen: the sender has started anew.
		c = &channel{origin: epoch, window: wire.NewWindow(wire.WindowLen)}
		r.become(c)
		r.sched.newEpoch(now)
	case c != r.cur && !r.away && now-r.heard > 300*ms:
		// One seen before, while the current one is silent: the one in between was a replayed recording.
		r.become(c)
	}
	if !c.fresh(seq) {
		return false
	}
	c.mark(now, seq)
	if c == r.cur {
		r.heard = now
		if !r.everHeard {
			r.everHeard = true
			r.sched.firstHeard(now)
		}
		if r.phase == Waiting || r.phase == Silent {
			r.setPhase(Receiving, "")
		}
	}
	return true
}

const oldEpochs = 4

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
}

// Data takes an authentic data packet of the group. On Useful the Partial says where its bytes belong; when it is then
// Complete, the driver decodes it, passes it on and calls Release.
func (r *Receiver) Data(now int64, epoch, seq uint64, block uint32, index uint8) (*Partial, Verdict) {
	if !r.Group(now, epoch, seq) {
		return nil, Replay
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

func (r *Receiver) take(block uint32, index uint8) (*Partial, Verdict) {
	p, v := r.Peek(block, index)
	switch v {
	case Useless:
		r.Useless++
		return p, v
	case NoMemory:
		r.Refused++
		return p, v
	case Unknown:
		return p, v
	}
	if p.Count == 0 {
		r.partial[block], r.spare = p, nil
		r.part.set(int(block))
		r.memory += p.K
	}
	r.last = p
	p.bits[index>>6] |= 1 << (index & 63)
	p.next = max(p.next, index+1)
	p.Count++
	if int(index) >= r.p.K {
		p.Parity++
		r.memory++
		if r.memory > r.limit {
			r.evict(p)
		}
	}
	if p.Count == p.K {
		p.Complete = true
		r.waiting += p.K + p.Parity
	}
	return p, Useful
}

// Release says that the sink has taken a complete block.
func (r *Receiver) Release(now int64, p *Partial) {
	r.drop(p)
	if p.lost {
		r.sched.urgent(now)
		return
	}
	r.done(now, int(p.Block))
}

func (r *Receiver) drop(p *Partial) {
	if r.partial[p.Block] != p {
		return
	}
	delete(r.partial, p.Block)
	r.part.clear(int(p.Block))
	r.memory -= p.K + p.Parity
	if p.Complete {
		r.waiting -= p.K + p.Parity
	}
	if r.last == p {
		r.last = nil
	}
}

// evict gives up the partial block that has come least far, other than p.
func (r *Receiver) evict(p *Partial) {
	var victim *Partial
	for _, o := range r.partial {
		if o == p || o.Complete {
			continue
		}
		if victim == nil || o.Count < victim.Count || o.Count == victim.Count && o.Block > victim.Block {
			victim = o
		}
	}
	if victim == nil {
		return
	}
	r.drop(victim)
	r.Evicted++
	if r.cfg.Dropped != nil {
		r.cfg.Dropped(victim)
	}
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

// Have notes that block b is here by another way. It returns the partial block that is no longer needed, if there was one; a complete one
// stays, since the driver is passing it on.
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

// Queues tells how full the driver's own queues are, 0..255.
func (r *Receiver) Queues(v uint8) { r.queues = v }

// pressure is how full memory is of what the sink does not take. Partial blocks do not count: they wait for packets, which a slower pace
// would not bring sooner.
func (r *Receiver) pressure() uint8 {
	m := min(255*r.waiting/r.limit, 255)
	return max(uint8(m), r.queues)
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
