// Package keeper writes down what the server that runs the sessions of a store must know after a crash: at once what an
// operator asks for (Write), a moment later and in few transactions what nodes report (Put, Wait).
//
// One server runs the sessions of a store: the one that has written its name there last (Own). Every change expects
// that name at the revision that it had then, so that what a server writes that was replaced is refused, all of it, and
// that server stops (Lost).
package keeper

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/diskcast/diskcast/server/store"
	"github.com/diskcast/diskcast/server/store/record"
)

// Keeper writes to a store.
type Keeper struct {
	store  store.Store
	log    *slog.Logger
	now    func() time.Time
	kick   chan struct{}
	probe  chan struct{}  // something could not be written: what can be is tried
	whole  sync.Locker    // held while what belongs together is put: no transaction has only a part of that
	owned  store.Revision // of record.OwnerKey, when this server became the owner
	lost   chan struct{}
	over   chan struct{} // closed when nothing is written any more
	stored func()        // called when words were written; nil: there are none

	mu  sync.Mutex
	cur *Batch // being filled
	fly *Batch // being written, nil when none is
	bad Trouble

	giveUp sync.Once
}

// New makes the keeper of a store. The lock is held by who puts what belongs together; stored, which may be nil, is
// called when words were written.
func New(s store.Store, log *slog.Logger, now func() time.Time, whole sync.Locker, stored func()) *Keeper {
	return &Keeper{store: s, log: log, now: now, kick: make(chan struct{}, 1),
		probe: make(chan struct{}, 1), whole: whole, lost: make(chan struct{}),
		over: make(chan struct{}), stored: stored, cur: newBatch()}
}

// Own takes the sessions of the store over.
func (k *Keeper) Own(ctx context.Context, server string) error {
	me := record.Owner{Server: server, Run: rand.Text()}
	err := k.store.Update(ctx, func(tx store.WriteTx) error { return store.PutJSON(tx, record.OwnerKey, me) })
	if err != nil {
		return err
	}
	return k.store.View(ctx, func(tx store.Tx) error {
		var now record.Owner
		if err := store.GetJSON(tx, record.OwnerKey, &now); err != nil {
			return err
		}
		if now != me {
			return fmt.Errorf("the server %s has taken the sessions of this state over while this one started: start "+
				"one of them only", now.Server)
		}
		k.owned, err = tx.Revision(record.OwnerKey)
		return err
	})
}

// Lost is closed when it is seen that another server is the owner.
func (k *Keeper) Lost() <-chan struct{} { return k.lost }

// lostTo reports whether the error says that another server is the owner.
func lostTo(err error) bool {
	var changed *store.ChangedError
	return errors.As(err, &changed) && changed.Key == record.OwnerKey
}

// Update changes the store while this server is the owner of its sessions. f may run more than once.
func (k *Keeper) Update(ctx context.Context, f func(store.WriteTx) error) error {
	var ours error // what kept the change from being written, and is no fault of the store
	err := k.store.Update(ctx, func(tx store.WriteTx) error {
		if ours = tx.Expect(record.OwnerKey, k.owned); ours == nil {
			ours = f(tx)
		}
		return ours
	})
	if err != nil && ours == nil && ctx.Err() == nil {
		k.Failed(err)
	}
	return err
}

// Write writes records at once, all or none; nil takes one out.
func (k *Keeper) Write(ctx context.Context, records map[string]any) error {
	m := make(map[string][]byte, len(records))
	for key, v := range records {
		var err error
		if m[key], err = encode(v); err != nil {
			return fmt.Errorf("state of %s: %w", key, err)
		}
	}
	return help(k.write(ctx, m))
}

func (k *Keeper) write(ctx context.Context, records map[string][]byte) error {
	return k.Update(ctx, func(tx store.WriteTx) (err error) {
		for key, v := range records {
			if v == nil {
				err = tx.Delete(key)
			} else {
				err = tx.Put(key, v)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// encode is a record as it is stored; nothing for nil.
func encode(v any) ([]byte, error) {
	if v == nil {
		return nil, nil
	}
	return json.Marshal(v)
}
