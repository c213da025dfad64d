package engine

import (
	"context"
	"fmt"
	"slices"

	"github.com/diskcast/diskcast/internal/diskrule"
	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/jobs"
	"github.com/diskcast/diskcast/server/store/keeper"
)

// ChooseDisk is Choice, and waits until it is durable.
func (e *Engine) ChooseDisk(ctx context.Context, id string, c *session.DiskChoice) (session.DiskID, error) {
	first, b, err := e.Choice(id, c)
	if err != nil {
		return session.DiskID{}, err
	}
	return first, e.w.WaitFor(ctx, b)
}

// Choice records which disk the node's plan chose in its session. The first plan counts, for as long as the session
// lasts; it is returned, and durable when the batch is.
func (e *Engine) Choice(id string, c *session.DiskChoice) (session.DiskID, *keeper.Batch, error) {
	plain.AllWords(&c.Disk, maxWord)
	e.mu.Lock()
	defer e.mu.Unlock()
	n := e.nodes[id]
	if n == nil {
		return session.DiskID{}, nil, fmt.Errorf("node %s: %w", id, ErrNotFound)
	}
	s := e.current(n)
	if s == nil || s.ID != c.Session {
		return session.DiskID{}, nil, fmt.Errorf("session %s of node %s: %w: it is over", c.Session, id, ErrNotFound)
	}
	if c.Of >= s.Disks() {
		return session.DiskID{}, nil, refuse("session %s writes %d disks of a machine: it has no disk %d", s.ID,
			s.Disks(), c.Of+1)
	}
	p := s.Parts[id]
	err := holds(n, s, c)
	if err == nil && c.Of == 0 && p.Confirmed != nil && !same(p.Confirmed, &c.Disk) {
		err = refuse("%s was agreed to at this machine's console, and the rule means %s now: choose again",
			p.Confirmed.Words(), c.Disk.Words())
	}
	if jobs.DiskOf(p, c.Of) == nil && err != nil {
		e.warn(n, oddDisk, "a disk was named as this session's, and refused: "+err.Error())
		return session.DiskID{}, nil, err
	}
	if jobs.DiskOf(p, c.Of) == nil {
		e.step(jobs.ChoseDisk{Node: id, Disk: c.Disk, Of: c.Of})
	}
	// The descriptor says it from the node's next boot on; what the node has now stays the same piece of work.
	if d := n.Descriptor; d != nil && d.Session == s.ID && c.Of < d.Disks() && d.OfDisk(c.Of).Disk == nil {
		with := *d
		if c.Of == 0 {
			with.Disk = p.Disk
		} else {
			with.MoreDisks = slices.Clone(d.MoreDisks)
			with.MoreDisks[c.Of-1].Disk = jobs.DiskOf(p, c.Of)
		}
		n.Descriptor = &with
		e.saveNode(n)
	}
	first := *jobs.DiskOf(p, c.Of)
	return first, e.w.Last(), nil
}

// holds says why a node cannot have chosen the disk in the session: it has no such disk, the session's rule means
// another of its disks, or the session has chosen it for another image.
func holds(n *node, s *sess, c *session.DiskChoice) error {
	id := &c.Disk
	disks := slices.Clone(n.Inventory.Disks)
	i := slices.IndexFunc(disks, func(d session.Disk) bool { return id.Is(&d) })
	if i < 0 {
		return refuse("%s is not among the disks that node %s has told of", id.Words(), n.ID)
	}
	if s.Upload != nil {
		for j := range disks {
			disks[j].ReadOnly = false // enough for reading
		}
	}
	if err := diskrule.Holds(disks, &disks[i], s.Spec.Targets()[c.Of]); err != nil {
		return refuse("%w", err)
	}
	for other := range s.Disks() {
		if d := jobs.DiskOf(s.Parts[n.ID], other); other != c.Of && d != nil && d.Is(&disks[i]) {
			return refuse("%s is disk %d of the session on node %s already, and gets one image only", id.Words(),
				other+1,
				n.ID)
		}
	}
	return nil
}

// same reports whether two names are of one disk, whatever the kernel calls it now.
func same(a, b *session.DiskID) bool {
	x, y := *a, *b
	x.Path, y.Path = "", ""
	return x == y
}

// diskProblem says why a node has no disk that a session would take by itself; empty when it has one.
func diskProblem(inv *session.Inventory) string {
	loose := false
	unfit := ""
	for i := range inv.Disks {
		switch d := &inv.Disks[i]; {
		case d.Unfit != "":
			unfit = d.Path + " is " + d.Unfit
		case !d.Loose():
			return ""
		default:
			loose = true
		}
	}
	if loose {
		return "it has only removable or USB disks, which a session takes only when its rule names them; if it has " +
			"another disk, its driver may be missing in the boot directory"
	}
	if unfit != "" {
		return "it has no disk that an image can go to: " + unfit + "; if it has another disk, its driver may be " +
			"missing in the boot directory"
	}
	return "it has no disk: a driver may be missing in the boot directory, or the controller is off in the firmware " +
		"setup"
}
