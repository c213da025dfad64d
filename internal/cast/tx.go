package cast

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/diskcast/diskcast/internal/cast/core"
	"github.com/diskcast/diskcast/internal/cast/fec"
	"github.com/diskcast/diskcast/internal/cast/wire"
)

// tx is a sender without sockets and goroutines. Its methods must not be called at the same time.
type tx struct {
	p      Params
	core   *core.Sender
	codec  *fec.Codec
	group  *wire.Sealer
	report *wire.Sealer
	blocks blockCache
	signer *wire.Signer
	// pairs holds what seals packets between us and each receiver that was heard lately.
	pairs     map[uint64]*wire.Pair
	newcomers budget

	rejected Rejected
	plan     []core.Packet
	streams  []core.StreamPacket
	parity   [][]byte
	sealed   int64 // bytes of packets sealed for the group
	// older is called, at most once a second, with a receiver that speaks another version of the protocol.
	older   func(from netip.AddrPort, why string)
	olderAt int64
}

// blockCache gives the bytes of blocks, padded with zeroes to whole packets. An error means that the source cannot be
// read there.
type blockCache interface {
	block(n uint32) (data []byte, err error)
}

func newTx(p Params, secret Secret, cfg core.SenderConfig, blocks blockCache, now int64) (*tx, error) {
	t := &tx{p: p, blocks: blocks, pairs: map[uint64]*wire.Pair{}}
	var err error
	if t.signer, err = wire.NewSigner(secret); err != nil {
		return nil, err
	}
	if t.signer.Public() != p.Sender {
		return nil, errors.New("cast: the sender's secret is not that of the public key that its receivers know")
	}
	if t.codec, err = fec.New(p.K, p.Payload); err != nil {
		return nil, err
	}
	if t.group, err = wire.GroupKey(p.Key, p.ID); err != nil {
		return nil, err
	}
	if t.report, err = wire.ReportKey(p.Key, p.ID); err != nil {
		return nil, err
	}
	t.core = core.NewSender(cfg, now)
	return t, nil
}

// handle takes a packet that came to the feedback address and returns the packet to answer it with, in buf, if there is
// one.
func (t *tx) handle(now int64, pkt []byte, from netip.AddrPort, scratch, buf []byte) []byte {
	var h wire.Header
	if h.Parse(pkt) != nil || h.Cast != t.p.ID || h.Type != wire.Report || len(pkt) > reportLen {
		t.foreign(now, pkt, from)
		return nil
	}
	if !t.core.ReportFresh(h.Origin, h.Seq) {
		t.rejected.Replayed++
		return nil
	}
	outer, err := t.report.Open(scratch[:0], pkt)
	if err != nil {
		t.rejected.Forged++
		return nil
	}
	pair, body, err := t.open(now, &h, outer)
	switch {
	case errors.Is(err, errBusy):
		t.rejected.Unread++
		return nil
	case err != nil:
		t.rejected.Impostor++
		return nil
	}
	reply, ok, err := t.core.Report(now, h.Origin, h.Seq, from, body, buf[wire.HeaderLen:wire.HeaderLen])
	if err != nil {
		t.rejected.Malformed++
		return nil
	}
	if !ok {
		return nil
	}
	peer := t.core.Peer(h.Origin)
	if peer == nil {
		return nil
	}
	rh := wire.Header{Type: wire.Reply, Cast: t.p.ID, Origin: t.core.Epoch(), Seq: t.core.ReplySeq(peer)}
	return buf[:pair.Reply.Seal(buf, &rh, reply)]
}

// open opens the inner part of a report, which proves that the receiver of that id has made it.
func (t *tx) open(now int64, h *wire.Header, outer []byte) (*wire.Pair, []byte, error) {
	public, err := wire.ReportPublic(h.Origin, outer)
	if err != nil {
		return nil, nil, err
	}
	pair := t.pairs[h.Origin]
	known := pair != nil && pair.Public() == public
	if !known && !t.newcomers.take(now, newLooks) {
		return nil, nil, errBusy
	}
	if !known {
		if pair, err = t.signer.Pair(t.p.Key, t.p.ID, public); err != nil {
			return nil, nil, err
		}
	}
	body, err := pair.OpenReport(h, outer)
	if err == nil && !known {
		if len(t.pairs) >= maxPairs {
			clear(t.pairs)
		}
		t.pairs[h.Origin] = pair
	}
	return pair, body, err
}

// foreign counts a packet that is not of this cast, and tells when it is of another version of the protocol.
func (t *tx) foreign(now int64, pkt []byte, from netip.AddrPort) {
	t.rejected.Foreign++
	v := wire.Version(pkt)
	if v == 0 || v == wire.ProtocolVersion || t.older == nil || t.olderAt != 0 && now-t.olderAt < 1e9 {
		return
	}
	t.olderAt = now
	t.older(from, fmt.Sprintf("a receiver at %v speaks version %d of the cast protocol, this sender version %d, so "+
		"it is not served by multicast: "+
		"bring it, or the boot files that it starts from, to the same diskcast version", from, v, wire.ProtocolVersion))
}

// newLooks is how many receivers a second may be new: a secret is made for each, which takes 0.07 ms of CPU.
const newLooks = 2000

var errBusy = errors.New("too many new receivers at once")

// maxPairs bounds the memory that sealers take: about 2 KB each receiver.
const maxPairs = 4096

// announce makes the ANNOUNCE that is due, in buf.
func (t *tx) announce(now int64, buf []byte) []byte {
	body, seq, ok := t.core.PollAnnounce(now, buf[wire.HeaderLen:wire.HeaderLen])
	if !ok {
		return nil
	}
	h := wire.Header{Type: wire.Announce, Cast: t.p.ID, Origin: t.core.Epoch(), Seq: seq}
	return buf[:t.group.Seal(buf, &h, t.signer.Sign(&h, body))]
}

// burst plans and seals packets to the group, one after another into buf, and returns them. All are of the same size.
func (t *tx) burst(now int64, buf []byte) []byte {
	t.plan = t.core.Plan(now, t.plan[:0])
	n := 0
	for i := 0; i < len(t.plan); {
		j := i + 1
		for j < len(t.plan) && t.plan[j].Block == t.plan[i].Block {
			j++
		}
		n += t.seal(t.plan[i:j], buf[n:])
		i = j
	}
	t.sealed += int64(n)
	return buf[:n]
}

// seal seals packets of one block. When the source cannot be read, the block is given up and nothing of it is sent.
func (t *tx) seal(run []core.Packet, buf []byte) int {
	data, err := t.blocks.block(run[0].Block)
	if err != nil {
		t.core.Unavailable(run[0].Block)
		return 0
	}
	n := 0
	h := wire.Header{Type: wire.Data, Cast: t.p.ID, Origin: t.core.Epoch(), Block: run[0].Block}
	for len(run) > 0 {
		if int(run[0].Index) >= t.p.K {
			break
		}
		i := int(run[0].Index)
		h.Index, h.Seq = run[0].Index, run[0].Seq
		n += t.group.Seal(buf[n:], &h, data[i*t.p.Payload:(i+1)*t.p.Payload])
		run = run[1:]
	}
	if len(run) == 0 {
		return n
	}
	// The parity packets of a run are rows in order: encode them where they will be sealed.
	first := int(run[0].Index) - t.p.K
	size := t.p.Payload + wire.Overhead
	t.parity = t.parity[:0]
	for i := range run {
		start := n + i*size + wire.HeaderLen
		t.parity = append(t.parity, buf[start:start+t.p.Payload:start+t.p.Payload])
	}
	if err := t.codec.Parity(data, first, t.parity); err != nil {
		t.core.Unavailable(run[0].Block)
		return n
	}
	for i := range run {
		h.Index, h.Seq = run[i].Index, run[i].Seq
		n += t.group.Seal(buf[n:], &h, t.parity[i])
	}
	return n
}

// unicast plans and seals packets of the streams and calls send with each.
func (t *tx) unicast(now int64, buf []byte, send func(to netip.AddrPort, pkt []byte)) int {
	t.streams = t.core.PlanStreams(now, t.streams[:0])
	for _, s := range t.streams {
		pair := t.pairs[s.Peer.ID]
		data, err := t.blocks.block(s.Block)
		if err != nil {
			t.core.Unavailable(s.Block)
		}
		if err != nil || pair == nil {
			continue
		}
		h := wire.Header{Type: wire.Stream, Index: s.Index, Cast: t.p.ID, Origin: t.core.Epoch(), Seq: s.Seq,
			Block: s.Block}
		var body []byte
		if i := int(s.Index); i < t.p.K {
			body = data[i*t.p.Payload : (i+1)*t.p.Payload]
		} else {
			body = buf[wire.HeaderLen : wire.HeaderLen+t.p.Payload]
			if t.codec.Parity(data, i-t.p.K, [][]byte{body}) != nil {
				continue
			}
		}
		send(s.Peer.Addr, buf[:pair.Reply.Seal(buf, &h, body)])
	}
	return len(t.streams)
}
