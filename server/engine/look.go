package engine

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
)

// Prober sends packets to a multicast group, so that a node can say whether they arrive.
type Prober interface {
	// Probe sends packets with the text until ctx ends, and returns at once the group that they go to.
	Probe(ctx context.Context, text string) (netip.AddrPort, error)
}

// How long a node that was asked looks, in seconds, and how long its answer is waited for. A node asks for its
// descriptor all the time; it may say hello first.
const (
	lookListen = 8.0
	lookAnswer = 40 * time.Second
)

// castPacket is what a packet of a cast takes, in bytes: with its own header and tag, and those of UDP and IPv4.
const castPacket = payload + 24 + 16 + 8 + 20

// asked is a node's look that is waited for.
type asked struct {
	id     string
	answer chan *session.LookResult // of one
}

// LookFrom has a node that has nothing else to do look at its network, and returns what it says.
func (e *Engine) LookFrom(ctx context.Context, name string) (*doc.NodeLook, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, lookAnswer, errNoAnswer)
	defer cancel()
	id, a, err := e.askLook(ctx, name)
	if err != nil {
		return nil, err
	}
	defer e.endLook(id, a)
	begun := e.now()
	select {
	case r := <-a.answer:
		return &doc.NodeLook{Node: id, Asked: begun, Answered: e.now(), Look: *r}, nil
	case <-ctx.Done():
		if errors.Is(context.Cause(ctx), errNoAnswer) {
			return nil, refuse("node %s %w", id, errNoAnswer)
		}
		return nil, ctx.Err()
	}
}

var errNoAnswer = fmt.Errorf("did not say within %v what it sees: its agent may be older than this server (make the "+
	"boot "+
	"directory anew, and start the machine again), or it went away (`diskcast node show` says)", lookAnswer)

// askLook gives the node its descriptor.
func (e *Engine) askLook(ctx context.Context, name string) (string, *asked, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	n, err := e.find(name)
	if err != nil {
		return "", nil, err
	}
	if f := e.awayFor(n); f != nil {
		return "", nil, refuse("node %s cannot look: it is waited for %s", n.ID, f.Words())
	}
	if s := e.current(n); s != nil && s.Going() || n.Boot == "" || n.Descriptor != nil && !e.idles(n) {
		return "", nil, refuse("node %s works for session %s, and looks only while it has nothing to do", n.ID,
			n.Session)
	}
	if e.looks[n.ID] != nil {
		return "", nil, refuse("node %s is asked already: wait for that", n.ID)
	}
	a := &asked{id: rand.Text(), answer: make(chan *session.LookResult, 1)}
	l := &session.Look{ID: a.id, Packet: castPacket, Listen: lookListen}
	if e.cfg.Prober != nil {
		if l.Group, err = e.cfg.Prober.Probe(ctx, a.id); err != nil {
			e.log.Warn("no packets are sent for a node to look for", "node", n.ID, "err", err)
			l.Group = netip.AddrPort{}
		}
	}
	e.looks[n.ID] = a
	d := e.idleDescriptor(n)
	d.Look = l
	e.describe(n, d)
	return n.ID, a, nil
}

// endLook takes the look out of the node's descriptor: a node that comes back would look for nobody.
func (e *Engine) endLook(id string, a *asked) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.looks[id] == a {
		delete(e.looks, id)
	}
	if n := e.nodes[id]; n != nil && n.Descriptor != nil && n.Descriptor.Look != nil && n.Descriptor.Look.ID == a.id {
		d := *n.Descriptor // who was given it may still read it
		d.Look = nil
		n.Descriptor = &d
		e.saveNode(n)
	}
}

// Looked takes in what a node saw.
func (e *Engine) Looked(node string, r *session.LookResult) error {
	plain.AllWords(r, maxWord)
	e.mu.Lock()
	defer e.mu.Unlock()
	a := e.looks[node]
	if a == nil || a.id != r.ID {
		return refuse("nobody waits for this look of node %s any more", node)
	}
	delete(e.looks, node)
	a.answer <- r
	return nil
}
