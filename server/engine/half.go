package engine

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/fleet"
	"github.com/diskcast/diskcast/server/jobs"
	"github.com/diskcast/diskcast/server/netboot"
	"github.com/diskcast/diskcast/server/store"
	"github.com/diskcast/diskcast/server/store/record"
)

// A disk that a session left half-written is not started until another has written it whole. The mark of it is a record
// of its own, for it outlives the session, which is removed, and the node, which is forgotten.

// maxHalves bounds the marks: above it goes the oldest whose node is not there any more.
const maxHalves = doc.MaxNodes

// judge notes what a part that is over has left on its machine's disk.
func (e *Engine) judge(s *sess, p *doc.Part) {
	if !s.Kind.Traits().Writes || !p.Over() || untouched(p) {
		return
	}
	for o, q := range e.writers(p.Node) {
		if o == s {
			break
		}
		if !q.Over() || !untouched(q) {
			return // a later one has written to it since
		}
	}
	if !sound(s, p) {
		e.mark(s, p)
		return
	}
	part := partitionOf(s)
	for id, h := range e.halves {
		if part != "" && part != h.Partition {
			continue // the rest of the disk is as it was
		}
		if h.Node == p.Node || e.nodes[p.Node] != nil && e.isHalf(h, e.nodes[p.Node]) {
			delete(e.halves, id)
			e.w.Del(record.HalfPrefix + id)
		}
	}
}

// untouched reports whether the part's node never came so far as to choose a disk or to have a plan.
func untouched(p *doc.Part) bool { return p.Disk == nil && p.Planned.IsZero() }

// partitionOf is the only partition that the session writes, in words; empty for one that writes disks.
func partitionOf(s *sess) string {
	if s.Kind.Traits().Action != session.RestorePartition {
		return ""
	}
	job, err := session.ParsePartitionJob(s.Spec.Job)
	if err != nil {
		return "one that is not known"
	}
	return job.PartitionBy.String()
}

// sound reports whether what a part has written may be started: a whole system, the machine's own where it was to be
// that. What an erase that did not come to its end has left is no system either.
func sound(s *sess, p *doc.Part) bool {
	if p.State == doc.Done {
		return true
	}
	k, ok := s.Kind.(jobs.Sounder)
	return ok && k.Sound(s, p)
}

// mark notes that the machine's disk is not to be started.
func (e *Engine) mark(s *sess, p *doc.Part) {
	h := record.Half{Node: p.Node, Partition: partitionOf(s), Session: s.ID, Made: s.Created, Why: p.Left}
	if was := e.halves[p.Node]; was != nil && h.Partition != "" && was.Partition != h.Partition {
		return // it is more than that partition
	}
	if h.Why == "" {
		h.Why = fmt.Sprintf("it was %s when it had begun with the disk", p.State)
	}
	if n := e.nodes[p.Node]; n != nil {
		h.Board = record.DMI(fleet.BoardOf(n.Inventory.UUID, n.Inventory.Serial))
	}
	if len(e.halves) >= maxHalves && e.halves[p.Node] == nil {
		e.dropHalf()
	}
	e.halves[p.Node] = record.OfHalf(h, p.Disk)
	e.w.Put(record.HalfPrefix+p.Node, e.halves[p.Node])
}

func (e *Engine) dropHalf() {
	oldest := ""
	for id, h := range e.halves {
		if e.nodes[id] == nil && (oldest == "" || h.Made.Before(e.halves[oldest].Made)) {
			oldest = id
		}
	}
	if oldest == "" {
		return
	}
	e.log.Warn("too many half-written disks of machines that are gone: the oldest is forgotten", "node", oldest,
		"session", e.halves[oldest].Session)
	delete(e.halves, oldest)
	e.w.Del(record.HalfPrefix + oldest)
}

// isHalf reports whether the mark is of the node's machine: it has the same board, or the same NIC, unless that is one
// that several machines boot from.
func (e *Engine) isHalf(h *record.Half, n *node) bool {
	board, marked := fleet.BoardOf(n.Inventory.UUID, n.Inventory.Serial), fleet.Board(h.Board)
	whole := func(b fleet.Board) bool { return b.UUID != "" && b.Serial != "" }
	if whole(board) && board == marked {
		return true
	}
	if m := e.fleet.Of(n.ID); h.Node != n.ID && (m == nil || !slices.Contains(m.Nodes, h.Node)) {
		return false
	}
	return !whole(board) || !whole(marked) || len(e.fleet.Booted(n.MACs[0])) < 2
}

// half is the mark of the machine that asks from the NIC of the node's name, nil for none. n may be nil. Of machines
// that share a NIC it is not known yet which one asks.
func (e *Engine) half(name string, n *node) *record.Half {
	if h := e.halves[name]; h != nil || n == nil {
		return h
	}
	var found *record.Half
	for _, h := range e.halves {
		if e.isHalf(h, n) && (found == nil || found.Made.Before(h.Made)) {
			found = h
		}
	}
	return found
}

// halfOf is the mark of a machine, by its last NIC that anything is known of; nil for none.
func (e *Engine) halfOf(m *fleet.Machine) *record.Half {
	n, err := e.nodeOf(m)
	switch {
	case err == nil:
		return e.half(nameOf(n.MACs[0]), n)
	case len(m.Boots) > 0:
		return e.half(nameOf(m.Boots[len(m.Boots)-1]), nil)
	}
	return nil
}

// halfWords are said of a mark.
func halfWords(h *record.Half) string {
	return fmt.Sprintf("session %s left its disk so that it is not started: %s", h.Session, strings.TrimSpace(h.Why))
}

// healWords are the ways to end the mark.
func healWords(h *record.Half) string {
	return fmt.Sprintf("a session that writes it whole ends that; if the disk was made good otherwise, `diskcast node "+
		"forget %s --force` does", h.Node)
}

// loadHalves reads the marks. Of sessions of a version that kept none they are gathered after the sessions are loaded.
func (e *Engine) loadHalves(tx store.Tx) error {
	return walk(tx, record.HalfPrefix, func(id string, h *record.Half) error {
		e.halves[id] = h
		return nil
	})
}

// gatherHalves makes the marks of a state whose version kept none.
func (e *Engine) gatherHalves(ctx context.Context) error {
	known := false
	err := e.cfg.Store.View(ctx, func(tx store.Tx) error {
		return optional(store.GetJSON(tx, record.HalvesKnown, &known))
	})
	if err != nil || known {
		return err
	}
	for _, id := range e.jobs.Order() {
		s := e.jobs.Session(id)
		for _, p := range s.Parts {
			e.judge(s, p)
		}
	}
	e.w.Put(record.HalvesKnown, true)
	return nil
}

// ownDiskWords say why a machine that could be thought to start its own disk does not, or why it starts it in a slow
// way; empty where there is nothing to say.
func (e *Engine) ownDiskWords(m *fleet.Machine) string {
	n, err := e.nodeOf(m)
	if err != nil && len(m.Boots) == 0 {
		return ""
	}
	name := ""
	if err == nil {
		name = n.MACs[0]
	} else {
		name = m.Boots[len(m.Boots)-1]
	}
	f := e.bootFacts(name, n)
	idle := f
	idle.Works, idle.Wanted, idle.Chosen, idle.Spoiled = false, false, "", false
	h := e.half(nameOf(name), n)
	switch {
	case f.Works && !f.Claims:
		return ""
	case h != nil:
		return "not started: " + halfWords(h) + "; " + healWords(h)
	case f.Idle == netboot.IdleDefault && !f.Imaged:
		return "not started when nothing is asked of it: no session has given it an image since it was seen first, " +
			"or the last one left it otherwise; `diskcast machine set " + m.Title() + " --when-idle own-disk` starts " +
			"it all the same"
	case netboot.Decide(idle) != netboot.OwnDisk:
		return ""
	case f.Wanted:
		return "not started now: session " + e.wantedBy(cmp.Or(idOf(n), nameOf(name))).ID + " wants the machine"
	case f.Chosen == netboot.Memtest:
		return "not started at its next start, for which a memory test was chosen at its console"
	}
	if n != nil {
		if why := e.startOf(n).Firmware; why != "" {
			return "started by its firmware, which may try the network in other ways before: " + why
		}
	}
	return ""
}

func idOf(n *node) string {
	if n == nil {
		return ""
	}
	return n.ID
}
