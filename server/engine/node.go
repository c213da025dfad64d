package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/model"
)

// Bounds on what a node may say of itself.
const (
	maxInventory = 64 << 10 // bytes of JSON
	maxBootID    = 128
	maxWord      = 512  // bytes of a string of the inventory; a longer one is cut
	maxStubs     = 1024 // nodes that asked for boot files and never said hello
)

// Hello makes or finds the node, and gives it its part in a session if there is one for it.
func (e *Engine) Hello(ctx context.Context, h *session.Hello, from netip.Addr) (*session.HelloReply, error) {
	macs := macsOf(&h.Inventory)
	if len(macs) == 0 {
		return nil, refuse("hello names no NIC with a MAC address")
	}
	if len(h.Boot) > maxBootID || len(h.Agent) > maxBootID {
		return nil, refuse("boot id or agent version is longer than %d bytes", maxBootID)
	}
	if !printable(h.Boot) || !printable(h.Agent) {
		return nil, refuse("boot id or agent version has characters that cannot be printed")
	}
	if b, err := json.Marshal(h.Inventory); err != nil || len(b) > maxInventory {
		return nil, refuse("inventory is larger than %d bytes", maxInventory)
	}
	plain.Strings(&h.Inventory, maxWord)

	e.mu.Lock()
	n, err := e.findOrAdd(macs)
	if err != nil {
		e.mu.Unlock()
		return nil, err
	}
	now := e.now()
	rebooted := n.Boot != h.Boot
	n.Inventory, n.Agent, n.LastSeen, n.Problem = h.Inventory, h.Agent, now, diskProblem(&h.Inventory)
	if from.IsValid() {
		n.Addr = from.String()
		e.byAddr[from] = macs[0]
	}
	if rebooted {
		n.Boot, n.seen, n.zero = h.Boot, window{}, time.Time{}
		if _, ok := n.Trace[session.StepAgent]; ok || n.Trace == nil {
			n.Trace = map[string]model.Mark{} // this boot did not come through our DHCP
		}
		n.Trace[session.StepAgent] = model.Mark{Time: now}
		e.w.put(seenPrefix+n.ID, seenRecord{Boot: n.Boot})
		e.greet(n)
	}
	n.Where = model.Ready
	e.adopt(n)
	e.join(n)
	e.saveNode(n)
	reply := &session.HelloReply{V: session.Version, Node: n.ID, Token: e.token(n.ID, n.Boot)}
	e.mu.Unlock()
	if err := e.w.wait(ctx); err != nil {
		return nil, err
	}
	e.log.Info("hello", "node", reply.Node, "addr", from, "reboot", rebooted, "agent", h.Agent)
	return reply, nil
}

func printable(s string) bool { return plain.Line(s, 0) == s }

// macsOf returns the valid MAC addresses of an inventory, the boot NIC's first.
func macsOf(inv *session.Inventory) []string {
	var macs []string
	for _, boot := range []bool{true, false} {
		for _, nic := range inv.NICs {
			if nic.Boot != boot {
				continue
			}
			id, err := model.NodeID(nic.MAC)
			mac := strings.ReplaceAll(id, "-", ":")
			if err == nil && mac != "00:00:00:00:00:00" && !slices.Contains(macs, mac) {
				macs = append(macs, mac)
			}
		}
	}
	return macs
}

// findOrAdd returns the node that owns one of the addresses. The NIC that it booted from counts first.
func (e *Engine) findOrAdd(macs []string) (*node, error) {
	var n *node
	for _, m := range macs {
		if id, ok := e.byMAC[m]; ok {
			n = e.nodes[id]
			break
		}
	}
	if n == nil {
		if len(e.nodes) >= model.MaxNodes {
			return nil, refuse("this server knows %d nodes already; `diskcast node forget` removes one", len(e.nodes))
		}
		n = e.addNode(macs[0])
	}
	for _, m := range macs {
		other, taken := e.byMAC[m]
		if taken && other != n.ID {
			if e.nodes[other].Boot != "" {
				continue // another machine's, known by a hello: a dongle that was passed on
			}
			e.removeNode(e.nodes[other])
		}
		e.byMAC[m] = n.ID
	}
	n.MACs = n.MACs[:0]
	for _, m := range macs {
		if e.byMAC[m] == n.ID {
			n.MACs = append(n.MACs, m)
		}
	}
	return n, nil
}

// adopt gives the node the parts that name it by another of its MAC addresses.
func (e *Engine) adopt(n *node) {
	for _, sid := range e.order {
		s := e.sessions[sid]
		if s.Over() {
			continue
		}
		for _, m := range n.MACs {
			alias := strings.ReplaceAll(m, ":", "-")
			p := s.parts[alias]
			if p == nil || alias == n.ID || !p.Joined.IsZero() {
				continue
			}
			delete(s.parts, alias)
			e.w.del(partPrefix + s.ID + "/" + alias)
			i := slices.Index(s.order, alias)
			if s.parts[n.ID] != nil { // named twice
				s.order = slices.Delete(s.order, i, i+1)
				continue
			}
			s.order[i] = n.ID
			p.Node = n.ID
			s.parts[n.ID] = p
			e.savePart(s, n.ID)
		}
	}
}

func (e *Engine) addNode(mac string) *node {
	now := e.now()
	n := &node{first: 1, next: 1, changed: make(chan struct{})}
	n.Node = model.Node{ID: strings.ReplaceAll(mac, ":", "-"), MACs: []string{mac}, FirstSeen: now, LastSeen: now}
	e.nodes[n.ID] = n
	e.byMAC[mac] = n.ID
	return n
}

func (e *Engine) removeNode(n *node) {
	for i := n.first; i < n.next; i++ {
		e.w.del(eventKey(n.ID, i))
	}
	e.w.del(nodePrefix + n.ID)
	e.w.del(seenPrefix + n.ID)
	delete(e.nodes, n.ID)
	for m, id := range e.byMAC {
		if id == n.ID {
			delete(e.byMAC, m)
		}
	}
	close(n.changed)
}

// Forget removes a node that has no part in a running session.
func (e *Engine) Forget(ctx context.Context, name string) error {
	e.mu.Lock()
	n, err := e.find(name)
	switch {
	case err != nil:
	case e.current(n) != nil:
		err = refuse("node %s has a part in session %s; cancel that first", n.ID, n.Session)
	default:
		if err = e.storeForgotten(ctx, n); err != nil {
			err = fmt.Errorf("node %s was not forgotten: %w", n.ID, err)
			break
		}
		e.removeNode(n)
	}
	e.mu.Unlock()
	return err
}

func (e *Engine) saveNode(n *node) { e.w.put(nodePrefix+n.ID, n.nodeRecord) }

// describe writes a new descriptor for the node and wakes those who wait for it.
func (e *Engine) describe(n *node, d *session.Descriptor) {
	n.Serial++
	d.V, d.Node, d.Serial = session.Version, n.ID, n.Serial
	n.Descriptor = d
	close(n.changed)
	n.changed = make(chan struct{})
	e.saveNode(n)
}

// idle tells the node that no session has a part for it.
func (e *Engine) idle(n *node) {
	if n.Descriptor != nil && n.Descriptor.Action != session.Idle {
		e.describe(n, &session.Descriptor{Action: session.Idle})
	}
}

// Descriptor returns the node's descriptor when its serial is above after, waiting for one at most so long; nil when
// there is none. What it returns is durable.
func (e *Engine) Descriptor(ctx context.Context, id string, after uint64, wait time.Duration) (*session.Descriptor, error) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		e.mu.Lock()
		n := e.nodes[id]
		if n == nil {
			e.mu.Unlock()
			return nil, fmt.Errorf("node %s: %w", id, ErrNotFound)
		}
		d, changed := n.Descriptor, n.changed
		n.LastSeen = e.now()
		e.mu.Unlock()
		if d != nil && d.Serial > after {
			if err := e.w.wait(ctx); err != nil {
				return nil, err
			}
			return d, nil
		}
		select {
		case <-changed:
		case <-timer.C:
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// MayRead reports whether the digest is a blob, or the manifest, of the image that the node's descriptor names.
func (e *Engine) MayRead(id, digest string) bool {
	e.mu.Lock()
	n := e.nodes[id]
	manifest := ""
	if n != nil && n.Descriptor != nil && n.Descriptor.Image != nil {
		manifest = n.Descriptor.Image.Manifest
	}
	e.mu.Unlock()
	if manifest == "" {
		return false
	}
	if digest == manifest {
		return true
	}
	blobs, err := e.cfg.Images.Blobs(manifest)
	return err == nil && slices.Contains(blobs, digest)
}
