package sim

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/diskcast/diskcast/internal/cast/core"
	"github.com/diskcast/diskcast/internal/cast/wire"
)

func fmtEvent(now int64, kind string, id uint64, why string) string {
	return fmt.Sprintf("%.3f %s %d %s", float64(now)/1e9, kind, id, why)
}

// live brings a node up to the present: what has arrived by now is taken.
func (c *castRun) live(r *run, n *node) {
	switch {
	case n.dead:
		return
	case !n.alive && r.now >= n.Arrive:
		n.alive = true
		mem := n.Memory
		if mem == 0 {
			mem = 64 << 20
		}
		rng := rand.New(rand.NewPCG(r.cfg.Seed+7, n.id))
		cfg := core.ReceiverConfig{
			Params: c.p, ID: n.id, Memory: mem, SilenceAfter: 3 * Second, Stream: n.Stream, Rand: rng,
			Label: fmt.Sprint("n", n.id),
		}
		if n.Reread {
			cfg.Aside = func(p *core.Partial) { n.held = append(n.held, held{p, true}) }
		}
		n.core = core.NewReceiver(cfg, r.now)
		if n.Have > 0 {
			for b := range c.p.Blocks() {
				if rng.Float64() < n.Have {
					n.core.Have(r.now, b)
				}
			}
		}
		c.complete(n, r.now)
		n.late = c.passed
	case !n.alive:
		return
	case n.Die != 0 && r.now >= n.Die:
		n.alive, n.dead = false, true
		n.fifo = nil
		return
	}
	if !n.Deaf && n.core.InGroup() {
		for i := range c.air {
			c.hear(r, n, &c.air[i])
		}
	}
	for n.head < len(n.fifo) && n.fifo[n.head].at <= r.now {
		f := &n.fifo[n.head]
		n.head++
		c.take(n, f)
	}
	if n.head == len(n.fifo) {
		n.fifo, n.head = n.fifo[:0], 0
	} else if n.head > 4096 {
		n.fifo = append(n.fifo[:0], n.fifo[n.head:]...)
		n.head = 0
	}
	c.drain(r, n)
}

// hear lets a packet of the group come through the node's port.
func (c *castRun) hear(r *run, n *node, f *flight) {
	if f.lost&(1<<n.Switch) != 0 {
		return
	}
	at, ok := n.port.pass(f.at, f.bits)
	if !ok || n.loss.lose() {
		return
	}
	if n.Livelock > 0 {
		if at, ok = n.cpu.take(at, f.bits, &n.Receiver); !ok {
			return
		}
	}
	if at <= r.now && n.head == len(n.fifo) {
		g := *f
		g.at = at
		c.take(n, &g)
		return
	}
	n.fifo = append(n.fifo, *f)
	n.fifo[len(n.fifo)-1].at = at
}

// livelock is a CPU that handles so many bits a second, of which every packet that comes, taken or not, costs a part,
// and that may stand still at times.
type livelock struct {
	at      int64
	backlog float64 // bits in the socket
	rng     *rand.Rand
	stops   int64 // when it will stand still next
	until   int64 // and until when
	ring    float64
}

const arrivalCost = 0.4

// run lets the CPU work until t.
func (l *livelock) run(t int64, x *Receiver) {
	for l.at < t {
		to := t
		stopped := false
		if x.Stutter > 0 {
			if l.stops == 0 || l.at >= l.until && l.stops < l.until {
				pause := 20e6 + 380e6*l.rng.Float64()
				l.stops = l.at + int64(pause*(1-x.Stutter)/x.Stutter*2*l.rng.Float64()) + 1
				l.until = l.stops + int64(pause)
			}
			switch {
			case l.at < l.stops:
				to = min(t, l.stops)
			case l.at < l.until:
				to, stopped = min(t, l.until), true
			}
		}
		if !stopped {
			work := x.Livelock * float64(to-l.at) / 1e9
			// The interrupt comes first and takes time from what waits in the socket.
			ring := min(work/arrivalCost, l.ring)
			l.ring -= ring
			l.backlog = max(0, l.backlog-(work-ring*arrivalCost)/(1-arrivalCost))
		}
		l.at = to
	}
}

// take is a packet that comes at t. It returns when the program will have it.
func (l *livelock) take(t int64, bits float64, x *Receiver) (int64, bool) {
	l.run(t, x)
	if x.Ring > 0 && l.ring+bits > float64(x.Ring)*8 {
		return 0, false
	}
	l.ring += bits
	buffer := float64(max(x.Buffer, 212992)) * 8
	if l.backlog+bits > buffer {
		return 0, false
	}
	l.backlog += bits
	wait := int64((l.backlog*(1-arrivalCost) + l.ring*arrivalCost) / x.Livelock * 1e9)
	if x.Stutter > 0 && l.at >= l.stops && l.at < l.until {
		wait += l.until - l.at
	}
	return t + wait, true
}

func (c *castRun) take(n *node, f *flight) {
	var p *core.Partial
	var v core.Verdict
	switch {
	case f.reply:
		_ = n.core.Reply(f.at, f.epoch, f.seq, f.ctl)
		return
	case f.unsigned:
		n.forged(f.at)
		return
	case f.ctl != nil:
		_ = n.core.Announce(f.at, f.epoch, f.seq, f.ctl)
		return
	case f.uni:
		p, v = n.core.StreamData(f.at, f.epoch, f.seq, f.block, f.index)
	default:
		p, v = n.core.Data(f.at, f.epoch, f.seq, f.block, f.index)
	}
	if v == core.Useful {
		n.useful++
		if f.wrong {
			n.wrong[p] = true
		}
		if f.use != nil && !f.use.Load() {
			f.use.Store(true)
		}
		if p.Complete {
			if n.Sink == 0 && n.Stall == 0 && len(n.held) == 0 {
				c.whole(f.at, n, p)
				return
			}
			n.held = append(n.held, held{p, false})
		}
	}
}

// drain lets the sink take what it can by now.
func (c *castRun) drain(r *run, n *node) {
	for len(n.held) > 0 && n.sinkAt <= r.now && (n.Stall == 0 || r.now < n.Stall || r.now >= n.Resume) {
		p, aside := n.held[0].p, n.held[0].aside
		n.held = n.held[1:]
		if aside {
			n.core.IsAside(p)
		} else {
			c.whole(r.now, n, p)
		}
		if n.Sink > 0 {
			n.sinkAt = max(n.sinkAt, r.now-r.tick) + int64(float64(p.K*c.p.Payload)*8/n.Sink*1e9)
		}
	}
}

func (c *castRun) complete(n *node, at int64) {
	if n.core.Missing() == 0 && n.done == 0 {
		n.done = at
	}
}

// report makes the report of a node that is due.
func (c *castRun) report(r *run, n *node) {
	if m := n.core.Memory(); m > c.res.MaxMemory {
		c.res.MaxMemory = m
	}
	if n.Liar {
		c.lie(r, n)
		return
	}
	if r.now < n.core.Next() {
		return
	}
	body, seq, ok := n.core.Poll(r.now, nil)
	if !ok {
		return
	}
	c.count(r, 1)
	if !n.back.lose() {
		c.inbox = append(c.inbox, upward{r.now + max(n.Link.Delay, 20*Microsecond), n, seq, body})
	}
}

// lie reports, a hundred times a second, that everything is lacking and everything was lost.
func (c *castRun) lie(r *run, n *node) {
	if r.now < n.core.Next() || c.s == nil {
		return
	}
	n.core.Poll(r.now, nil)
	n.liar++
	var rec []byte
	rec = wire.AppendRun(rec, 0, math.MaxUint32, 255, 255)
	b := wire.ReportBody{
		Generation: uint8(n.liar), Pressure: 255, Epoch: c.s.Epoch(), Top: uint64(c.s.SentPackets), Received: 1,
		First:    1,
		WinFirst: uint64(max(c.s.SentPackets-1000, 1)), WinGot: 1, WinSpan: 10000, Need: math.MaxUint32,
		Blocks: math.MaxUint32, Records: rec,
	}
	c.count(r, 1)
	c.inbox = append(c.inbox, upward{r.now, n, n.liar, b.Append(nil, 1)})
}

// deliverUp brings reports to the sender.
func (c *castRun) deliverUp(r *run) {
	rest := c.inbox[:0]
	for _, u := range c.inbox {
		if u.at > r.now || c.s == nil {
			if u.at > r.now {
				rest = append(rest, u)
			}
			continue
		}
		if !c.s.ReportFresh(u.from.id, u.seq) {
			continue
		}
		reply, ok, err := c.s.Report(u.at, u.from.id, u.seq, u.from.addr(), u.body, nil)
		if err != nil || !ok {
			continue
		}
		c.count(r, 1)
		if n := u.from; n.alive {
			n.fifo = append(n.fifo, flight{at: r.now + max(n.Link.Delay, 20*Microsecond),
				seq: c.s.ReplySeq(c.s.Peer(n.id)), epoch: c.s.Epoch(), ctl: reply, reply: true})
		}
	}
	c.inbox = rest
}

// over says that nothing is left to happen.
func (c *castRun) over(now int64) bool {
	if c.s == nil || c.Restart != 0 || c.s.Pending() > 0 {
		return false
	}
	for _, n := range c.nodes {
		if !n.dead && !n.Liar && n.done == 0 {
			return false
		}
	}
	if c.res.IdleAt == 0 {
		c.res.IdleAt = now
	}
	return true
}

func (c *castRun) result(r *run) Result {
	c.tally(len(c.tracked))
	res := c.res
	if c.s != nil {
		c.keep()
		res.Idle = c.s.Pending() == 0
	}
	for _, f := range r.tcp {
		res.TCPBits += f.bits
	}
	res.Packets, res.Repair, res.Streamed = c.old.Packets, c.old.Repair, c.old.Streamed
	for b := range c.p.Blocks() {
		res.Objects += int64(c.p.SourcePackets(b))
	}
	res.Bytes = float64(res.Packets) / float64(max(res.Objects, 1))
	for _, n := range c.control {
		res.ControlPeak = max(res.ControlPeak, n)
	}
	for _, n := range c.nodes {
		res.Done = append(res.Done, n.done)
		if n.core != nil {
			res.Useless += n.core.Useless
		}
		if n.Liar || n.dead {
			continue
		}
		if n.done == 0 {
			res.Wrong++
			continue
		}
		if res.First == 0 || n.done < res.First {
			res.First = n.done
		}
		res.Last = max(res.Last, n.done)
		res.Missed = max(res.Missed, min(n.late, res.Objects))
	}
	return res
}
