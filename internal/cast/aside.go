package cast

import (
	"fmt"
	"io"

	"github.com/diskcast/diskcast/internal/cast/core"
	"github.com/diskcast/diskcast/internal/cast/fec"
)

// aside is what of a block lies at the sink, before the block is whole.
//
// A block that lacks packets is put aside when its repair does not come soon: the source packets that are here are
// written to where they belong, and their memory is free. When enough other packets have come, they are read back, and
// what was lacking is written.
type aside struct {
	writing bool // the sink is still to take it
	held    func(i int) bool
	later   []fec.Packet // source packets that came since; Row is their index in the block
}

// putAside is called by the core.
func (r *rx) putAside(p *core.Partial) {
	b, ok := p.Ext.(*rxBlock)
	if !ok {
		return
	}
	b.aside = &aside{writing: true, held: p.Held()}
	r.keep(b)
}

// kept says that a block lies at the sink.
func (r *rx) kept(b *rxBlock) {
	b.aside.writing = false
	if b.part == nil {
		r.recycle(b) // given up meanwhile
		return
	}
	r.core.IsAside(b.part)
	r.recycleData(b)
}

// runs calls f with each run of the source packets of block n for which in says yes: where it begins in the block and
// in the object, and its length in bytes, without the padding of the object's last packet.
func (r *rx) runs(n int, in func(i int) bool, f func(at int, off int64, length int) error) error {
	k, size := r.p.SourcePackets(n), int(r.p.BlockLen(n))
	for i := 0; i < k; i++ {
		if !in(i) {
			continue
		}
		first := i
		for i < k && in(i) {
			i++
		}
		at := first * r.p.Payload
		if err := f(at, int64(n)*r.p.BlockSize()+int64(at), min(i*r.p.Payload, size)-at); err != nil {
			return err
		}
	}
	return nil
}

// write gives the sink the packets of block n that are put aside. It may run beside the other methods.
func (r *rx) write(n uint32, b *rxBlock, sink Sink) error {
	return r.runs(int(n), b.aside.held,
		func(at int, off int64, length int) error { return sink.Block(off, b.data[at:at+length]) })
}

// complement finishes a block that was put aside: it reads back what the sink has, into buf, and gives the sink the
// rest. It may run beside the other methods.
func (r *rx) complement(b *rxBlock, buf []byte, from io.ReaderAt, sink Sink) error {
	n, a := int(b.part.Block), b.aside
	buf = buf[:r.p.SourcePackets(n)*r.p.Payload]
	clear(buf[len(buf)-r.p.Payload:]) // what pads the last packet is not at the sink
	for _, p := range a.later {
		copy(buf[p.Row*r.p.Payload:], p.Data)
	}
	if len(b.parity) > 0 {
		err := r.runs(n, a.held, func(at int, off int64, length int) error {
			if _, err := from.ReadAt(buf[at:at+length], off); err != nil {
				return fmt.Errorf("reading back what was written at byte %d: %w", off, err)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if err := r.codec.Decode(buf, func(i int) bool { return b.part.Has(uint8(i)) }, b.parity); err != nil {
			return err
		}
	}
	lacked := func(i int) bool { return !a.held(i) }
	return r.runs(n, lacked, func(at int, off int64, length int) error { return sink.Block(off, buf[at:at+length]) })
}
