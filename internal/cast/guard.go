package cast

import (
	"fmt"
	"net/netip"

	"github.com/diskcast/diskcast/internal/cast/wire"
)

// guard is what a receiver knows of where the sender's packets come from, and how often it looks at what others send.
//
// The sender signs the address that its packets leave from. Once an ANNOUNCE came from just there, the way between does
// not change addresses, and packets from elsewhere are not the sender's. An address is easily forged: this only takes
// the work out of most attacks, and names who makes them.
type guard struct {
	sender netip.Addr // invalid until it is known that addresses come as they were sent
	signed budget     // ANNOUNCEs that are verified, 0.1 ms of CPU each
	others budget     // the same from other addresses
	// of packets from other addresses, and of numbers that came before, to learn whether who sends them has the key
	samples budget
	// What came lately under each number: 48 bits of epoch and number, 16 of the tag. The sender uses no number twice.
	came [wire.WindowLen]uint64
}

// Looks a second. The sender makes up to 100 ANNOUNCEs a second, and 200 at 1 Gbit/s while somebody else sends.
const (
	signedLooks = 400
	otherLooks  = 20
	sampleLooks = 100
)

// stranger says that packets from that address are not the sender's.
func (g *guard) stranger(from netip.Addr) bool {
	return g.sender.IsValid() && from.IsValid() && from != g.sender
}

// other is the address if it is not the sender's, as far as is known.
func (g *guard) other(from netip.Addr) netip.Addr {
	if from == g.sender {
		return netip.Addr{}
	}
	return from
}

// budget allows so many looks a second, saved up for a quarter of one.
type budget struct {
	at   int64
	left float64
}

func (b *budget) take(now int64, perSecond float64) bool {
	b.left += float64(now-b.at) * perSecond / 1e9
	if b.at == 0 || b.left > perSecond/4 {
		b.left = perSecond / 4
	}
	b.at = now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}

// stranger drops a data packet from another address than the sender's. It opens some, to learn whether they are of
// somebody who has the key.
func (r *rx) stranger(now int64, h *wire.Header, pkt []byte, from netip.Addr) {
	r.rejected.Stranger++
	if !r.core.Fresh(h.Origin, h.Seq) || !r.guard.samples.take(now, sampleLooks) {
		return
	}
	if _, err := r.group.Open(r.scratch[:0], pkt); err == nil {
		r.core.Strange(now, wire.Elsewhere, from)
	}
}

// announce takes an ANNOUNCE, if the sender has signed it.
func (r *rx) announce(now int64, h *wire.Header, pkt []byte, from netip.Addr) {
	if !r.core.AnnounceFresh(h.Origin, h.Seq) {
		r.rejected.Replayed++
		return
	}
	g := &r.guard
	looks, rate := &g.signed, float64(signedLooks)
	if g.stranger(from) {
		looks, rate = &g.others, otherLooks
	}
	if !looks.take(now, rate) {
		r.rejected.Unread++
		return
	}
	body, err := r.group.Open(r.scratch[:0], pkt)
	if err != nil {
		r.rejected.Forged++
		return
	}
	if body, err = r.p.Sender.Verify(h, body); err != nil {
		r.rejected.Unsigned++
		r.core.Strange(now, wire.Unsigned, g.other(from))
		return
	}
	var a wire.AnnounceBody
	if a.Parse(body) == nil && a.Source.IsValid() && from.IsValid() {
		switch {
		case from == a.Source:
			g.sender = from
		case g.sender.IsValid():
			// Its own words, but repeated by somebody else, who may choose which of them come.
			r.rejected.Stranger++
			r.core.Strange(now, wire.Elsewhere, from)
			return
		}
	}
	if err := r.core.Announce(now, h.Origin, h.Seq, body); err != nil {
		r.rejected.Malformed++
		r.core.Mismatch(err)
	}
}

// mark is what is remembered of a packet.
func mark(h *wire.Header, pkt []byte) uint64 {
	return (h.Seq^h.Origin)<<16 | uint64(pkt[len(pkt)-2])<<8 | uint64(pkt[len(pkt)-1])
}

// note remembers a packet that was taken.
func (g *guard) note(h *wire.Header, pkt []byte) { g.came[h.Seq%wire.WindowLen] = mark(h, pkt) }

// again counts a packet that is not needed and whose number came before: as a replay, or, when it is another packet, as
// one of two of which the sender has made but one.
func (r *rx) again(now int64, h *wire.Header, pkt []byte) {
	r.rejected.Replayed++
	was := r.guard.came[h.Seq%wire.WindowLen]
	if was>>16 != h.Seq^h.Origin || was == mark(h, pkt) || !r.guard.samples.take(now, sampleLooks) {
		return
	}
	if _, err := r.group.Open(r.scratch[:0], pkt); err == nil {
		r.core.Strange(now, wire.Twice, netip.Addr{})
	}
}

// foreign counts a packet that is not of this cast, and looks whether it is one of another version of the protocol.
func (r *rx) foreign(pkt []byte) {
	r.rejected.Foreign++
	if v := wire.Version(pkt); v != 0 && v != wire.ProtocolVersion {
		r.core.Mismatch(fmt.Errorf("packets of version %d of the cast protocol arrive, this program speaks version "+
			"%d: both ends must be of the same diskcast version",
			v, wire.ProtocolVersion))
	}
}
