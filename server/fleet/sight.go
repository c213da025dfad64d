package fleet

import (
	"cmp"
	"iter"
	"maps"
	"slices"
	"strconv"
	"time"
)

// Sight takes a sighting in: the machine that it is of, a new one if need be, has the node from then on.
func (f *Fleet) Sight(s Sighting, now time.Time) Verdict {
	v := f.Weigh(s)
	if v.Rule == Untold {
		f.detach(s.Node)
		return v
	}
	if v.Machine == "" {
		v.Machine = f.make(now)
	}
	f.attach(v.Machine, s, now)
	f.bound(s.Boot)
	return v
}

func (f *Fleet) make(now time.Time) string {
	f.seq++
	m := &Machine{ID: "m" + strconv.FormatUint(f.seq, 10), Made: now}
	f.put(m)
	return m.ID
}

// attach makes the node a sighting of the machine, and of no other.
func (f *Fleet) attach(id string, s Sighting, now time.Time) {
	if f.byNode[s.Node] != id {
		f.detach(s.Node)
	}
	m := f.machines[id].clone()
	if m.Approval != nil && m.Seen.IsZero() {
		m.Approval = m.Approval.first(s)
	}
	m.Seen = now
	m.Boots = latest(m.Boots, s.Boot, maxBoots)
	m.NICs = slices.Clone(s.MACs[:min(len(s.MACs), maxNICs)])
	m.Boards = withBoard(m.Boards, s.Board)
	m.Nodes = append(slices.DeleteFunc(m.Nodes, func(n string) bool { return n == s.Node }), s.Node)
	f.put(m)
}

// latest adds to a list, and takes the oldest but the first out of one that is too long: what a machine began with is
// the least likely to be forged.
func latest(l []string, s string, most int) []string {
	if slices.Contains(l, s) {
		return l
	}
	if l = append(l, s); len(l) > most {
		l = slices.Delete(l, 1, 1+len(l)-most)
	}
	return l
}

// withBoard adds a board as the last one. One of which only a part was known becomes the one that is known in full.
func withBoard(l []Board, b Board) []Board {
	if b == (Board{}) {
		return l
	}
	l = slices.DeleteFunc(l, func(o Board) bool {
		return (o.UUID == b.UUID || o.UUID == "") && (o.Serial == b.Serial || o.Serial == "")
	})
	if slices.ContainsFunc(l, func(o Board) bool {
		return (b.UUID == "" || b.UUID == o.UUID) && (b.Serial == "" || b.Serial == o.Serial)
	}) {
		return l
	}
	if l = append(l, b); len(l) > maxBoards {
		l = slices.Delete(l, 1, 1+len(l)-maxBoards)
	}
	return l
}

// detach makes the node a sighting of no machine. The machine stays: what it is known by tells it from others.
func (f *Fleet) detach(node string) {
	if m := f.Of(node); m != nil {
		m = m.clone()
		m.Nodes = slices.DeleteFunc(m.Nodes, func(n string) bool { return n == node })
		f.put(m)
	}
}

// Stub makes a node that has not said hello a sighting of the one machine that boots from its NIC, if there is one.
func (f *Fleet) Stub(node, mac string) {
	if owners := f.Booted(mac); len(owners) == 1 && f.byNode[node] == "" {
		m := owners[0].clone()
		m.Nodes = append(m.Nodes, node)
		f.put(m)
	}
}

// Forget forgets a sighting, which booted from the NIC. Its machine goes with the last one, unless the operator entered
// something of it; so do those that were never seen but at that NIC, and are not there any more.
func (f *Fleet) Forget(node, mac string) {
	m := f.Of(node)
	f.detach(node)
	gone := f.Booted(mac)
	if m != nil {
		gone = append(gone, f.machines[m.ID])
	}
	for _, x := range gone {
		if f.isLoose(x) && (m != nil && x.ID == m.ID || len(x.Boots) == 1) {
			f.drop(x.ID)
		}
	}
}

// Keep forgets sightings of nodes that are not there: those that went while what is stored was not.
func (f *Fleet) Keep(there func(node string) bool) {
	for _, node := range slices.Sorted(maps.Keys(f.byNode)) {
		if !there(node) {
			f.Forget(node, "")
		}
	}
}

// bound forgets those machines seen longest ago that no node is of and nobody entered anything of, of all and of those
// that boot from the NIC: a NIC that many use leaves one behind for each, and so does whoever makes them up.
func (f *Fleet) bound(mac string) {
	if f.loose > maxLoose {
		f.thin(maps.Keys(f.machines), maxLoose*9/10)
	}
	if f.byBoot[mac].size() > maxShare {
		f.thin(f.byBoot[mac].all(), maxShare*9/10)
	}
}

// thin leaves so many loose machines of those with the ids.
func (f *Fleet) thin(ids iter.Seq[string], most int) {
	var l []*Machine
	for id := range ids {
		if m := f.machines[id]; f.isLoose(m) {
			l = append(l, m)
		}
	}
	slices.SortFunc(l, func(a, b *Machine) int {
		return cmp.Or(a.Seen.Compare(b.Seen), cmp.Compare(Number(a.ID), Number(b.ID)))
	})
	for _, m := range l[:max(0, len(l)-most)] {
		f.drop(m.ID)
	}
}
