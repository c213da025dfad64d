package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/diskcast/diskcast/internal/receipt"
	"github.com/diskcast/diskcast/server/jobs"
	"github.com/diskcast/diskcast/server/store"
	"github.com/diskcast/diskcast/server/store/record"
)

// account signs a receipt and stores it in the transaction of the part's end. Receipts outlive their sessions.
func (e *Engine) account(doc *receipt.Receipt) {
	if e.cfg.Sign == nil {
		return
	}
	r := *doc
	r.Server = receipt.Server{Name: e.cfg.Server, Version: e.cfg.Version}
	if n := e.nodes[r.Machine.ID]; n != nil {
		inv := n.Inventory
		r.Machine = receipt.Machine{ID: n.ID, Vendor: inv.Vendor, Model: inv.Product, Serial: inv.Serial,
			UUID: inv.UUID,
			MACs: n.MACs}
	}
	if m := e.fleet.Of(r.Machine.ID); m != nil {
		r.Machine.Machine, r.Machine.Name = m.ID, m.Name
	}
	env, err := e.cfg.Sign(&r)
	if err != nil {
		e.log.Error("there is no receipt of what was done to a disk", "session", r.Session, "node", r.Machine.ID, "err",
			err)
		e.step(jobs.Unsigned{Session: doc.Session, Node: doc.Machine.ID,
			Words: "there is no receipt of what was done to its disk: " + err.Error()})
		return
	}
	e.w.Put(record.Receipts+r.ID, env)
}

// Receipts returns the envelopes of a session, in the order of their nodes; of all sessions when it is empty.
func (e *Engine) Receipts(ctx context.Context, session string) ([]json.RawMessage, error) {
	prefix := record.Receipts
	if session != "" {
		prefix += session + "/"
	}
	if strings.Contains(session, "/") {
		return nil, fmt.Errorf("session %q: %w", session, ErrNotFound)
	}
	if err := e.w.Wait(ctx); err != nil {
		return nil, err
	}
	out := []json.RawMessage{}
	err := e.cfg.Store.View(ctx, func(tx store.Tx) error {
		return tx.Walk(prefix, func(_ string, v []byte) error {
			out = append(out, json.RawMessage(append([]byte(nil), v...)))
			return nil
		})
	})
	return out, err
}
