package cast

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/diskcast/diskcast/internal/cast/core"
	"github.com/diskcast/diskcast/internal/cast/sock"
	"github.com/diskcast/diskcast/internal/span"
	"golang.org/x/sync/errgroup"
)

// Receiver receives one object.
type Receiver struct {
	p     Params
	o     ReceiverOptions
	sink  Sink
	log   *slog.Logger
	start time.Time

	mu        sync.Mutex
	rx        *rx
	delivery  delivery
	wake      chan struct{} // the reporter must look again
	states    []State
	delivered span.Set
	byOther   int64
	running   bool
}

// NewReceiver checks p. Sockets are opened by Run.
func NewReceiver(p Params, sink Sink, o ReceiverOptions) (*Receiver, error) {
	p = p.WithDefaults()
	if err := p.Check(); err != nil {
		return nil, err
	}
	if o.Memory == 0 {
		o.Memory = 40 << 20
	}
	if o.SilenceAfter == 0 {
		o.SilenceAfter = 3 * time.Second
	}
	r := &Receiver{p: p, o: o, sink: sink, log: o.Log, start: time.Now(), wake: make(chan struct{}, 1)}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	cfg := core.ReceiverConfig{
		Params: p, Label: o.Label, Memory: o.Memory, SilenceAfter: int64(o.SilenceAfter),
		Stream: o.Stream, Changed: r.changed,
	}
	var keep func(*rxBlock)
	if o.Reread != nil {
		keep = func(b *rxBlock) { r.delivery.add(b, true) }
	}
	var err error
	if r.rx, err = newRx(p, cfg, keep, r.now()); err != nil {
		return nil, err
	}
	r.rx.complete = func(b *rxBlock) { r.delivery.add(b, false) }
	for _, h := range o.Have {
		r.have(h.Offset, h.Length)
	}
	return r, nil
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (r *Receiver) now() int64 { return int64(time.Since(r.start)) + 1 }

// changed is called by the core, under the lock.
func (r *Receiver) changed() {
	if r.rx == nil || r.rx.core == nil {
		return
	}
	phase, why := r.rx.core.Phase()
	r.states = append(r.states, State{phase, why})
	signal(r.wake)
}

// Run receives until nothing is missing and the sender knows it (or a second has passed in vain), then returns nil. It
// opens the sockets and closes them. When Again is called after Run has returned, Run may be called anew.
func (r *Receiver) Run(ctx context.Context) error {
	r.mu.Lock()
	if r.running {
		r.mu.Unlock()
		return errors.New("cast: this receiver runs already")
	}
	r.running = true
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		r.running = false
		r.mu.Unlock()
	}()
	ifi, err := sock.InterfaceFor(r.o.Interface, r.p.Feedback.Addr())
	if err != nil {
		return err
	}
	member, err := sock.Listen(r.p.Group, ifi, !r.o.NoGRO)
	if err != nil {
		return err
	}
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(r.p.Feedback))
	if err != nil {
		member.Close()
		return fmt.Errorf("cast: reporting to %v: %w", r.p.Feedback, err)
	}
	sock.SetReceiveBuffer(conn, 4<<20)
	if member.Buffer() < 4<<20 {
		r.log.Warn("cast socket buffer is small", "bytes", member.Buffer(), "fix",
			"run as root or raise net.core.rmem_max to 16777216")
	}
	ctx, cancel := context.WithCancel(ctx)
	closing := context.AfterFunc(ctx, func() {
		r.farewell(conn)
		member.Close()
		conn.Close()
	})
	defer closing()
	var eg errgroup.Group
	run := func(f func(context.Context) error) {
		eg.Go(func() error {
			defer cancel()
			return f(ctx)
		})
	}
	// A receiver that was relieved ends well, and deliveries end when there is nothing to deliver.
	begin := func(f func() error) {
		eg.Go(func() error {
			err := f()
			if err != nil {
				cancel()
			}
			return err
		})
	}
	receive := func(turn int) { begin(func() error { return r.receive(ctx, member, turn) }) }
	deliver := func() { begin(r.deliver) }
	r.resume(receive, deliver)
	run(func(ctx context.Context) error { return r.relieve(ctx, receive) })
	run(func(ctx context.Context) error { return r.replies(ctx, conn, deliver) })
	run(func(ctx context.Context) error { return r.reports(ctx, member, conn) })
	err = eg.Wait()
	r.tell()
	if err != nil {
		return err
	}
	if n := r.missing(); n > 0 {
		return fmt.Errorf("cast: %d of %d blocks are missing: %w", n, r.p.Blocks(), context.Cause(ctx))
	}
	return nil
}

// ErrEnded is what Run returns when the sender has ended for a fault of what it reads from.
var ErrEnded = errors.New("cast: the sender ended with an error, for what it sends changed or cannot be read: what " +
	"was received is not whole, or not one file; " +
	"throw it away, and look at the sender for the cause")

// farewell tells the sender that a receiver that is not complete gives up.
func (r *Receiver) farewell(conn *net.UDPConn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.rx.core.Missing() > 0 || r.rx.core.Ended() {
		buf := make([]byte, reportLen)
		_, _ = conn.Write(r.rx.leave(r.now(), buf)) // a lost word is as good as an unsent one
	}
}

// Wrong notes that bytes which came by multicast are not the object's, as a hash says that is known by another way.
// Where that happens often the receiver leaves the group for a while.
func (r *Receiver) Wrong() {
	r.mu.Lock()
	r.rx.core.Wrong(r.now())
	r.mu.Unlock()
	signal(r.wake)
}

func (r *Receiver) missing() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.rx.core.Missing()
}

// receive takes packets of the group, and passes the blocks that they complete to the sink, until the socket is closed
// or another has taken its turn.
func (r *Receiver) receive(ctx context.Context, m *sock.Member, turn int) error {
	for {
		locked := false
		var now int64
		drained, err := m.Receive(func(pkt []byte, from netip.Addr) {
			if !locked {
				r.mu.Lock()
				now, locked = r.now(), true
			}
			r.rx.handle(now, pkt, from, false)
		})
		if locked {
			ours := r.delivery.take(now)
			r.mu.Unlock()
			if ours {
				if err := r.deliver(); err != nil {
					return err
				}
				if r.relieved(turn) {
					return nil
				}
			}
		}
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("cast: receiving: %w", err)
		}
		if drained {
			// Waking for every message costs more than the message: let some gather. The socket's buffer has room for
			// far longer.
			nanosleep(gather)
		}
	}
}

// gather is how long messages gather once all were taken that had come.
const gather = 500 * time.Microsecond

// replies takes what the sender sends to us alone. It calls deliver when that has completed blocks.
func (r *Receiver) replies(ctx context.Context, conn *net.UDPConn, deliver func()) error {
	buf := make([]byte, 1<<16)
	for {
		n, err := conn.Read(buf)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			continue // nobody listens there: the sender is not up, which the core notices by itself
		}
		r.mu.Lock()
		r.rx.handle(r.now(), buf[:n], netip.Addr{}, true)
		ours := r.delivery.take(0)
		r.mu.Unlock()
		if ours {
			deliver()
		}
		signal(r.wake)
	}
}

// rejoin is how long a silent receiver waits until it tells the switches anew that it is in the group.
const rejoin = 5 * time.Second

// lastWord is how long a complete receiver waits for the sender to know.
const lastWord = time.Second

// reports makes the reports that are due, follows the core in and out of the group, and ends when all is done.
func (r *Receiver) reports(ctx context.Context, m *sock.Member, conn *net.UDPConn) error {
	buf := make([]byte, reportLen)
	timer := time.NewTimer(0)
	defer timer.Stop()
	var complete, joined time.Time
	for {
		r.mu.Lock()
		now := r.now()
		r.rx.core.Queues(m.Fill())
		report, due := r.rx.poll(now, buf)
		next := r.rx.core.Next()
		in := r.rx.core.InGroup()
		phase, _ := r.rx.core.Phase()
		finished, missing, ended := r.rx.core.Finished(), r.rx.core.Missing(), r.rx.core.Ended()
		r.mu.Unlock()
		if ended {
			return ErrEnded
		}
		if due {
			_, _ = conn.Write(report) // the next report says the same
		}
		r.tell()
		if in && phase == core.Silent && time.Since(joined) > rejoin {
			// A switch may have forgotten us, or been told that we left.
			if err := m.Join(false); err != nil {
				return err
			}
		}
		if !m.Joined() {
			joined = time.Now()
		}
		if err := m.Join(in); err != nil {
			return err
		}
		wait := time.Duration(next - now)
		if missing == 0 {
			if complete.IsZero() {
				complete = time.Now()
			}
			if finished || time.Since(complete) > lastWord {
				return nil
			}
			wait = min(wait, lastWord/4)
		} else {
			complete = time.Time{}
		}
		timer.Reset(max(wait, time.Millisecond))
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-r.wake:
		}
	}
}

// tell calls OnState with what changed.
func (r *Receiver) tell() {
	r.mu.Lock()
	states := r.states
	r.states = nil
	r.mu.Unlock()
	for _, s := range states {
		r.log.Info("cast state", "cast", r.p.ID, "phase", s.Phase.String(), "why", s.Why)
		if r.o.OnState != nil {
			r.o.OnState(s)
		}
	}
}
