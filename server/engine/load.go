package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/diskcast/diskcast/server/jobs"
	"github.com/diskcast/diskcast/server/model"
	"github.com/diskcast/diskcast/server/state"
)

// load reads everything but the events, of which only the numbers are kept in memory.
func (e *Engine) load(ctx context.Context) error {
	err := e.cfg.Store.Update(ctx, func(tx state.WriteTx) error {
		err := state.GetJSON(tx, keySecret, &e.secret)
		if errors.Is(err, state.ErrNotFound) {
			e.secret = newSecret()
			err = state.PutJSON(tx, keySecret, e.secret)
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := e.read(ctx); err != nil {
		return err
	}
	return e.distrust(ctx)
}

func (e *Engine) read(ctx context.Context) error {
	return e.cfg.Store.View(ctx, func(tx state.Tx) error {
		if err := state.GetJSON(tx, keySeq, &e.seq); err != nil && !errors.Is(err, state.ErrNotFound) {
			return err
		}
		err := walk(tx, nodePrefix, func(id string, r *nodeRecord) error {
			n := &node{nodeRecord: *r, first: 1, next: 1, changed: make(chan struct{})}
			if n.Form < recordForm {
				_, fetched := n.Trace[model.StepKernel]
				n.Booted, n.Worked, n.Form = fetched, n.Last != "" || n.Session != "", recordForm
			}
			e.nodes[id] = n
			for _, m := range n.MACs {
				e.byMAC[m] = id
			}
			return nil
		})
		if err != nil {
			return err
		}
		err = walk(tx, seenPrefix, func(id string, r *seenRecord) error {
			if n := e.nodes[id]; n != nil && n.Boot == r.Boot {
				n.seen = r.window
			}
			return nil
		})
		if err != nil {
			return err
		}
		if err := e.loadEvents(tx); err != nil {
			return err
		}
		var records []jobs.Record
		err = walk(tx, sessPrefix, func(_ string, r *jobs.Record) error {
			records = append(records, *r)
			return nil
		})
		if err != nil {
			return err
		}
		var parts []*model.Part
		err = walk(tx, partPrefix, func(_ string, p *model.Part) error {
			parts = append(parts, p)
			return nil
		})
		if err != nil {
			return err
		}
		nodes := map[string]jobs.Assignment{}
		for id, n := range e.nodes {
			nodes[id] = jobs.Assignment{Session: n.Session, Last: n.Last, Imaged: n.Imaged, Claim: n.Claim}
			e.news[id] = n
		}
		return e.jobs.Load(records, parts, nodes)
	})
}

// loadEvents finds the ends of each node's ring.
func (e *Engine) loadEvents(tx state.Tx) error {
	return tx.Walk(eventPrefix, func(key string, _ []byte) error {
		id, num, _ := strings.Cut(strings.TrimPrefix(key, eventPrefix), "/")
		v, err := strconv.ParseUint(num, 16, 64)
		if err != nil {
			return fmt.Errorf("state of %s is damaged: %w", key, err)
		}
		if n := e.nodes[id]; n != nil {
			if n.next == 1 {
				n.first = v
			}
			n.next = v + 1
		}
		return nil
	})
}

func walk[T any](tx state.Tx, prefix string, f func(id string, v *T) error) error {
	return tx.Walk(prefix, func(key string, b []byte) error {
		v := new(T)
		if err := json.Unmarshal(b, v); err != nil {
			return fmt.Errorf("state of %s is damaged: %w", key, err)
		}
		return f(strings.TrimPrefix(key, prefix), v)
	})
}
