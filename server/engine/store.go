package engine

import (
	"context"
	"fmt"

	"github.com/diskcast/diskcast/server/state"
)

// What an operator asks for is stored before anything of it is done, under the engine's lock, so that what is refused has not happened.
// It is rare enough for that; what nodes report goes by the writer.

// storeNew stores a session that nobody knows yet, its parts and its number.
func (e *Engine) storeNew(ctx context.Context, s *sess) error {
	err := e.cfg.Store.Update(ctx, func(tx state.WriteTx) error {
		if err := state.PutJSON(tx, keySeq, e.seq); err != nil {
			return err
		}
		for id, p := range s.Parts {
			if err := state.PutJSON(tx, partPrefix+s.ID+"/"+id, p); err != nil {
				return err
			}
		}
		return state.PutJSON(tx, sessPrefix+s.ID, s.Record)
	})
	return stateHelp(err)
}

// storeForgotten takes a node out of the store.
func (e *Engine) storeForgotten(ctx context.Context, n *node) error {
	err := e.cfg.Store.Update(ctx, func(tx state.WriteTx) error {
		for i := n.first; i < n.next; i++ {
			if err := tx.Delete(eventKey(n.ID, i)); err != nil {
				return err
			}
		}
		if err := tx.Delete(seenPrefix + n.ID); err != nil {
			return err
		}
		return tx.Delete(nodePrefix + n.ID)
	})
	return stateHelp(err)
}

// stateHelp says what to do about an error of the store.
func stateHelp(err error) error {
	switch {
	case err == nil:
		return nil
	case full(err):
		return fmt.Errorf("the server's state cannot be written, for the disk of its state directory is full (%w): make room there, and try again", err)
	}
	return fmt.Errorf("the server's state cannot be written: %w; see the server's log, mend its state directory, and try again", err)
}
