package cast

import (
	"context"
	"fmt"
	"time"
)

// delivery is the passing of complete blocks to the sink, by one goroutine at a time.
//
// That is the goroutine that receives, as long as the sink is quick: the blocks are still in its core's cache, and no
// other thread must be woken. When the sink takes its time, another goroutine takes the turn to receive, and the first
// one goes on with the sink alone until nothing is left to deliver.
type delivery struct {
	queue []job
	batch []job  // with the sink
	spare []byte // for a block that is read back
	busy  bool   // somebody delivers
	since int64  // since when the one that receives does, 0: it does not
	turn  int    // of receiving; who has an older one was relieved
}

// job is a block for the sink: a complete one, or one to be put aside.
type job struct {
	block *rxBlock
	n     uint32 // its number
	aside bool   // what is here of it is to be put aside; otherwise it is complete
}

func (d *delivery) add(b *rxBlock, aside bool) {
	d.queue = append(d.queue, job{b, b.part.Block, aside})
}

// take says whether the caller is to deliver. Since is the time if it receives, too, otherwise 0.
func (d *delivery) take(since int64) bool {
	if d.busy || len(d.queue) == 0 {
		return false
	}
	d.busy, d.since = true, since
	return true
}

const (
	deliverBlocks = 8 // that the sink is given before their memory is free again
	// that reception stands still for the sink: the socket's buffer has room for 30 ms at 1 GB/s
	patience = 10 * time.Millisecond
)

// deliver passes blocks to the sink until there are none, for a caller that delivery.take has told to.
func (r *Receiver) deliver() error {
	d := &r.delivery
	for {
		r.mu.Lock()
		for _, j := range d.batch {
			if j.aside {
				r.rx.kept(j.block)
			} else {
				r.rx.release(r.now(), j.block)
			}
		}
		if len(d.batch) > 0 && r.rx.core.Missing() == 0 {
			signal(r.wake)
		}
		n := min(len(d.queue), deliverBlocks)
		d.batch = append(d.batch[:0], d.queue[:n]...)
		d.queue = append(d.queue[:0], d.queue[n:]...)
		if n == 0 {
			d.busy, d.since = false, 0
		}
		r.mu.Unlock()
		if n == 0 {
			return nil
		}
		for _, j := range d.batch {
			if err := r.perform(j); err != nil {
				return fmt.Errorf("cast: block at byte %d: %w", int64(j.n)*r.p.BlockSize(), err)
			}
		}
	}
}

// perform gives a block to the sink.
func (r *Receiver) perform(j job) error {
	switch b := j.block; {
	case j.aside:
		return r.rx.write(j.n, b, r.sink)
	case b.aside != nil:
		if r.delivery.spare == nil {
			r.delivery.spare = make([]byte, r.p.BlockSize())
		}
		return r.rx.complement(b, r.delivery.spare, r.o.Reread, r.sink)
	default:
		off, data, err := r.rx.finish(b)
		if err != nil {
			return err
		}
		return r.sink.Block(off, data)
	}
}

// resume begins to receive, and to deliver what a Run before left.
func (r *Receiver) resume(receive func(turn int), deliver func()) {
	r.mu.Lock()
	d := &r.delivery
	d.queue = append(d.batch, d.queue...)
	d.batch, d.busy = nil, false
	ours, turn := d.take(0), d.turn
	r.mu.Unlock()
	if ours {
		deliver()
	}
	receive(turn)
}

// relieve calls receive with a new turn whenever the goroutine that receives has been with the sink for long.
func (r *Receiver) relieve(ctx context.Context, receive func(turn int)) error {
	t := time.NewTicker(patience)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		r.mu.Lock()
		d := &r.delivery
		late := d.since != 0 && r.now()-d.since > int64(patience)
		if late {
			d.since = 0
			d.turn++
		}
		turn := d.turn
		r.mu.Unlock()
		if late {
			receive(turn)
		}
	}
}

// relieved says whether another has the turn to receive.
func (r *Receiver) relieved(turn int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.delivery.turn != turn
}
