// Package sim runs the cast protocol, the very code of package core, over a simulated network with a virtual clock: one
// or several senders behind an uplink, a switch, and up to ten thousand receivers with links, losses, sinks and fates
// of their own.
//
// Time goes in ticks. Within a tick a sender sends at the moments that its pacing chooses; a receiver gets a packet
// when its way through the queues is over, and reports at the tick that follows the moment its schedule names. A run is
// determined by its Config alone.
package sim

import (
	"math/rand/v2"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/diskcast/diskcast/internal/cast/core"
	"github.com/diskcast/diskcast/internal/cast/wire"
)

// Times are nanoseconds of virtual time, rates bits a second on the wire.
const (
	Microsecond = int64(1e3)
	Millisecond = int64(1e6)
	Second      = int64(1e9)
)

// Link is a line with a queue in front.
type Link struct {
	Rate  float64 // 0: no limit
	Queue int     // bytes
	Delay int64
}

// Loss is a model of loss that does not come from queues. Share is the mean share of packets lost.
type Loss struct {
	Share float64
	Burst float64 // mean packets lost in a row; 0 or 1: independent
}

// Receiver is what one simulated receiver is like.
type Receiver struct {
	Arrive int64 // when it starts
	Die    int64 // when it vanishes without a word; 0: never
	Stall  int64 // when its sink stops
	Resume int64 // when it goes on
	Link   Link
	Loss   Loss
	Switch int // 1..63: receivers of one switch share its losses; 0: none
	// A receiver whose CPU drowns in packets: above this rate it takes the fewer the more come. Buffer is its socket's,
	// bytes.
	Livelock float64
	Buffer   int
	// bytes that wait before the CPU has seen them, in the NIC: what comes while it is full is lost; 0: no limit
	Ring int
	// share of the time for which the CPU stands still, 20 to 400 ms each time: an emulated or overloaded machine
	Stutter float64
	Sink    float64 // bits a second that the sink takes; 0: no limit
	Reread  bool    // and can be read back
	Have    float64 // share of the blocks it has when it starts
	Memory  int64   // 0: 64 MiB
	Deaf    bool    // multicast does not reach it
	Liar    bool    // asks for everything, for ever, and claims absurd loss
	Stream  bool    // takes a unicast stream
	Back    Loss    // loss of its reports
}

// Cast is one sender and its object.
type Cast struct {
	Size       int64
	Start      int64
	Restart    int64   // when the sender dies and starts anew; 0: never
	CPU        float64 // bits a second that the sender makes at most; 0: no limit
	Warm       int64   // when that limit ends; 0: never
	Config     core.SenderConfig
	Receivers  []Receiver
	Attack     Attack
	AttackRate float64 // packets a second
	AttackFor  int64   // from the sender's first packet on; 0: to the end
}

// Config is a whole simulation.
type Config struct {
	Seed     uint64
	Tick     int64 // 0: chosen by the number of receivers
	Until    int64 // virtual time at which it is given up
	Uplink   Link  // shared by all casts
	Switches []Loss
	Payload  int
	K        int
	Casts    []Cast
	TCP      int // bulk TCP flows that share the uplink
	Linger   int64
	Trace    func(now int64, s *core.Sender)
}

// Result is what came of one cast.
type Result struct {
	Packets     int64 // to the group
	Repair      int64
	Streamed    int64
	Objects     int64   // source packets of the object
	Bytes       float64 // sent payload over object
	Control     int64   // reports and replies and announces
	ControlPeak int64   // most in any second
	First, Last int64   // when the first and the last live receiver was complete, since the start
	Done        []int64 // per receiver, 0: never
	MaxMemory   int64
	Wrong       int // receivers that were to complete and did not
	Idle        bool
	IdleAt      int64
	Missed      int64 // packets that passed before receivers arrived: what late ones truly missed
	RateMax     float64
	Useless     int64
	Wasted      int64 // packets that no receiver had a use for
	Events      []string
	ShareBits   float64 // to the group, on the wire
	TCPBits     float64 // that TCP flows moved
}

// run is one simulation under way.
type run struct {
	cfg    Config
	now    int64
	tick   int64
	rng    *rand.Rand
	up     queue
	casts  []*castRun
	tcp    []*tcpFlow
	shared []*lossState // of switches
	share  core.LinkShare
}

type queue struct {
	link    Link
	backlog float64 // bits
	at      int64
}

// pass sends a packet of that many bits at time t and returns when it is through; ok is false when the queue is full.
func (q *queue) pass(t int64, bits float64) (int64, bool) {
	if q.link.Rate == 0 {
		return t + q.link.Delay, true
	}
	if t > q.at {
		q.backlog = max(0, q.backlog-q.link.Rate*float64(t-q.at)/1e9)
		q.at = t
	}
	if q.backlog+bits > float64(q.link.Queue)*8+bits/2 {
		return 0, false
	}
	q.backlog += bits
	return t + int64(q.backlog/q.link.Rate*1e9) + q.link.Delay, true
}

// lossState is a Gilbert model: in the bad state everything is lost.
type lossState struct {
	Loss
	rng *rand.Rand
	bad bool
}

func (l *lossState) lose() bool {
	if l.Share <= 0 {
		return false
	}
	if l.Burst <= 1 {
		return l.rng.Float64() < l.Share
	}
	leave := 1 / l.Burst
	enter := leave * l.Share / (1 - l.Share)
	if l.bad {
		l.bad = l.rng.Float64() >= leave
	} else {
		l.bad = l.rng.Float64() < enter
	}
	return l.bad
}

type flight struct {
	at       int64
	seq      uint64
	block    uint32
	index    uint8
	epoch    uint64
	ctl      []byte // an ANNOUNCE, or nil
	uni      bool   // STREAM
	reply    bool
	lost     uint64       // bit i: switch i lost it
	use      *atomic.Bool // somebody needed it
	bits     float64
	wrong    bool // its bytes are not the object's
	unsigned bool
}

type node struct {
	Receiver
	core   *core.Receiver
	id     uint64
	port   queue
	loss   lossState
	back   lossState
	fifo   []flight
	head   int
	alive  bool
	dead   bool
	done   int64
	sinkAt int64
	held   []held
	useful int64
	liar   uint64
	late   int64
	cpu    livelock
	wrong  map[*core.Partial]bool // that have a wrong packet
}

// held is a block that waits for the sink, to be taken or, when it is not whole, to be put aside.
type held struct {
	p     *core.Partial
	aside bool
}

type upward struct {
	at   int64
	from *node
	seq  uint64
	body []byte
}

type castRun struct {
	Cast
	p        core.Params
	s        *core.Sender
	nodes    []*node
	byID     map[uint64]*node
	inbox    []upward
	res      Result
	air      []flight // what went to the group in this tick
	plan     []core.Packet
	streams  []core.StreamPacket
	control  []int64 // per second
	old      Result  // of senders that died
	started  bool
	bits     float64
	passed   int64
	busy     int64 // until when the sender makes packets
	attacker attacker
	tracked  []*atomic.Bool
	spare    []*atomic.Bool
}

// track gives a mark to a packet; marks are counted once their packets cannot be on their way any more.
func (c *castRun) track() *atomic.Bool {
	var b *atomic.Bool
	if n := len(c.spare); n > 0 {
		b, c.spare = c.spare[n-1], c.spare[:n-1]
		b.Store(false)
	} else {
		b = new(atomic.Bool)
	}
	c.tracked = append(c.tracked, b)
	if len(c.tracked) > 200000 {
		c.tally(100000)
	}
	return b
}

func (c *castRun) tally(n int) {
	for _, b := range c.tracked[:n] {
		if !b.Load() {
			c.res.Wasted++
		}
		c.spare = append(c.spare, b)
	}
	c.tracked = append(c.tracked[:0], c.tracked[n:]...)
}

var hook = func(*run) {}

// Run runs a simulation until every receiver that lives is complete and every sender idle, or until cfg.Until.
func Run(cfg Config) []Result {
	if cfg.Payload == 0 {
		cfg.Payload = core.DefaultPayload
	}
	if cfg.K == 0 {
		cfg.K = core.DefaultK
	}
	n := 0
	for _, c := range cfg.Casts {
		n += len(c.Receivers)
	}
	r := &run{cfg: cfg, tick: cfg.Tick, rng: rand.New(rand.NewPCG(cfg.Seed, 1)), up: queue{link: cfg.Uplink}}
	if r.tick == 0 {
		r.tick = 250 * Microsecond
		if n > 100 {
			r.tick = Millisecond
		}
	}
	for i := range cfg.Switches {
		r.shared = append(r.shared,
			&lossState{Loss: cfg.Switches[i], rng: rand.New(rand.NewPCG(cfg.Seed, uint64(i)+1000))})
	}
	for i := range cfg.Casts {
		r.casts = append(r.casts, r.newCast(i))
	}
	for range cfg.TCP {
		r.tcp = append(r.tcp, newTCP(r))
	}
	hook(r)
	var end int64
	for r.now = r.tick; r.now < cfg.Until; r.now += r.tick {
		over := true
		for _, c := range r.casts {
			c.step(r)
			over = over && c.over(r.now)
		}
		for _, f := range r.tcp {
			f.step(r)
		}
		if over {
			if end == 0 {
				end = r.now
			}
			if r.now-end >= cfg.Linger {
				break
			}
		}
	}
	var out []Result
	for _, c := range r.casts {
		out = append(out, c.result(r))
	}
	return out
}

func (r *run) newCast(i int) *castRun {
	c := &castRun{Cast: r.cfg.Casts[i], byID: map[uint64]*node{}}
	c.p = core.Params{
		ID: uint32(i), Group: netip.MustParseAddrPort("239.0.0.1:1"), Feedback: netip.MustParseAddrPort("10.0.0.1:1"),
		Size: c.Size, Payload: r.cfg.Payload, K: r.cfg.K,
	}
	c.bits = 8 * float64(r.cfg.Payload+wire.Overhead+66)
	for j := range c.Receivers {
		n := &node{Receiver: c.Receivers[j], id: uint64(j + 1), wrong: map[*core.Partial]bool{}}
		n.port = queue{link: n.Link}
		n.loss = lossState{Loss: n.Loss, rng: rand.New(rand.NewPCG(r.cfg.Seed+uint64(i), uint64(j)+10))}
		n.cpu.rng = rand.New(rand.NewPCG(r.cfg.Seed+uint64(i), uint64(j)+200010))
		n.back = lossState{Loss: n.Back, rng: rand.New(rand.NewPCG(r.cfg.Seed+uint64(i), uint64(j)+100010))}
		c.nodes = append(c.nodes, n)
		c.byID[n.id] = n
	}
	return c
}

func (c *castRun) start(r *run) {
	if c.s != nil {
		c.keep()
		r.share.Remove(c.s)
	}
	cfg := c.Config
	cfg.Params = c.p
	cfg.Share = &r.share
	cfg.Epoch = r.rng.Uint64()&wire.MaxSeq | 1
	cfg.Rand = rand.New(rand.NewPCG(r.cfg.Seed, r.rng.Uint64()))
	cfg.Event = func(kind string, p *core.Peer, why string) {
		if len(c.res.Events) < 200 && kind != "join" && kind != "done" {
			c.res.Events = append(c.res.Events, fmtEvent(r.now, kind, p.ID, why))
		}
	}
	c.s = core.NewSender(cfg, r.now)
	c.started = true
}

func (c *castRun) keep() {
	c.old.Packets += c.s.SentPackets
	c.old.Repair += c.s.SentRepair
	c.old.Streamed += c.s.StreamPackets
}

// step runs one tick of a cast.
func (c *castRun) step(r *run) {
	if !c.started && r.now >= c.Start || c.Restart != 0 && r.now >= c.Restart {
		if c.Restart != 0 && r.now >= c.Restart {
			c.Restart = 0
		}
		c.start(r)
	}
	if c.s != nil {
		c.send(r)
		c.attack(r)
	}
	parallel(c.nodes, func(n *node) { c.live(r, n) })
	c.air = c.air[:0]
	for _, n := range c.nodes {
		if n.alive {
			c.report(r, n)
		}
	}
	c.deliverUp(r)
	if r.cfg.Trace != nil && c.s != nil {
		r.cfg.Trace(r.now, c.s)
	}
}

// parallel calls f for every node, on all cores when there are many.
func parallel(nodes []*node, f func(*node)) {
	workers := runtime.GOMAXPROCS(0)
	if len(nodes) < 256 || workers == 1 {
		for _, n := range nodes {
			f(n)
		}
		return
	}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for _, n := range nodes[w*len(nodes)/workers : (w+1)*len(nodes)/workers] {
				f(n)
			}
		}()
	}
	wg.Wait()
}

// send lets the sender do what falls into this tick.
func (c *castRun) send(r *run) {
	for t := max(r.now-r.tick, c.busy); t < r.now; {
		if body, seq, ok := c.s.PollAnnounce(t, nil); ok {
			c.count(r, 1)
			c.flood(r, flight{at: t, seq: seq, epoch: c.s.Epoch(), ctl: body}, 800)
		}
		c.plan = c.s.Plan(t, c.plan[:0])
		for _, p := range c.plan {
			c.flood(r, flight{at: t, seq: p.Seq, block: p.Block, index: p.Index, epoch: c.s.Epoch()}, c.bits)
		}
		c.streams = c.s.PlanStreams(t, c.streams[:0])
		for _, p := range c.streams {
			n := c.byID[p.Peer.ID]
			if at, ok := r.up.pass(t, c.bits); ok && n.alive {
				if at, ok = n.port.pass(at, c.bits); ok && !n.loss.lose() {
					n.fifo = append(n.fifo, flight{at: at, seq: p.Seq, block: p.Block, index: p.Index,
						epoch: c.s.Epoch(), uni: true})
				}
			}
		}
		c.res.RateMax = max(c.res.RateMax, c.s.Rate())
		if c.CPU > 0 && (c.Warm == 0 || t < c.Warm) {
			c.busy = t + int64(float64(len(c.plan))*c.bits/c.CPU*1e9)
		}
		if next := max(c.s.Next(t), c.busy); next > t {
			t = next
		} else if len(c.plan) == 0 {
			t += 10 * Microsecond
		}
	}
}

// flood sends one packet to the group.
func (c *castRun) flood(r *run, f flight, bits float64) {
	at, ok := r.up.pass(f.at, bits)
	if !ok {
		return
	}
	if f.ctl == nil {
		c.passed++
		c.res.ShareBits += bits
	}
	f.at = at
	for i, l := range r.shared {
		if l.lose() {
			f.lost |= 1 << (i + 1)
		}
	}
	f.bits = bits
	if f.ctl == nil {
		f.use = c.track()
	}
	c.air = append(c.air, f)
}

func (c *castRun) count(r *run, n int64) {
	c.res.Control += n
	sec := int(r.now / Second)
	for len(c.control) <= sec {
		c.control = append(c.control, 0)
	}
	c.control[sec] += n
}
