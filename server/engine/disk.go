package engine

import (
	"context"
	"fmt"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/internal/session"
)

// ChooseDisk records which disk the node's plan chose in its session. The first plan counts, for as long as the session lasts; it is
// returned, and durable then.
func (e *Engine) ChooseDisk(ctx context.Context, id string, c *session.DiskChoice) (session.DiskID, error) {
	plain.Strings(&c.Disk, maxWord)
	e.mu.Lock()
	n := e.nodes[id]
	if n == nil {
		e.mu.Unlock()
		return session.DiskID{}, fmt.Errorf("node %s: %w", id, ErrNotFound)
	}
	s := e.current(n)
	if s == nil || s.ID != c.Session {
		e.mu.Unlock()
		return session.DiskID{}, fmt.Errorf("session %s of node %s: %w: it is over", c.Session, id, ErrNotFound)
	}
	p := s.parts[id]
	if p.Disk == nil {
		disk := c.Disk
		p.Disk = &disk
		e.savePart(s, id)
		e.log.Info("disk chosen", "session", s.ID, "node", id, "disk", disk.Words())
	}
	// The descriptor says it from the node's next boot on; what the node has now stays the same piece of work.
	if d := n.Descriptor; d != nil && d.Session == s.ID && d.Disk == nil {
		with := *d
		with.Disk = p.Disk
		n.Descriptor = &with
		e.saveNode(n)
	}
	first := *p.Disk
	e.mu.Unlock()
	return first, e.w.wait(ctx)
}

// diskProblem says why a node has no disk that a session would take by itself; empty when it has one.
func diskProblem(inv *session.Inventory) string {
	loose := false
	for i := range inv.Disks {
		if !inv.Disks[i].Loose() {
			return ""
		}
		loose = true
	}
	if loose {
		return "it has only removable or USB disks, which a session takes only when its rule names them; if it has another disk, its driver may be missing in the boot directory"
	}
	return "it has no disk: a driver may be missing in the boot directory, or the controller is off in the firmware setup"
}
