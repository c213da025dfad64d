package core

import (
	"math"
	"slices"

	"github.com/diskcast/diskcast/internal/cast/wire"
)

// appendReport appends the body of a REPORT.
func (r *Receiver) appendReport(now int64, buf []byte, flags uint8) []byte {
	b := wire.ReportBody{
		Flags:     flags,
		Pressure:  r.pressure(),
		StreamTop: r.stream.top,
		StreamGot: r.stream.got,
		Clock:     uint32(now / 1000),
		Label:     []byte(r.cfg.Label),
	}
	if c := r.cur; c != nil && c.got > 0 {
		b.Generation, b.Epoch, b.Top, b.Received, b.First = c.gen, c.origin, c.top, c.got, c.first
		b.WinFirst, b.WinGot = c.winFirst, uint32(c.got-c.winGot)
		b.WinSpan = uint32((c.topTime - c.winTime) / 1000)
		c.rotate(now, true)
		b.Hold = uint32(min((now-c.topTime)/1000, math.MaxUint32))
		if c.wary {
			b.Flags |= wire.RepWary
		}
	}
	if r.missing == 0 {
		b.Flags |= wire.RepDone
	}
	if r.phase == Silent || (r.phase != Complete && r.InGroup() && !r.everHeard) {
		b.Flags |= wire.RepSilent
	}
	if r.cfg.Stream {
		b.Flags |= wire.RepStream
	}
	if !r.InGroup() {
		b.Flags |= wire.RepAway
	}
	b.Strange, b.From = r.strange.n, r.strange.from
	label := min(len(b.Label), wire.MaxLabel)
	room := wire.MaxReport - reportFixed - label
	e := encoder{room: room}
	switch {
	case r.missing == 0:
	case r.patient():
		b.Flags |= wire.RepPatient
		e.room /= 2
		r.listWhole(&e)
		e.room, e.full = room, false
		r.listPartial(&e)
	default:
		r.listPartial(&e)
		r.listWhole(&e)
	}
	if e.full {
		b.Flags |= wire.RepTruncated
	}
	b.Need, b.Blocks = r.need()
	b.Records = e.out
	return b.Append(buf, e.records)
}

const reportFixed = 112

// need counts the packets and blocks that are lacking.
func (r *Receiver) need() (packets, blocks uint32) {
	n := int64(r.missing) * int64(r.p.K)
	if last := r.blocks - 1; last >= 0 && !r.have.has(last) {
		n -= int64(r.p.K - r.p.SourcePackets(last))
	}
	for _, p := range r.partial {
		n -= int64(p.Count)
	}
	return uint32(min(n, math.MaxUint32)), uint32(r.missing)
}

// listPartial encodes what the partial blocks lack. Where a report has not had room for all, the next one goes on.
func (r *Receiver) listPartial(e *encoder) {
	from := r.listed
	r.listed = 0
	for _, part := range [2][2]int{{from, r.blocks}, {0, from}} {
		for b := r.part.next(part[0]); b >= 0 && b < part[1] && !e.full; b = r.part.next(b + 1) {
			if p := r.partial[uint32(b)]; !p.Complete {
				e.block(uint32(b), uint8(p.need()), p.next)
				if e.full {
					r.listed = b
				}
			}
		}
		e.flush()
	}
}

// listWhole encodes the blocks of which nothing is held, in runs.
func (r *Receiver) listWhole(e *encoder) {
	last := r.blocks - 1
	for b := r.have.nextNot(r.part, 0, r.blocks); b < r.blocks && !e.full; {
		end := r.have.nextEither(r.part, b, r.blocks)
		k := r.p.SourcePackets(last)
		if end == r.blocks && k != r.p.K {
			if b < last {
				e.run(uint32(b), uint32(last-b), uint8(r.p.K), 0)
			}
			e.run(uint32(last), 1, uint8(k), 0)
		} else {
			e.run(uint32(b), uint32(end-b), uint8(r.p.K), 0)
		}
		if end >= r.blocks {
			break
		}
		b = r.have.nextNot(r.part, end, r.blocks)
	}
}

// encoder packs needs into records: neighbours share a list, whose gaps cost a byte a block; a record of its own costs
// more.
type encoder struct {
	out     []byte
	room    int
	records int
	full    bool
	start   uint32
	next    uint8
	list    []byte
}

const maxGap = wire.ListLen

func (e *encoder) block(b uint32, need, next uint8) {
	if len(e.list) > 0 {
		gap := int(b-e.start) - len(e.list)
		if gap <= maxGap && len(e.out)+wire.ListLen+len(e.list)+gap+1 <= e.room {
			e.list = append(e.list, make([]byte, gap)...)
			e.list = append(e.list, need)
			e.next = max(e.next, next)
			return
		}
		e.flush()
	}
	if len(e.out)+wire.ListLen+1 > e.room {
		e.full = true
		return
	}
	e.start, e.next = b, next
	e.list = append(e.list[:0], need)
}

func (e *encoder) flush() {
	if len(e.list) == 0 {
		return
	}
	e.out = wire.AppendList(e.out, e.start, e.list, e.next)
	e.records++
	e.list = e.list[:0]
}

func (e *encoder) run(start, count uint32, need, next uint8) {
	if len(e.out)+wire.RunLen > e.room {
		e.full = true
		return
	}
	e.out = wire.AppendRun(e.out, start, count, need, next)
	e.records++
}

// Blocks returns the blocks that are not whole, in order.
func (r *Receiver) MissingBlocks() []int {
	var out []int
	for b := range r.blocks {
		if !r.have.has(b) {
			out = append(out, b)
		}
	}
	return slices.Clip(out)
}
