package core

// A block that waits for its repair is put aside where the sink can read it back, if it can: then waiting takes no
// memory, and the repairs of a receiver that loses much may come after all that those need who lose nothing.

// asideAfter is how many blocks are begun, at most, after a block before it is put aside: most are whole by then.
const asideAfter = 32

// mostAside bounds the blocks that are aside: to know of them takes memory too, 2 MiB of so many.
const mostAside = 8192

// putAside is called before a block is begun. It puts aside the one that was begun asideAfter blocks before, or as many
// as half of the memory has room for, if that is not whole yet.
func (r *Receiver) putAside() {
	if r.cfg.Aside == nil || r.asides == mostAside {
		return
	}
	i := r.begins % max(1, min(asideAfter, r.limit/(2*r.p.K)))
	r.begins++
	p := r.begun[i]
	r.begun[i] = r.spare
	if p == nil || p.Complete || p.put || r.partial[p.Block] != p {
		return
	}
	p.put = true
	r.asides++
	r.queue(p, p.cost)
	r.cfg.Aside(p)
}

// IsAside says that a block was put aside, whose packets no longer take memory.
func (r *Receiver) IsAside(p *Partial) {
	if r.partial[p.Block] != p {
		return // given up meanwhile
	}
	queued := 0 // the parity that came with it waits for more, not for the sink
	if p.Complete {
		queued = p.queued - p.K
	}
	r.account(p, p.cost-p.K, queued)
}

// patient says that the repairs of what is lacking may wait: it takes little memory, and something else is still to
// come.
func (r *Receiver) patient() bool {
	return r.cfg.Aside != nil && r.memory-r.waiting <= r.limit*3/4 && r.asides < mostAside &&
		r.have.nextNot(r.part, 0, r.blocks) < r.blocks
}
