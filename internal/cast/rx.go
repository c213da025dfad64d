package cast

import (
	"net/netip"

	"github.com/diskcast/diskcast/internal/cast/core"
	"github.com/diskcast/diskcast/internal/cast/fec"
	"github.com/diskcast/diskcast/internal/cast/wire"
)

// rxBlock is the bytes of a block on its way.
type rxBlock struct {
	part   *core.Partial
	data   []byte // the block, padded to whole packets; source packets are where they belong
	parity []fec.Packet
	aside  *aside // not nil: only what came later is here
}

// rx is a receiver without sockets and goroutines: packets in, reports and complete blocks out. Its methods must not be
// called at the same time.
type rx struct {
	p      Params
	core   *core.Receiver
	codec  *fec.Codec
	group  *wire.Sealer
	report *wire.Sealer
	guest  *wire.Guest // who we are
	guard  guard
	// complete takes a block that has enough packets; it must lead to finish and then to release.
	complete func(*rxBlock)
	// keep takes a block that is to be put aside; it must lead to write and then to kept. It is nil where that cannot
	// be done.
	keep func(*rxBlock)

	free     []*rxBlock
	freeData [][]byte
	freePar  [][]byte
	scratch  []byte
	rejected Rejected
	wire     int64
	useful   int64 // payload bytes
	streamed int64
}

func newRx(p Params, cfg core.ReceiverConfig, keep func(*rxBlock), now int64) (*rx, error) {
	r := &rx{p: p, scratch: make([]byte, max(p.Payload, wire.MaxControl)+wire.Overhead)}
	var err error
	if r.codec, err = fec.New(p.K, p.Payload); err != nil {
		return nil, err
	}
	if r.group, err = wire.GroupKey(p.Key, p.ID); err != nil {
		return nil, err
	}
	if r.report, err = wire.ReportKey(p.Key, p.ID); err != nil {
		return nil, err
	}
	if r.guest, err = wire.NewGuest(p.Key, p.ID, p.Sender); err != nil {
		return nil, err
	}
	cfg.ID = r.guest.ID
	cfg.Dropped = func(p *core.Partial) {
		if b, ok := p.Ext.(*rxBlock); ok {
			r.recycle(b)
		}
	}
	if keep != nil {
		r.keep = keep
		cfg.Aside = r.putAside
	}
	r.core = core.NewReceiver(cfg, now)
	return r, nil
}

// handle takes one packet that came from an address, to the group or, when unicast is set, to us alone.
func (r *rx) handle(now int64, pkt []byte, from netip.Addr, unicast bool) {
	r.wire += int64(len(pkt))
	var h wire.Header
	if h.Parse(pkt) != nil || h.Cast != r.p.ID {
		r.foreign(pkt)
		return
	}
	switch {
	case h.Type == wire.Data && !unicast && len(pkt) == r.p.Payload+wire.Overhead:
		if r.guard.stranger(from) {
			r.stranger(now, &h, pkt, from)
			return
		}
		r.data(now, &h, pkt, r.group)
	case h.Type == wire.Stream && unicast && len(pkt) == r.p.Payload+wire.Overhead:
		if !r.core.StreamFresh(h.Origin, h.Seq) {
			r.rejected.Replayed++
			return
		}
		r.data(now, &h, pkt, r.guest.Reply)
	case h.Type == wire.Announce && !unicast && len(pkt) <= wire.MaxControl+wire.Overhead:
		r.announce(now, &h, pkt, from)
	case h.Type == wire.Reply && unicast && len(pkt) <= wire.MaxControl+wire.Overhead:
		if !r.core.StreamFresh(h.Origin, h.Seq) {
			r.rejected.Replayed++
			return
		}
		body, err := r.guest.Reply.Open(r.scratch[:0], pkt)
		if err != nil {
			r.rejected.Forged++
			return
		}
		if r.core.Reply(now, h.Origin, h.Seq, body) != nil {
			r.rejected.Malformed++
		}
	default:
		r.rejected.Foreign++
	}
}

// data takes a DATA or STREAM packet. Its bytes are decrypted straight to where they belong in the block.
func (r *rx) data(now int64, h *wire.Header, pkt []byte, key *wire.Sealer) {
	part, verdict := r.core.Peek(h.Block, h.Index)
	if verdict != core.Useful && h.Type == wire.Data && !r.core.Fresh(h.Origin, h.Seq) {
		r.again(now, h, pkt)
		return
	}
	dst := r.scratch[:0]
	var b *rxBlock
	var par []byte
	if verdict == core.Useful {
		b = r.block(part)
		if i := int(h.Index); i < r.p.K && b.aside == nil {
			dst = b.data[i*r.p.Payload : i*r.p.Payload : (i+1)*r.p.Payload]
		} else {
			par = r.takePar()
			dst = par[:0]
		}
	}
	_, err := key.Open(dst, pkt)
	if err != nil {
		r.rejected.Forged++
		r.undo(part, b, par)
		return
	}
	if unicast := h.Type == wire.Stream; unicast {
		_, verdict = r.core.StreamData(now, h.Origin, h.Seq, h.Block, h.Index)
	} else {
		r.guard.note(h, pkt)
		_, verdict = r.core.Data(now, h.Origin, h.Seq, h.Block, h.Index)
	}
	switch verdict {
	case core.Useful:
	case core.Unknown:
		r.rejected.Malformed++
		return
	default:
		r.undo(part, b, par)
		return
	}
	switch i := int(h.Index); {
	case par == nil:
	case i < r.p.K:
		b.aside.later = append(b.aside.later, fec.Packet{Row: i, Data: par})
	default:
		b.parity = append(b.parity, fec.Packet{Row: i - r.p.K, Data: par})
	}
	if h.Type == wire.Stream {
		r.streamed += int64(r.p.Payload)
	} else {
		r.useful += int64(r.p.Payload)
	}
	if part.Complete {
		r.complete(b)
	}
}

// undo gives back what was set aside for a packet that turned out to be forged.
func (r *rx) undo(part *core.Partial, b *rxBlock, par []byte) {
	if par != nil {
		r.freePar = append(r.freePar, par)
	}
	if b != nil && part.Count == 0 {
		part.Ext = nil
		r.recycle(b)
	}
}

// block returns the bytes of a partial block, setting them aside for its first packet.
func (r *rx) block(p *core.Partial) *rxBlock {
	if b, ok := p.Ext.(*rxBlock); ok {
		return b
	}
	var b *rxBlock
	if n := len(r.free); n > 0 {
		b, r.free = r.free[n-1], r.free[:n-1]
	} else {
		b = new(rxBlock)
	}
	if n := len(r.freeData); n > 0 {
		b.data, r.freeData = r.freeData[n-1], r.freeData[:n-1]
	} else {
		b.data = make([]byte, r.p.K*r.p.Payload)
	}
	b.data = b.data[:p.K*r.p.Payload]
	b.part = p
	p.Ext = b
	return b
}

func (r *rx) takePar() []byte {
	if n := len(r.freePar); n > 0 {
		p := r.freePar[n-1]
		r.freePar = r.freePar[:n-1]
		return p
	}
	return make([]byte, r.p.Payload)
}

// keepFree bounds the buffers that are kept for reuse.
const keepFree = 64

func (r *rx) recycle(b *rxBlock) {
	if b.aside != nil {
		if b.aside.writing {
			b.part = nil // kept will do it
			return
		}
		r.recyclePar(b.aside.later)
		b.aside = nil
	}
	r.recyclePar(b.parity)
	b.parity = b.parity[:0]
	b.part = nil
	r.recycleData(b)
	if len(r.free) < keepFree {
		r.free = append(r.free, b)
	}
}

func (r *rx) recyclePar(packets []fec.Packet) {
	for _, p := range packets {
		if len(r.freePar) < keepFree*8 {
			r.freePar = append(r.freePar, p.Data)
		}
	}
}

func (r *rx) recycleData(b *rxBlock) {
	if b.data != nil && len(r.freeData) < keepFree {
		r.freeData = append(r.freeData, b.data[:cap(b.data)])
	}
	b.data = nil
}

// finish decodes a complete block and returns its offset and bytes. It may run beside the other methods.
func (r *rx) finish(b *rxBlock) (off int64, data []byte, err error) {
	n := int(b.part.Block)
	if len(b.parity) > 0 {
		held := func(i int) bool { return b.part.Has(uint8(i)) }
		if err := r.codec.Decode(b.data, held, b.parity); err != nil {
			return 0, nil, err
		}
	}
	return int64(n) * r.p.BlockSize(), b.data[:r.p.BlockLen(n)], nil
}

// release says that the sink has taken a block.
func (r *rx) release(now int64, b *rxBlock) {
	r.core.Release(now, b.part)
	r.recycle(b)
}

// poll makes the report that is due, sealed, into buf.
func (r *rx) poll(now int64, buf []byte) ([]byte, bool) {
	body, seq, ok := r.core.Poll(now, buf[reportStart:reportStart])
	if !ok {
		return nil, false
	}
	return r.seal(buf, body, seq), true
}

// leave makes a last report, which says that the receiver gives up.
func (r *rx) leave(now int64, buf []byte) []byte {
	body, seq := r.core.Leave(now, buf[reportStart:reportStart])
	return r.seal(buf, body, seq)
}

func (r *rx) seal(buf, body []byte, seq uint64) []byte {
	h := wire.Header{Type: wire.Report, Cast: r.p.ID, Origin: r.guest.ID, Seq: seq}
	return buf[:r.guest.SealReport(r.report, buf, &h, body)]
}

// reportStart is where the body of a REPORT stands in its packet, and reportLen the packet's length at most.
const (
	reportStart = wire.HeaderLen + wire.PublicLen
	reportLen   = wire.MaxControl + wire.Overhead
)

// ranges turns byte ranges into the blocks that they cover whole, or, with touch, that they touch.
func ranges(p Params, off, n int64, touch bool) (first, end int) {
	if off < 0 || n <= 0 || off >= p.Size {
		return 0, 0
	}
	n = min(n, p.Size-off)
	size := p.BlockSize()
	first, end = int((off+size-1)/size), int((off+n)/size)
	if touch {
		first, end = int(off/size), int((off+n+size-1)/size)
	} else if off+n == p.Size {
		end = p.Blocks()
	}
	return first, max(first, end)
}
