// Package node is the life of a node after it has a network: wait for a descriptor, do what it says, report, and wait
// for the next one. A failure is an event and never an end: the node stays where the operator can reach it.
package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/diskcast/diskcast/agent/imaging"
	"github.com/diskcast/diskcast/internal/session"
)

// API is where descriptors come from.
type API interface {
	// Descriptor waits up to about wait for one with a serial above after; nil when there is none.
	Descriptor(ctx context.Context, after uint64, wait time.Duration) (*session.Descriptor, error)
}

// Reporter takes the node's events.
type Reporter interface {
	imaging.Reporter
	// Session names the session that further events belong to.
	Session(id string)
	// Flush waits until the server has accepted every event.
	Flush(ctx context.Context) error
}

// Booter leaves the network userland.
type Booter interface {
	// Prepare loads the system that is on the disk, and says what it will start.
	Prepare(ctx context.Context, r *imaging.Result, appendix string) (string, error)
	// Kexec starts what Prepare loaded; it returns only when that failed.
	Kexec() error
	// Reboot and Poweroff return only when they failed.
	Reboot() error
	Poweroff() error
}

// Restorer is imaging.Restore with its options filled in.
type Restorer func(ctx context.Context, d *session.Descriptor, casts <-chan *session.Cast) (*imaging.Result, error)

// Entry makes the machine start a restored disk by itself, and says what it did. An error says what the machine will do instead; the restore is good.
type Entry func(ctx context.Context, r *imaging.Result) (string, error)

// Options of a node.
type Options struct {
	API     API
	Report  Reporter
	Restore Restorer
	Capture Capturer // nil: the node cannot
	Entry   Entry
	Boot    Booter
	Log     *slog.Logger // nil discards
	// Wait is how long the server may hold a request for a descriptor; 0 means 30 s.
	Wait time.Duration
	// Retry is the pause after a descriptor that cannot be understood; 0 means 10 s.
	Retry time.Duration
	// LastWord bounds the wait for the server to accept the last events before the node leaves; 0 means 30 s.
	LastWord time.Duration
}

// Node carries out descriptors.
type Node struct {
	o     Options
	descs chan *session.Descriptor
}

// New returns a node; Run runs it.
func New(o Options) *Node {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Wait <= 0 {
		o.Wait = 30 * time.Second
	}
	if o.Retry <= 0 {
		o.Retry = 10 * time.Second
	}
	if o.LastWord <= 0 {
		o.LastWord = 30 * time.Second
	}
	return &Node{o: o, descs: make(chan *session.Descriptor)}
}

// Run works until ctx ends or the machine restarts.
func (n *Node) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// Ends with ctx.
	go n.poll(ctx)
	var next *session.Descriptor
	for {
		d := next
		next = nil
		if d == nil {
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case d = <-n.descs:
			}
		}
		next = n.obey(ctx, d)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

// poll hands over every descriptor, one after another, also while another one is being carried out.
func (n *Node) poll(ctx context.Context) {
	after := uint64(0)
	said := ""
	for ctx.Err() == nil {
		d, err := n.o.API.Descriptor(ctx, after, n.o.Wait)
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			if err.Error() != said {
				said = err.Error()
				n.o.Log.Error("the server's descriptor cannot be followed; asking again", "every", n.o.Retry, "error", err)
			}
			pause := time.NewTimer(n.o.Retry)
			select {
			case <-ctx.Done():
			case <-pause.C:
			}
			pause.Stop()
			continue
		}
		said = ""
		if d == nil || d.Serial <= after {
			continue
		}
		after = d.Serial
		select {
		case n.descs <- d:
		case <-ctx.Done():
		}
	}
}

// obey carries out one descriptor. It returns the one that took its place meanwhile, if any.
func (n *Node) obey(ctx context.Context, d *session.Descriptor) (next *session.Descriptor) {
	n.o.Report.Session(d.Session)
	switch d.Action {
	case session.Idle:
		n.o.Log.Info("nothing to do; waiting for a session")
	case session.Reboot:
		n.leave(ctx, session.BootReboot, "the server asks for it")
	case session.Capture:
		if n.o.Capture != nil {
			return n.capture(ctx, d)
		}
		n.fail(errors.New("this agent cannot capture; attach the disk to the server and use 'diskcast image capture' there"))
	case session.Restore:
		return n.restore(ctx, d)
	default:
		n.fail(fmt.Errorf("this agent does not know the action %q: make the boot directory anew with the server's version of mkimage", d.Action))
	}
	return nil
}

func (n *Node) fail(err error) {
	n.o.Report.Step(session.StepFailed, session.Error, err.Error(), nil)
}

// work is a restore under way.
type work struct {
	ended   chan struct{} // closed at its end
	leaving chan struct{} // closed when the disk is done and the node is about to leave
	casts   chan *session.Cast
	cancel  context.CancelCauseFunc
}

// restore carries out a restore and watches for descriptors that change or end it.
func (n *Node) restore(ctx context.Context, d *session.Descriptor) (next *session.Descriptor) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	w := &work{ended: make(chan struct{}), leaving: make(chan struct{}), casts: make(chan *session.Cast, 1), cancel: cancel}
	// Ends with ctx at the latest; waited for below.
	go func() {
		defer close(w.ended)
		n.restoreAndBoot(ctx, d, w)
	}()
	latest := d
	for {
		select {
		case <-w.ended:
			return next
		case nd := <-n.descs:
			if next != nil || n.replaces(latest, nd, w) {
				next = nd
			} else {
				latest = nd
			}
		}
	}
}

// replaces looks at a descriptor that came while d is being carried out, and tells whether it is to be carried out next.
func (n *Node) replaces(d, nd *session.Descriptor, w *work) bool {
	select {
	case <-w.leaving:
		// The disk is done. The server now says idle, because it has the last event; if the node stays, that is next.
		return true
	default:
	}
	if !sameWork(d, nd) {
		n.o.Log.Warn("stopping: the server gave this node another task", "session", d.Session, "next", nd.Action)
		w.cancel(imaging.ErrReplaced)
		return true
	}
	if !sameCast(d.Cast, nd.Cast) {
		// The newest one counts; one that the restore has not come to yet is out of date.
		select {
		case <-w.casts:
		default:
		}
		w.casts <- nd.Cast
	}
	return false
}

// sameWork tells whether nd is d with at most another cast, so that what is on the disk already stays of use.
func sameWork(d, nd *session.Descriptor) bool {
	return nd.Action == session.Restore && nd.Session == d.Session && nd.Image.Manifest == d.Image.Manifest && *nd.Target == *d.Target
}

func sameCast(a, b *session.Cast) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.ID == b.ID && a.Group == b.Group && a.Feedback == b.Feedback && string(a.Key) == string(b.Key) && a.Payload == b.Payload && a.K == b.K
}

// restoreAndBoot reports how it went.
func (n *Node) restoreAndBoot(ctx context.Context, d *session.Descriptor, w *work) {
	result, err := n.guarded(ctx, d, w.casts)
	if !n.succeeded(ctx, d, err, "stopped before the disk was complete") {
		return
	}
	close(w.leaving)
	n.enter(ctx, result)
	n.boot(ctx, d, result)
}

// succeeded tells how the work of a descriptor ended: it reports a failure, and logs replaced when a newer descriptor took its place.
func (n *Node) succeeded(ctx context.Context, d *session.Descriptor, err error, replaced string) bool {
	// What the work held in memory makes room for a kernel.
	debug.FreeOSMemory()
	switch {
	case err == nil:
		return true
	case errors.Is(context.Cause(ctx), imaging.ErrReplaced):
		n.o.Log.Warn(replaced, "session", d.Session)
	case ctx.Err() == nil:
		n.fail(err)
	}
	return false
}

// guarded makes a panic in the restore, which would be a bug, a failure like others: with its place, on the server.
func (n *Node) guarded(ctx context.Context, d *session.Descriptor, casts <-chan *session.Cast) (r *imaging.Result, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the agent is broken, please report this: %v\n%s", p, debug.Stack())
		}
	}()
	return n.o.Restore(ctx, d, casts)
}
