package cast

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/diskcast/diskcast/internal/cast/core"
	"github.com/diskcast/diskcast/internal/cast/sock"
	"github.com/diskcast/diskcast/internal/cast/wire"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// Sender sends one object to a group.
type Sender struct {
	p     Params
	o     SenderOptions
	log   *slog.Logger
	group *sock.Group
	fb    *net.UDPConn
	cache *sourceCache
	wake  chan struct{}
	share *core.LinkShare
	epoch time.Time

	failed atomic.Pointer[error] // why the cast is to end

	mu     sync.Mutex
	tx     *tx
	events []Event
}

// Abort ends the cast for a fault of the source: receivers that are not known to be done hear that they must not use
// what they have, and Run returns err a few seconds later. It may be called from OnReadError.
func (s *Sender) Abort(err error) {
	if s.failed.CompareAndSwap(nil, &err) {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// sound asks whether the source is what it was.
func (s *Sender) sound() bool {
	if s.o.Sound != nil {
		if err := s.o.Sound(); err != nil {
			s.Abort(err)
		}
	}
	return s.failed.Load() == nil
}

// ReportBuffer is the receive buffer that a sender asks for where reports come in, in bytes.
const ReportBuffer = 4 << 20

// NewSender checks p and opens the sockets.
func NewSender(p Params, src Source, o SenderOptions) (*Sender, error) {
	p = p.WithDefaults()
	if err := p.Check(); err != nil {
		return nil, err
	}
	s := &Sender{p: p, o: o, log: o.Log, wake: make(chan struct{}, 1), epoch: time.Now()}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	ifi, err := sock.InterfaceFor(o.Interface, p.Feedback.Addr())
	if err != nil {
		return nil, err
	}
	s.group, err = sock.DialGroup(p.Group, ifi, max(o.TTL, 1), !o.NoGSO)
	if err != nil {
		return nil, err
	}
	listen := p.Feedback
	if o.Listen != "" {
		if listen, err = netip.ParseAddrPort(o.Listen); err != nil {
			s.group.Close()
			return nil, fmt.Errorf("cast: listen address %q: %w", o.Listen, err)
		}
	}
	s.fb, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(listen))
	if err != nil {
		s.group.Close()
		return nil, fmt.Errorf("cast: listening for reports at %v: %w", listen, err)
	}
	sock.SetReceiveBuffer(s.fb, ReportBuffer)
	framing := 66
	if p.Group.Addr().Is6() {
		framing = 86
	}
	s.share = linkOf(ifi)
	s.cache = newSourceCache(p, src, o.OnReadError)
	cfg := core.SenderConfig{
		Params: p, Epoch: wire.Random48(),
		Rate: float64(o.Rate), Cap: float64(o.Cap), Floor: float64(o.Floor), Stream: float64(o.Unicast),
		Link: sock.LinkSpeed(ifi.Name), Weight: float64(o.Weight), Framing: framing,
		Source: s.group.From(), Share: s.share, Expect: o.MinReceivers, MaxWait: int64(o.MaxWait),
		MaxBatch: sock.Batch(p.Payload + wire.Overhead),
		Sound:    s.sound,
		Event: func(kind string, peer *core.Peer, why string) {
			s.events = append(s.events, Event{kind, s.peer(s.now(), peer), why})
		},
	}
	if s.tx, err = newTx(p, o.Secret, cfg, s.cache, s.now()); err != nil {
		s.close()
		return nil, err
	}
	s.tx.older = func(from netip.AddrPort, why string) {
		s.events = append(s.events, Event{"version", Peer{Addr: from}, why})
	}
	return s, nil
}

func (s *Sender) now() int64 { return int64(time.Since(s.epoch)) + 1 }

func (s *Sender) close() {
	s.group.Close()
	s.fb.Close()
}

// Run serves until ctx ends, which is no error, or, with UntilDone, until all are done. It closes the sockets.
func (s *Sender) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, s.close)
	defer stop()
	var eg errgroup.Group
	eg.Go(func() error { s.cache.run(ctx.Done()); return nil })
	eg.Go(func() error { return s.listen(ctx) })
	eg.Go(func() error {
		defer cancel()
		return s.send(ctx)
	})
	err := eg.Wait()
	s.share.Remove(s.tx.core)
	if err != nil && ctx.Err() != nil && errors.Is(err, net.ErrClosed) {
		err = nil
	}
	return err
}

// listen takes reports until the socket is closed.
func (s *Sender) listen(ctx context.Context) error {
	buf := make([]byte, 1<<16)
	scratch, out := make([]byte, 1<<16), make([]byte, wire.MaxControl+wire.Overhead)
	for {
		n, from, err := s.fb.ReadFromUDPAddrPort(buf)
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			continue // an ICMP error that answers a reply
		}
		s.mu.Lock()
		reply := s.tx.handle(s.now(), buf[:n], from, scratch, out)
		s.unlock()
		if reply != nil {
			_, _ = s.fb.WriteToUDPAddrPort(reply, from) // its next report asks again
		}
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// unlock releases the state and then tells what happened.
func (s *Sender) unlock() {
	events := s.events
	s.events = nil
	s.mu.Unlock()
	for _, e := range events {
		s.log.Info("cast receiver", "cast", s.p.ID, "event", e.Kind, "receiver", e.Peer.Label, "addr", e.Peer.Addr,
			"why", e.Why)
		if s.o.OnEvent != nil {
			s.o.OnEvent(e)
		}
	}
}

// send is the sender's loop: what is due goes out, then it sleeps until more is due or a report comes.
func (s *Sender) send(ctx context.Context) error {
	size := s.p.Payload + wire.Overhead
	buf := make([]byte, sock.Batch(size)*size)
	ctl := make([]byte, max(wire.MaxControl+wire.Overhead, size))
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	ahead := -1
	for ctx.Err() == nil {
		s.mu.Lock()
		now := s.now()
		failed := s.failed.Load()
		if failed != nil {
			s.tx.core.End(now)
		}
		ann := s.tx.announce(now, ctl)
		if ann != nil {
			// Its number comes before those of the burst.
			if err := s.group.Send(ann, len(ann)); err != nil {
				s.sendError(err)
			}
		}
		out := s.tx.burst(now, buf)
		// What cannot be sent is lost on the way, and asked for again.
		streamed := s.tx.unicast(now, ctl,
			func(to netip.AddrPort, pkt []byte) { _, _ = s.fb.WriteToUDPAddrPort(pkt, to) })
		ahead = s.readAhead(ahead)
		next := s.tx.core.Next(s.now())
		rate := s.tx.core.Rate()
		told := s.tx.core.Told(now)
		over := s.o.UntilDone && s.tx.core.Idle(s.o.MinReceivers)
		s.unlock()
		if failed != nil && told {
			return *failed
		}
		if len(out) > 0 {
			s.group.Pace(rate)
			if err := s.group.Send(out, size); err != nil {
				s.sendError(err)
			}
			continue
		}
		if over && failed == nil {
			return nil
		}
		if streamed > 0 {
			continue
		}
		wait := time.Duration(next - s.now())
		if wait <= 0 {
			continue
		}
		if wait < 3*time.Millisecond {
			nanosleep(wait)
			continue
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-s.wake:
		}
	}
	return nil
}

// nanosleep sleeps in the kernel: the runtime's timers are a millisecond late when nothing else runs.
func nanosleep(d time.Duration) {
	ts := unix.NsecToTimespec(int64(max(d, 20*time.Microsecond)))
	_ = unix.Nanosleep(&ts, nil) // a signal ends it early: the pacer looks at the clock
}

// readAhead has the blocks read that will be sent next, several at a time. last is the block that was next when it did
// so before.
func (s *Sender) readAhead(last int) int {
	next := s.tx.core.Upcoming(0)
	if next < 0 || last >= 0 && next >= last && next < last+aheadBlocks/2 {
		return last
	}
	for i := range aheadBlocks {
		b := s.tx.core.Upcoming(i)
		if b < 0 {
			break
		}
		s.cache.prefetch(uint32(b))
	}
	return next
}

// sendError looks at an error of the network. A full queue or a link that is down for a while is as if the packets were
// lost.
func (s *Sender) sendError(err error) {
	if !errors.Is(err, net.ErrClosed) {
		s.log.Debug("cast send", "cast", s.p.ID, "err", err)
		nanosleep(time.Millisecond)
	}
}

func (s *Sender) peer(now int64, p *core.Peer) Peer {
	return Peer{
		ID: p.ID, Label: p.Label, Addr: p.Addr, Need: int64(p.Need) * int64(s.p.Payload), Loss: p.Loss,
		Pressure: float64(p.Pressure) / 255, Rate: p.Rate, State: p.State.String(), Heard: time.Duration(now - p.Heard),
		Suspicion: p.Suspicion(),
	}
}

// Stats may be called at any time.
func (s *Sender) Stats() SenderStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.tx.core
	pay := int64(s.p.Payload)
	st := SenderStats{
		Payload: c.SentPackets * pay, Repair: c.SentRepair * pay, Streamed: c.StreamPackets * pay,
		Wire: c.WireBytes(), Packets: c.SentPackets, Reports: c.Reports, Replies: c.Replies,
		Pending: c.Pending() * pay, Rate: c.Rate(), Sending: c.Sending(), Rejected: s.tx.rejected,
	}
	st.Rejected.Impostor += c.Crowded
	now := s.now()
	most := uint32(0)
	for _, p := range c.Peers() {
		st.Receivers = append(st.Receivers, s.peer(now, p))
		if n := p.Strangers(); n > most {
			most, st.Suspicion = n, fmt.Sprintf("%s at %v says: %s", p.Label, p.Addr.Addr(), p.Suspicion())
		}
	}
	return st
}
