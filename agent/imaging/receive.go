package imaging

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/diskcast/diskcast/internal/cast"
	"github.com/diskcast/diskcast/internal/diskrule"
	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/restore"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/internal/span"
)

// farewell bounds how long a receiver that has everything may take to tell the sender so.
const farewell = 3 * time.Second

// reception carries the object from one receiver after another into the writer.
type reception struct {
	*run
	w *restore.Writer
	// of what was read back wrong: by HTTP, since the cast may have gone on to other things, and hashed before it is
	// written
	repair bool

	kick  chan struct{} // the unicast side has something to look at
	again chan struct{} // the receiver was asked for bytes anew
	state chan struct{} // states has grown

	mu          sync.Mutex
	recv        Receiver
	lost        []cast.Range // asked for again while there was no receiver
	phase       cast.Phase
	states      []cast.State // to be told of
	first, last bool
	base        session.Progress // what earlier receptions and receivers of this restore counted
	delivered   int64            // by HTTP, in all
	stopFetch   context.CancelCauseFunc
}

// receive gets every byte that the disk lacks and waits until it is written and flushed.
func (r *run) receive(ctx context.Context, have []restore.Range, casts <-chan *session.Cast, repair bool) error {
	rc := &reception{run: r, repair: repair, base: r.counts,
		kick: make(chan struct{}, 1), again: make(chan struct{}, 1), state: make(chan struct{}, 1)}
	w, err := restore.NewWriter(r.plan, r.target, restore.WriterOptions{
		Name: r.d.Image.Name, Workers: r.o.Workers, Memory: r.o.WriterMemory,
		Again: rc.onAgain, Rejected: rc.onRejected,
		Doubtful: func() bool { return rc.grouped() != nil }, Have: have, ReadBack: r.d.Verify && !repair,
	})
	if err != nil {
		return fmt.Errorf("%s: %w", r.disk.Path, err)
	}
	rc.w = w
	err = rc.cycle(ctx, have, casts)
	cerr := w.Close()
	if err != nil {
		return err
	}
	if cerr != nil {
		return fmt.Errorf("image %s on %s: %w", r.d.Image.Name, r.disk.Path, cerr)
	}
	r.counts = rc.progress()
	counts := r.told(r.counts)
	r.step(session.StepWritten, session.Info,
		fmt.Sprintf("%s on the disk and flushed", diskrule.Bytes(r.own(r.counts).Written)), &counts)
	return nil
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// planned is the cast that the reception begins with; nil is HTTP alone.
func (rc *reception) planned() *session.Cast {
	if rc.repair {
		return nil
	}
	return rc.d.Cast
}

// cycle receives from the planned cast, and from each that takes its place.
func (rc *reception) cycle(ctx context.Context, have []restore.Range, casts <-chan *session.Cast) error {
	here, c := have, rc.planned()
	for {
		recv, err := rc.open(c, here)
		if err != nil {
			return err
		}
		next, err := rc.from(ctx, recv, casts)
		if !errors.Is(err, errRecast) {
			return err
		}
		here = rc.retire(recv)
		c = next
		rc.step(session.StepMulticast, session.Warn, "the server casts anew; going on with what is still missing", nil)
	}
}

// open makes the receiver of a cast, or of HTTP alone where there is none.
func (rc *reception) open(c *session.Cast, have []cast.Range) (Receiver, error) {
	o := cast.ReceiverOptions{
		Interface: rc.o.Interface, Label: rc.o.Label, Have: have, Memory: rc.o.CastMemory, OnState: rc.onState,
		Log: rc.o.Log,
	}
	var recv Receiver
	if c == nil {
		why := "the session has no cast"
		if rc.repair {
			why = "repair of what was read back wrong"
		}
		recv = newDirect(rc.d.Image.ObjectSize, why, o)
	} else {
		p := cast.Params{ID: c.ID, Group: c.Group, Feedback: c.Feedback, Size: c.Size, Payload: c.Payload, K: c.K}
		copy(p.Key[:], c.Key)
		copy(p.Sender[:], c.Sender)
		var err error
		if recv, err = rc.o.Receiver(p, cast.SinkFunc(rc.block), o); err != nil {
			return nil, fmt.Errorf("receiving: %w", err)
		}
	}
	rc.mu.Lock()
	lost := rc.lost
	rc.recv, rc.lost, rc.phase = recv, nil, cast.Waiting
	rc.mu.Unlock()
	for _, l := range lost {
		recv.Again(l.Offset, l.Length)
	}
	return recv, nil
}

// retire takes a receiver out of use and returns what need not be received again.
func (rc *reception) retire(recv Receiver) []cast.Range {
	s := recv.Stats()
	rc.mu.Lock()
	defer rc.mu.Unlock()
	rc.base.Multicast += s.Multicast + s.Stream
	rc.base.Rejected += s.Rejected.Total()
	rc.recv = nil
	return span.Invert(recv.Missing(), rc.d.Image.ObjectSize)
}

// errRecast: another cast, or none at all, takes the place of the one that was received from.
var errRecast = errors.New("the server casts anew")

// from receives from one receiver until everything is written, or errRecast and the cast that takes its place.
func (rc *reception) from(ctx context.Context, recv Receiver, casts <-chan *session.Cast) (*session.Cast, error) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1) // of the one Run that is under way
	fetched := make(chan error, 1)
	running := false
	var both sync.WaitGroup // both end with ctx at the latest, and the channels have room for what they say then
	start := func() {
		running = true
		both.Go(func() { ended <- recv.Run(ctx) })
	}
	both.Go(func() { fetched <- rc.fetchMissing(ctx, recv) })
	bad := false
	defer func() {
		cancel()
		both.Wait()
		rc.tell(bad) // what it said at the very end
	}()
	start()

	// The reporter lets one a second through; asking more often keeps it at that when a tick comes late.
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	done := rc.w.Done()
	var bye <-chan time.Time
	for {
		select {
		case <-rc.state:
			bad = rc.tell(bad)
		case err := <-ended:
			running = false
			switch {
			case ctx.Err() != nil:
				return nil, context.Cause(ctx)
			case bye != nil:
				return nil, nil
			case rc.w.Err() != nil:
				return nil, rc.failure()
			case err != nil:
				return nil, fmt.Errorf("receiving: %w", err)
			case len(recv.Missing()) > 0:
				start()
			}
		case <-rc.again:
			if !running && bye == nil {
				start()
			}
			signal(rc.kick)
		case <-done:
			// Everything is written. Let the receiver say so to the sender, but do not wait for it long.
			rc.lastByte()
			if !running {
				return nil, nil
			}
			done, bye = nil, time.After(farewell)
		case <-bye:
			return nil, nil
		case <-rc.w.Failed():
			return nil, rc.failure()
		case err := <-fetched:
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			if rc.w.Err() != nil {
				return nil, rc.failure()
			}
			return nil, err
		case c := <-casts:
			if bye == nil {
				return c, errRecast
			}
		case <-tick.C:
			rc.o.Report.Progress(rc.words(), rc.told(rc.progress()))
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (rc *reception) failure() error {
	return fmt.Errorf("image %s on %s: %w", rc.d.Image.Name, rc.disk.Path, rc.w.Err())
}

// block takes bytes from multicast.
func (rc *reception) block(off int64, p []byte) error {
	rc.firstByte("multicast")
	return rc.w.Block(off, p)
}

// fetchSize is how much one HTTP request fetches: a few chunks, so that multicast that is back is noticed soon.
const fetchSize = 4 << 20

// fetchMissing gets by HTTP what is missing, whenever multicast does not bring it. It ends with ctx or with an error.
func (rc *reception) fetchMissing(ctx context.Context, recv Receiver) error {
	cursor := int64(0)
	for {
		for rc.byHTTP() {
			off, n := nextMissing(recv.Missing(), cursor)
			if n == 0 {
				break
			}
			at, err := rc.fetch(ctx, recv, off, n)
			if err != nil {
				return fmt.Errorf("fetching by HTTP: %w", err)
			}
			cursor = at
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-rc.kick:
		}
	}
}

// errArrives ends a fetch because multicast brings the bytes again.
var errArrives = errors.New("multicast arrives again")

// fetch gets bytes [off, off+n), or fewer when multicast arrives again meanwhile: a room full of nodes that were cut
// off for a moment must not all go on asking the server for themselves. It returns where it stopped.
func (rc *reception) fetch(ctx context.Context, recv Receiver, off, n int64) (int64, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	rc.mu.Lock()
	rc.stopFetch = stop
	rc.mu.Unlock()
	if !rc.byHTTP() {
		return off, nil
	}
	err := rc.o.Server.Object(ctx, rc.d.Image.Manifest, off, n, func(at int64, p []byte) error {
		rc.firstByte("HTTP")
		if err := rc.w.Block(at, p); err != nil {
			return err
		}
		rc.mu.Lock()
		rc.delivered += int64(len(p))
		rc.mu.Unlock()
		off = at + int64(len(p))
		return recv.Deliver(at, p)
	})
	if errors.Is(context.Cause(ctx), errArrives) {
		return off, nil
	}
	return off, err
}

// nextMissing returns what to fetch next: the first missing bytes from cursor on, or else from the start. Going round,
// instead of taking the first each time, matters when the writer drops what it has no memory for: those bytes are
// missing again at once, and it is the others that would complete a frame and free memory.
func nextMissing(missing []cast.Range, cursor int64) (off, n int64) {
	for _, m := range missing {
		if end := m.Offset + m.Length; end > cursor {
			off = max(m.Offset, cursor)
			return off, min(end-off, fetchSize)
		}
	}
	if len(missing) == 0 {
		return 0, 0
	}
	return missing[0].Offset, min(missing[0].Length, fetchSize)
}

func (rc *reception) byHTTP() bool {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	return rc.phase == cast.Silent || rc.phase == cast.Unicast
}

// onState hears of the receiver's phases. The receiver may hold locks: what is to be told is told by the loop in from.
func (rc *reception) onState(s cast.State) {
	rc.mu.Lock()
	rc.phase = s.Phase
	rc.states = append(rc.states, s)
	if (s.Phase == cast.Receiving || s.Phase == cast.Complete) && rc.stopFetch != nil {
		rc.stopFetch(errArrives)
	}
	rc.mu.Unlock()
	signal(rc.kick)
	signal(rc.state)
}

// tell reports the phases that onState heard of; bad is whether multicast was not arriving before, and comes back.
func (rc *reception) tell(bad bool) bool {
	rc.mu.Lock()
	states := rc.states
	rc.states = nil
	rc.mu.Unlock()
	for _, s := range states {
		switch s.Phase {
		case cast.Silent, cast.Unicast:
			level := session.Warn
			if rc.planned() == nil {
				level = session.Info // as planned
			}
			rc.step(session.StepMulticast, level, s.Why+"; fetching by HTTP", nil)
			bad = rc.planned() != nil
		case cast.Receiving:
			if bad {
				rc.step(session.StepMulticast, session.Info, "multicast arrives again", nil)
			}
			bad = false
			if s.Why != "" {
				rc.step(session.StepMulticast, session.Warn, s.Why, nil)
			}
		case cast.Complete:
			rc.lastByte()
		}
	}
	return bad
}

// onAgain passes on what the writer had to drop.
func (rc *reception) onAgain(off, n int64) {
	rc.mu.Lock()
	recv := rc.recv
	if recv == nil {
		rc.lost = append(rc.lost, cast.Range{Offset: off, Length: n})
	}
	rc.mu.Unlock()
	if recv != nil {
		recv.Again(off, n)
		signal(rc.again)
	}
}

// onRejected reports a chunk whose bytes are not what the index says. The server then looks at its own copy of it.
// Where many come so by multicast, the receiver leaves the group for a while.
func (rc *reception) onRejected(d *image.DamageError) {
	if recv := rc.grouped(); recv != nil {
		recv.Wrong()
	}
	rc.o.Report.Refused(d.Chunk, d.Error()+"; it was not written and is asked for again")
}

// grouped is the receiver while bytes come by multicast, which others than the server may send to; else nil.
func (rc *reception) grouped() Receiver {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	if rc.phase != cast.Receiving {
		return nil
	}
	return rc.recv
}

func (rc *reception) firstByte(way string) {
	rc.mu.Lock()
	first := !rc.first
	rc.first = true
	rc.mu.Unlock()
	if first {
		rc.step(session.StepFirstByte, session.Info, "by "+way, nil)
	}
}

func (rc *reception) lastByte() {
	rc.mu.Lock()
	last := !rc.last
	rc.last = true
	rc.mu.Unlock()
	if last {
		all := rc.progress()
		p, told := rc.own(all), rc.told(all)
		rc.step(session.StepLastByte, session.Info, fmt.Sprintf("%s came by multicast, %s by HTTP, of %s needed",
			diskrule.Bytes(p.Multicast), diskrule.Bytes(p.Unicast), diskrule.Bytes(p.Needed)), &told)
	}
}

// progress counts what has happened so far.
func (rc *reception) progress() session.Progress {
	w := rc.w.Stats()
	rc.mu.Lock()
	recv, p := rc.recv, rc.base
	p.Unicast += rc.delivered
	rc.mu.Unlock()
	p.Received += w.Received
	p.Needed += w.Needed
	p.Written += w.Written
	p.ToWrite += w.ToWrite
	if recv != nil {
		s := recv.Stats()
		p.Multicast += s.Multicast + s.Stream
		p.Loss = s.Loss
		p.Rejected += s.Rejected.Total()
	}
	return p
}

// words is the progress in one line for the console.
func (rc *reception) words() string {
	p := rc.own(rc.progress())
	return fmt.Sprintf("received %s, written %s", percent(p.Received, p.Needed), percent(p.Written, p.ToWrite))
}
