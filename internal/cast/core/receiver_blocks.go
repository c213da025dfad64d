package core

// A Partial is a block on its way: some packets are here, or all that are needed and the sink is still to take it.
type Partial struct {
	Block    uint32
	K        int // source packets of the block
	Count    int // packets held
	Parity   int // of these, parity packets
	Complete bool
	lost     bool // the sink lost bytes of the complete block while taking it: it must come anew
	put      bool // aside, or about to be
	cost     int  // packets of memory it takes, places reserved for it included
	queued   int  // of these, what waits for the sink
	// Ext belongs to the driver: the packets' bytes.
	Ext  any
	bits [4]uint64
	next uint8 // one more than the highest index held
}

// Has says whether the packet of that index is held.
func (p *Partial) Has(index uint8) bool { return p.bits[index>>6]&(1<<(index&63)) != 0 }

// Held returns what Has says now.
func (p *Partial) Held() func(i int) bool {
	bits := p.bits
	return func(i int) bool { return bits[i>>6]&(1<<(i&63)) != 0 }
}

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

// Memory returns the bytes that blocks take.
func (r *Receiver) Memory() int64 { return int64(r.memory) * int64(r.p.Payload) }

// Peek says what Data would, and where the bytes belong, without changing anything but making room: it may be asked
// about a packet that is not authenticated yet.
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
	if int(index) >= r.p.K || p != nil && p.put {
		cost++
	}
	// A block that was begun may go on: take makes room by giving up another, of those that the sink is not to take.
	if r.memory+cost > r.limit && (p == nil || r.evictable == 0 || r.evictable == 1 && p.evictable()) {
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
		r.putAside()
		r.partial[block], r.spare = p, nil
		r.part.set(int(block))
		r.charge(p, p.K)
	}
	r.last = p
	p.bits[index>>6] |= 1 << (index & 63)
	p.next = max(p.next, index+1)
	p.Count++
	if int(index) >= r.p.K {
		p.Parity++
	}
	if int(index) >= r.p.K || p.put {
		r.charge(p, 1)
		if r.memory > r.limit {
			r.evict(p)
		}
	}
	if p.Count == p.K {
		p.Complete = true
		r.queue(p, p.cost-p.queued)
	}
	return p, Useful
}

// charge adds n packets to the memory that p takes.
func (r *Receiver) charge(p *Partial, n int) { r.account(p, p.cost+n, p.queued) }

// queue adds n packets to what of it waits for the sink.
func (r *Receiver) queue(p *Partial, n int) { r.account(p, p.cost, p.queued+n) }

func (r *Receiver) account(p *Partial, cost, queued int) {
	before := p.evictable()
	r.memory += cost - p.cost
	r.waiting += queued - p.queued
	p.cost, p.queued = cost, queued
	switch after := p.evictable(); {
	case after && !before:
		r.evictable++
	case before && !after:
		r.evictable--
	}
}

// evictable says that giving p up frees memory: the sink is to take nothing of it.
func (p *Partial) evictable() bool { return p.cost > 0 && p.queued == 0 }

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
	r.account(p, 0, 0)
	if p.put {
		r.asides--
	}
	if r.last == p {
		r.last = nil
	}
}

// evict gives up partial blocks other than p, those first that have come least far of what is not aside, until memory
// is bounded again.
func (r *Receiver) evict(p *Partial) {
	for r.memory > r.limit {
		var victim *Partial
		for _, o := range r.partial {
			if o != p && o.evictable() && (victim == nil || o.before(victim)) {
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
}

// before says that p is given up before o.
func (p *Partial) before(o *Partial) bool {
	switch {
	case p.put != o.put:
		return o.put
	case p.Count != o.Count:
		return p.Count < o.Count
	}
	return p.Block > o.Block
}

// Queues tells how full the driver's own queues are, 0..255.
func (r *Receiver) Queues(v uint8) { r.queues = v }

// pressure is how full memory is of what the sink does not take. Partial blocks do not count: they wait for packets,
// which a slower pace would not bring sooner.
func (r *Receiver) pressure() uint8 {
	m := min(255*r.waiting/r.limit, 255)
	return max(uint8(m), r.queues)
}
