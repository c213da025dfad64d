package core

import (
	"math/rand/v2"
	"net/netip"

	"github.com/diskcast/diskcast/internal/cast/wire"
)

// SenderConfig is what a Sender is made from. Rates are in bits a second on the wire, framing included.
type SenderConfig struct {
	Params  Params
	Epoch   uint64  // 48 random bits
	Rate    float64 // fixed pace; 0: rate control
	Cap     float64 // bound of rate control; 0: none
	Floor   float64 // a receiver that stands less holds the others back; 0: a quarter of what the others take
	Link    float64 // speed of the NIC; 0: unknown
	Stream  float64 // pace of a unicast stream at most; 0: a fiftieth of the link while the group runs
	Weight  float64 // share of a link among casts; 0: 1
	Framing int     // bytes on the wire of a data packet beyond UDP payload; 0: Ethernet and IPv4
	Expect  int     // receivers expected, a hint; nothing is sent before so many have joined
	MaxWait int64   // from the first receiver on, that Expect is waited for; 0: no limit
	Rand    *rand.Rand
	Event   func(kind string, p *Peer, why string)
	// Sound says whether what was sent so far is what the source is, before a receiver's being done is acknowledged.
	// When it is not, the cast ends as by End. nil: it always is.
	Sound    func() bool
	MaxBatch int        // packets a burst at most
	Source   netip.Addr // that the group's packets come from; invalid: unknown
	// Share is common to the casts that leave by one NIC; may be nil.
	Share *LinkShare
}

// Packet is one data packet to be sent.
type Packet struct {
	Seq    uint64
	Block  uint32
	Index  uint8
	Repair bool // not the first sending of a source packet
}

// burst is one visit to a block, under way.
type burst struct {
	block      uint32
	source, k  int // next source packet, and the end
	parity, to int // next parity index, and the end
	repair     bool
}

func (b *burst) left() int { return b.k - b.source + b.to - b.parity }

// sent remembers the latest bursts of a block, to tell which of them a report could not have counted yet.
type sent struct {
	end, prevEnd uint64 // sequence number after the burst
	n, prevN     uint8
}

// Sender is the sending side of a cast.
type Sender struct {
	cfg    SenderConfig
	p      Params
	blocks int
	bits   float64 // of a data packet on the wire

	seq    uint64
	want   []uint8 // packets of each block to be sent
	next   []uint8 // next parity index of each block
	sent   []sent
	fresh  bitset // blocks wanted whole
	repair bitset // blocks wanted in part
	later  bitset // the same, but their repair can wait
	empty  bitset // stays empty
	once   bitset // blocks whose source packets were sent in this epoch
	bad    bitset // blocks that the source cannot give
	cursor int
	fixes  int // where the search for repairs goes on
	cur    burst
	wanted int64 // packets wanted in all
	nFresh int
	nFix   int
	nLater int
	clean  bool // somebody who is waited for loses nothing without congestion

	peers  map[uint64]*Peer
	order  []*Peer            // the same, oldest first
	at     map[netip.Addr]int // how many of them came from each address
	active int                // peers that are waited for
	// Peers that were sent out of the group and get nothing from us there.
	outside int
	acks    []ack
	ctl     rateControl
	fb      feedback
	pace    pacer
	first   int64 // when the first receiver came, 0: none yet
	begun   bool  // Expect is met
	endedAt int64 // when End was called, 0: not yet

	started   int64
	announce  int64 // when the next ANNOUNCE is due
	annRun    bool  // what the latest said
	swept     int64
	losses    []float64 // scratch of foresee
	typical   float64   // mean baseline loss
	ahead     float64   // parity packets a block before anyone asks
	streaming []*Peer
	sharing   bool // known to cfg.Share
	sharedAt  int64
	runAt     int64 // when sending began
	idleAt    int64
	waryAt    int64  // when a receiver last said that somebody else sends with the key
	annSeq    uint64 // number of the latest ANNOUNCE

	SentPackets, SentRepair int64
	Reports, Replies        int64
	StreamPackets           int64
	Ignored                 int64 // reports that came too often
	Crowded                 int64 // reports of receivers that there was no room for
}

type ack struct {
	id   uint64
	left int
}

// NewSender makes a sender that knows no receiver.
func NewSender(cfg SenderConfig, now int64) *Sender {
	p := cfg.Params
	n := p.Blocks()
	if cfg.Framing == 0 {
		cfg.Framing = 66
	}
	if cfg.Weight == 0 {
		cfg.Weight = 1
	}
	if cfg.MaxBatch == 0 {
		cfg.MaxBatch = 44
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	s := &Sender{
		cfg: cfg, p: p, blocks: n, seq: 1,
		bits:  8 * float64(p.Payload+wire.Overhead+cfg.Framing),
		want:  make([]uint8, n),
		next:  make([]uint8, n),
		sent:  make([]sent, n),
		fresh: newBitset(n), repair: newBitset(n), later: newBitset(n), empty: newBitset(n), once: newBitset(n),
		bad:   newBitset(n),
		peers: map[uint64]*Peer{}, at: map[netip.Addr]int{},
		started: now, announce: now, swept: now, idleAt: now,
	}
	for i := range s.next {
		s.next[i] = uint8(p.K)
	}
	s.ctl.init(cfg, s.bits, now)
	s.fb.init(cfg.Expect, now)
	s.pace.last = now
	s.begun = cfg.Expect <= 1
	return s
}

// Epoch is the origin of what this sender sends.
func (s *Sender) Epoch() uint64 { return s.cfg.Epoch }

// Peers returns the receivers, oldest first. They belong to the sender.
func (s *Sender) Peers() []*Peer { return s.order }

// Rate is the pace that is allowed now, bits a second on the wire.
func (s *Sender) Rate() float64 { return s.ctl.rate }

// Pending is the number of packets that are known to be wanted.
func (s *Sender) Pending() int64 { return s.wanted + int64(s.cur.left()) }

// Sending says whether there is anything to send.
func (s *Sender) Sending() bool { return s.begun && (s.wanted > 0 || s.cur.left() > 0) }

// Idle says that at least n receivers have come and that none of them needs anything any more.
func (s *Sender) Idle(n int) bool {
	if len(s.order) < max(n, 1) || !s.begun {
		return false
	}
	for _, p := range s.order {
		if p.present() {
			return false
		}
	}
	return len(s.acks) == 0
}

// Unavailable marks a block that the source cannot give: it is not sent.
func (s *Sender) Unavailable(block uint32) {
	s.bad.set(int(block))
	s.setWant(int(block), 0)
	if s.cur.block == block {
		s.cur = burst{}
	}
}

// setWant sets how many packets of block b are to be sent.
func (s *Sender) setWant(b int, n uint8) {
	old := s.want[b]
	if old == n {
		return
	}
	s.wanted += int64(n) - int64(old)
	s.want[b] = n
	k := uint8(s.p.SourcePackets(b))
	switch {
	case old == 0:
	case s.fresh.has(b):
		s.fresh.clear(b)
		s.nFresh--
	case s.later.has(b):
		s.later.clear(b)
		s.nLater--
	default:
		s.repair.clear(b)
		s.nFix--
	}
	switch {
	case n == 0:
	case n >= k:
		s.fresh.set(b)
		s.nFresh++
	default:
		s.repair.set(b)
		s.nFix++
	}
}

// clearWants forgets what is wanted; receivers that still need something say so again in their next report. It is how
// what only a receiver that is gone wanted leaves the plan.
func (s *Sender) clearWants() {
	for b := s.fresh.next(0); b >= 0; b = s.fresh.next(b + 1) {
		s.setWant(b, 0)
	}
	for b := s.repair.next(0); b >= 0; b = s.repair.next(b + 1) {
		s.setWant(b, 0)
	}
	for b := s.later.next(0); b >= 0; b = s.later.next(b + 1) {
		s.setWant(b, 0)
	}
}

func (s *Sender) event(kind string, p *Peer, why string) {
	if s.cfg.Event != nil {
		s.cfg.Event(kind, p, why)
	}
}

// peer returns the receiver of that id, making it known.
func (s *Sender) peer(now int64, id uint64, addr netip.AddrPort, label string) *Peer {
	if p := s.peers[id]; p != nil {
		p.Addr = addr
		return p
	}
	if len(s.order) >= maxPeers || s.at[addr.Addr()] >= perAddress {
		s.Crowded++
		if s.Crowded == 1 {
			s.event("crowd", &Peer{ID: id, Label: label, Addr: addr},
				"there are too many receivers, here or at its address, for this one to be served")
		}
		return nil
	}
	s.at[addr.Addr()]++
	p := &Peer{ID: id, Label: label, Addr: addr, Joined: now, Heard: now, window: wire.NewWindow(64),
		credit: s.fullCredit(), creditAt: s.seq}
	s.peers[id] = p
	s.order = append(s.order, p)
	if s.first == 0 {
		s.first = now
	}
	if len(s.order) >= s.cfg.Expect {
		s.begun = true
	}
	s.count()
	s.event("join", p, "")
	return p
}

// contended says that what one peer is sent costs others time: in the group, or waiting to come back to it.
func (s *Sender) contended() bool { return s.active > 1 || s.active == 1 && s.outside > 0 }

// maxPeers bounds what holders of the key can make a sender remember, about 20 MB, and perAddress what one of them can.
const (
	maxPeers   = 1 << 16
	perAddress = 256
)

func (s *Sender) count() {
	s.active, s.outside = 0, 0
	for _, p := range s.order {
		switch {
		case p.waited():
			s.active++
		case p.State == PeerUnicast && p.flags&wire.RepStream == 0:
			s.outside++
		}
	}
	if p := s.ctl.draining; p != nil && !p.waited() {
		s.ctl.draining = nil
	}
}

// Peer returns the receiver of that id, or nil.
func (s *Sender) Peer(id uint64) *Peer { return s.peers[id] }

// WireBytes is what went to the group on the wire, framing included; announces are counted at their smallest.
func (s *Sender) WireBytes() int64 {
	return int64(float64(s.SentPackets+s.StreamPackets)*s.bits/8) + s.Replies*int64(48+wire.Overhead+s.cfg.Framing)
}
