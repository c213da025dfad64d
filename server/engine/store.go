package engine

import (
	"context"
	"fmt"
	"maps"

	"github.com/diskcast/diskcast/server/feed"
	"github.com/diskcast/diskcast/server/store/record"
)

// What an operator asks for is stored before anything of it is done, under the engine's lock, so that what is refused
// has not happened. It is rare enough for that; what nodes report goes a moment later.

// storeNew stores a session that nobody knows yet, its parts and its number.
func (e *Engine) storeNew(ctx context.Context, s *sess) error {
	s.Owner = e.cfg.Server
	records := map[string]any{record.Seq: e.seq, record.SessPrefix + s.ID: recordOf(s)}
	for id, p := range s.Parts {
		records[record.PartKey(s.ID, id)] = record.OfPart(p)
	}
	return e.w.Write(ctx, records)
}

// storeForgotten takes a node, if it is not nil, and the marks of half-written disks out of the store.
func (e *Engine) storeForgotten(ctx context.Context, n *node, marks []string) error {
	records := map[string]any{}
	for _, id := range marks {
		records[record.HalfPrefix+id] = nil
	}
	if n != nil {
		records[record.SeenPrefix+n.ID], records[record.NodePrefix+n.ID] = nil, nil
		for i := n.first; i < n.next; i++ {
			records[record.EventKey(n.ID, i)] = nil
		}
	}
	return e.w.Write(ctx, records)
}

// storeMachines stores what changed of machines, and more records, all or nothing: when it cannot, the machines are as
// they were.
func (e *Engine) storeMachines(ctx context.Context, more map[string]any) error {
	records := e.machineRecords()
	maps.Copy(records, more)
	if err := e.w.Write(ctx, records); err != nil {
		e.fleet.Revert()
		return fmt.Errorf("nothing was changed: %w", err)
	}
	e.saveMachines() // again, behind what was on its way to the store before
	return nil
}

// saveMachines has what changed of machines stored soon.
func (e *Engine) saveMachines() {
	for key, v := range e.machineRecords() {
		e.w.Put(key, v)
	}
	for _, id := range e.fleet.Changes() {
		if e.fleet.Get(id) != nil {
			e.feed.Touch(feed.Key{Machine: id})
		} else {
			e.feed.Gone(feed.Key{Machine: id})
		}
	}
	e.fleet.Settle()
}

// machineRecords are the records of what changed of machines; nil ones are there no more.
func (e *Engine) machineRecords() map[string]any {
	records := map[string]any{}
	for _, id := range e.fleet.Changes() {
		records[record.MachineSeq], records[record.MachinePrefix+id] = e.fleet.Seq(), nil
		if m := e.fleet.Get(id); m != nil {
			records[record.MachinePrefix+id] = record.OfMachine(m)
		}
	}
	return records
}
