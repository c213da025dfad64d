package engine

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/feed"
	"github.com/diskcast/diskcast/server/jobs"
	"github.com/diskcast/diskcast/server/store/record"
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
	macs, err := macsOf(&h.Inventory)
	if err != nil {
		return nil, err
	}
	if len(h.Boot) > maxBootID || len(h.Agent) > maxBootID {
		return nil, refuse("boot id or agent version is longer than %d bytes", maxBootID)
	}
	if !printable(h.Boot) || !printable(h.Agent) {
		return nil, refuse("boot id or agent version has characters that cannot be printed")
	}
	h.Inventory.BoundHardware() // before words are made harmless: an alias that is changed stands for another driver
	if !within(&h.Inventory, maxInventory) {
		return nil, refuse("inventory is larger than %d bytes", maxInventory)
	}
	long := trim(&h.Inventory)
	plain.AllWords(&h.Inventory, maxWord)
	h.Inventory.BoundSurvey()

	e.mu.Lock()
	if err := e.admit(macs, &h.Inventory, from); err != nil {
		e.mu.Unlock()
		return nil, err
	}
	if err := e.held(macs, h, from); err != nil {
		e.mu.Unlock()
		return nil, err
	}
	n, err := e.identify(macs, &h.Inventory)
	if err != nil {
		e.mu.Unlock()
		return nil, err
	}
	e.watchClock()
	now := e.now()
	rebooted, contested := n.Boot != h.Boot, false
	e.recognise(n, &h.Inventory)
	if rebooted {
		addr := ""
		if from.IsValid() {
			addr = from.String()
		}
		contested = e.newBoot(n, h.Boot, addr)
	}
	n.speak(now)
	e.news[n.ID] = n
	n.lost = ""
	n.survey(&h.Inventory, now)
	n.Inventory, n.Agent, n.Problem = h.Inventory, h.Agent, diskProblem(&h.Inventory)
	if from.IsValid() {
		e.forgetAddr(n)
		n.Addr = from.String()
		e.byAddr[from] = macs[0]
	}
	e.sight(n, &h.Inventory, rebooted) // before its part is given to it: it may be another machine's
	e.news[n.ID] = n
	if rebooted {
		if _, ok := n.Trace[session.StepAgent]; ok || n.Trace == nil {
			n.Trace = map[string]doc.Mark{} // this boot did not come through our DHCP
		}
		n.Trace[session.StepAgent] = doc.Mark{Time: now}
		n.Chosen = nil // it has started since
		e.saveSeen(n)
		if contested {
			e.step(jobs.CameBack{Node: n.ID})
		} else {
			e.step(jobs.Greeted{Node: n.ID})
		}
	}
	if long != "" {
		e.warn(n, oddLists, long)
	}
	n.Where = doc.Ready
	e.news[n.ID] = n
	e.adopt(n)
	e.join(n)
	e.tellWaiting(n)
	e.saveNode(n)
	reply := &session.HelloReply{V: session.Version, Node: n.ID, Token: e.token(n.ID, n.Boot)}
	e.mu.Unlock()
	if err := e.w.Wait(ctx); err != nil {
		return nil, err
	}
	e.log.Info("hello", "node", reply.Node, "addr", from, "reboot", rebooted, "agent", h.Agent)
	return reply, nil
}

func printable(s string) bool { return plain.Line(s, 0) == s }

// addNode makes a node of the name, whose boot NIC has the address.
func (e *Engine) addNode(id, mac string) *node {
	now := e.now()
	n := &node{first: 1, next: 1}
	n.Node = doc.Node{ID: id, MACs: []string{mac}, FirstSeen: now, LastSeen: now}
	e.nodes[n.ID] = n
	e.byMAC[mac] = n.ID
	e.fleet.Stub(id, mac)
	e.saveMachines()
	return n
}

// forgetAddr forgets whose the node's address is.
func (e *Engine) forgetAddr(n *node) {
	if a, err := netip.ParseAddr(n.Addr); err == nil && slices.Contains(n.MACs, e.byAddr[a]) {
		delete(e.byAddr, a)
	}
}

func (e *Engine) removeNode(n *node) {
	e.forgetAddr(n)
	for i := n.first; i < n.next; i++ {
		e.w.Del(record.EventKey(n.ID, i))
	}
	e.w.Del(record.NodePrefix + n.ID)
	e.w.Del(record.SeenPrefix + n.ID)
	delete(e.nodes, n.ID)
	delete(e.news, n.ID)
	e.feed.Gone(feed.Key{Node: n.ID})
	e.step(jobs.Forgotten{Node: n.ID})
	e.fleet.Forget(n.ID, n.MACs[0])
	e.saveMachines()
	for _, m := range n.MACs {
		if e.byMAC[m] == n.ID {
			delete(e.byMAC, m)
		}
	}
	n.wake()
}

// Forget removes a node that has no part in a running session. That its disk is half-written is forgotten only by
// force, also of a node that is not there any more.
func (e *Engine) Forget(ctx context.Context, name string, force bool) error {
	e.mu.Lock()
	n, err := e.find(name)
	gone := ""
	if id, bad := doc.NodeID(name); err != nil && bad == nil && e.halves[id] != nil {
		gone, err = id, nil
	}
	var marks []string
	for id, h := range e.halves {
		if n != nil && (id == n.ID || e.isHalf(h, n)) || id == gone {
			marks = append(marks, id)
		}
	}
	switch {
	case err != nil:
	case n != nil && e.current(n) != nil:
		err = refuse("node %s has a part in session %s; cancel that first", n.ID, n.Session)
	case len(marks) > 0 && !force:
		h := e.halves[slices.Min(marks)]
		err = refuse("node %s is not forgotten: %s; forgotten, that disk could be started when the machine comes "+
			"back: %s", h.Node, halfWords(h), healWords(h))
	default:
		if err = e.storeForgotten(ctx, n, marks); err != nil {
			err = fmt.Errorf("node %s was not forgotten: %w", name, err)
			break
		}
		for _, id := range marks {
			delete(e.halves, id)
			e.w.Del(record.HalfPrefix + id)
		}
		if n != nil {
			e.removeNode(n)
		}
	}
	e.mu.Unlock()
	return err
}

// saveNode stores a node, and what sessions have made of it.
func (e *Engine) saveNode(n *node) {
	if j := e.jobs.Node(n.ID); j != nil {
		n.Session, n.Last, n.Imaged, n.Claim = j.Session, j.Last, j.Imaged, j.Claim
	}
	e.news[n.ID] = n
	e.w.Put(record.NodePrefix+n.ID, n.record())
	e.feed.Touch(feed.Key{Node: n.ID})
}

// describe writes a new descriptor for the node and wakes those who wait for it.
func (e *Engine) describe(n *node, d *session.Descriptor) {
	n.Serial++
	d.V, d.Node, d.Serial = session.Version, n.ID, n.Serial
	if m := e.machineFor(n.ID); m != nil {
		d.Name = m.Name
	}
	n.Descriptor = d
	if d.Action != session.Idle {
		n.Inventory.Starts = nil // whatever it does may change it; the agent tells it anew
	}
	n.wake()
	e.saveNode(n)
}

// MayRead reports whether the digest is a blob, or the manifest, of an image that the node's descriptor names.
func (e *Engine) MayRead(id, digest string) bool {
	e.mu.Lock()
	n := e.nodes[id]
	var manifests []string
	if n != nil && n.Descriptor != nil && n.Descriptor.Image != nil {
		for i := range n.Descriptor.Disks() {
			manifests = append(manifests, n.Descriptor.OfDisk(i).Image.Manifest)
		}
	}
	e.mu.Unlock()
	for _, m := range manifests {
		if digest == m {
			return true
		}
	}
	for _, m := range manifests {
		if blobs, err := e.cfg.Images.Blobs(m); err == nil && slices.Contains(blobs, digest) {
			return true
		}
	}
	return false
}
