package engine

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/diskcast/diskcast/server/store"
	"github.com/diskcast/diskcast/server/store/record"
)

// One server runs the sessions of a store: the one that has written its name there last. Every change that an engine
// makes expects that name at the revision that it had then, so that what a server writes that was replaced is refused,
// all of it, and that server stops.

// own takes the sessions of the store over.
func (e *Engine) own(ctx context.Context) error {
	me := record.Owner{Server: e.cfg.Server, Run: rand.Text()}
	err := e.cfg.Store.Update(ctx, func(tx store.WriteTx) error { return store.PutJSON(tx, record.OwnerKey, me) })
	if err != nil {
		return err
	}
	return e.cfg.Store.View(ctx, func(tx store.Tx) error {
		var now record.Owner
		if err := store.GetJSON(tx, record.OwnerKey, &now); err != nil {
			return err
		}
		if now != me {
			return fmt.Errorf("the server %s has taken the sessions of this state over while this one started: start "+
				"one of them only", now.Server)
		}
		e.w.owned, err = tx.Revision(record.OwnerKey)
		return err
	})
}

// inherit makes the sessions that another server ran, and that are not over, this server's.
func (e *Engine) inherit() {
	for _, id := range e.jobs.Order() {
		s := e.jobs.Session(id)
		if s.Over() || s.Owner == e.cfg.Server {
			continue
		}
		if s.Owner != "" {
			e.log.Info("another server ran the session; this one goes on with it", "session", id, "before", s.Owner)
		}
		s.Owner = e.cfg.Server
		e.w.put(record.SessPrefix+id, recordOf(s))
	}
}

// update changes the store while this server is the owner of its sessions. f may run more than once.
func (e *Engine) update(ctx context.Context, f func(store.WriteTx) error) error {
	return e.cfg.Store.Update(ctx, func(tx store.WriteTx) error {
		if err := tx.Expect(record.OwnerKey, e.w.owned); err != nil {
			return err
		}
		return f(tx)
	})
}

// lostTo reports whether the error says that another server is the owner.
func lostTo(err error) bool {
	var changed *store.ChangedError
	return errors.As(err, &changed) && changed.Key == record.OwnerKey
}
