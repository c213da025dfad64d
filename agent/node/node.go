// Package node is the life of a node after it has a network: wait for a descriptor, do what it says, report, and wait
// for the next one. A failure is an event and never an end: the node stays where the operator can reach it.
//
// What a descriptor asks for is an Action: a folder of its own, and one line in the map that the node is made with.
// This package knows none of them. It starts them, gives them the descriptors that come meanwhile, ends them when the
// server wants something else, reports how they failed, and lets them leave the machine.
package node

import (
	"context"
	"log/slog"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/internal/waiting"
)

// API is where descriptors come from.
type API interface {
	// Descriptor waits up to about wait for one with a serial above after; nil when there is none.
	Descriptor(ctx context.Context, after uint64, wait time.Duration) (*session.Descriptor, error)
}

// Reporter takes the node's events.
type Reporter interface {
	Step(step, level, message string, p *session.Progress)
	// Session names the session that further events belong to.
	Session(id string)
	// Flush waits until the server has accepted every event.
	Flush(ctx context.Context) error
}

// Machine leaves the network userland.
type Machine interface {
	// Reboot and Poweroff return only when they failed.
	Reboot() error
	Poweroff() error
}

// Options of a node.
type Options struct {
	API     API
	Report  Reporter
	Machine Machine
	// Actions is what the node can do, by the descriptor's action. It always knows session.Idle.
	Actions map[string]Action
	// Look looks at the network, while the node has nothing to do, and tells the server what it saw; nil: it cannot.
	Look func(ctx context.Context, l *session.Look)
	// Menu shows a menu until ctx ends, while the node has nothing to do; nil: it cannot.
	Menu func(ctx context.Context, m *session.Menu, exit *Exit)
	// Failing is called when a job has failed, before that is told; nil: nothing is.
	Failing func()
	// Beat is called again and again as long as the node asks for descriptors, or has one that waits; nil: nothing is.
	Beat func()
	Log  *slog.Logger // nil discards
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
	menu  shown
}

// shown is the menu that is on the node's consoles; the zero value is none.
type shown struct {
	id    string
	end   context.CancelFunc
	ended chan struct{}
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
	if o.Failing == nil {
		o.Failing = func() {}
	}
	if o.Beat == nil {
		o.Beat = func() {}
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
	defer n.noMenu()
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
	said, idle := "", false
	for ctx.Err() == nil {
		n.o.Beat()
		d, err := n.o.API.Descriptor(ctx, after, n.o.Wait)
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			if err.Error() != said {
				said = err.Error()
				n.o.Log.Error("the server's descriptor cannot be followed; asking again", "every", n.o.Retry, "error",
					err)
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
		if d == nil && after == 0 && !idle {
			idle = true
			n.o.Log.Info("waiting for " + forWork())
		}
		if d == nil || d.Serial <= after {
			continue
		}
		after = d.Serial
		n.hand(ctx, d)
	}
}

// beat is how often a node that waits says that it lives.
const beat = time.Minute

// hand gives a descriptor to whoever carries them out. Some work cannot be ended at once: a disk that erases itself.
func (n *Node) hand(ctx context.Context, d *session.Descriptor) {
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for {
		select {
		case n.descs <- d:
			return
		case <-ctx.Done():
			return
		case <-tick.C:
			n.o.Beat()
		}
	}
}

// obey carries out one descriptor. It returns the one that took its place meanwhile, if any.
func (n *Node) obey(ctx context.Context, d *session.Descriptor) (next *session.Descriptor) {
	n.o.Report.Session(d.Session)
	if d.Action == session.Idle {
		n.offer(ctx, d.Menu)
		if d.Look != nil && n.o.Look != nil {
			go n.o.Look(ctx, d.Look) // ends with ctx at the latest
			return nil               // what it waits for was said before
		}
		if d.Why != "" {
			n.o.Log.Warn("waiting for " + d.Why)
			return nil
		}
		n.o.Log.Info("waiting for " + forWork())
		return nil
	}
	n.noMenu() // the consoles may be the action's
	begin, known := n.o.Actions[d.Action]
	if !known {
		n.fail(unknown(d.Action))
		return nil
	}
	return n.carryOut(ctx, d, begin)
}

// offer has the menu on the consoles; nil: none. One that is there already stays as it is.
func (n *Node) offer(ctx context.Context, m *session.Menu) {
	if m != nil && n.menu.id == m.ID {
		return
	}
	n.noMenu()
	if m == nil || n.o.Menu == nil {
		return
	}
	ctx, end := context.WithCancel(ctx)
	n.menu = shown{id: m.ID, end: end, ended: make(chan struct{})}
	go func(ended chan struct{}) { // ends with ctx, which noMenu ends at the latest
		defer close(ended)
		n.o.Menu(ctx, m, n.exit())
	}(n.menu.ended)
}

// noMenu takes the menu away, and waits until the consoles are free.
func (n *Node) noMenu() {
	if n.menu.end != nil {
		n.menu.end()
		<-n.menu.ended
	}
	n.menu = shown{}
}

// forWork is what a node waits for that the server has nothing for.
func forWork() string { return (&waiting.For{Cause: waiting.Work}).Words() }
