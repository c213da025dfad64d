package engine

import (
	"context"
	"fmt"

	"github.com/diskcast/diskcast/server/store"
	"github.com/diskcast/diskcast/server/store/record"
)

// What an operator asks for is stored before anything of it is done, under the engine's lock, so that what is refused
// has not happened. It is rare enough for that; what nodes report goes by the writer.

// storeNew stores a session that nobody knows yet, its parts and its number.
func (e *Engine) storeNew(ctx context.Context, s *sess) error {
	s.Owner = e.cfg.Server
	err := e.update(ctx, func(tx store.WriteTx) error {
		if err := store.PutJSON(tx, record.Seq, e.seq); err != nil {
			return err
		}
		for id, p := range s.Parts {
			if err := store.PutJSON(tx, record.PartKey(s.ID, id), record.OfPart(p)); err != nil {
				return err
			}
		}
		return store.PutJSON(tx, record.SessPrefix+s.ID, recordOf(s))
	})
	return stateHelp(err)
}

// storeForgotten takes a node out of the store.
func (e *Engine) storeForgotten(ctx context.Context, n *node) error {
	err := e.update(ctx, func(tx store.WriteTx) error {
		for i := n.first; i < n.next; i++ {
			if err := tx.Delete(record.EventKey(n.ID, i)); err != nil {
				return err
			}
		}
		if err := tx.Delete(record.SeenPrefix + n.ID); err != nil {
			return err
		}
		return tx.Delete(record.NodePrefix + n.ID)
	})
	return stateHelp(err)
}

// stateHelp says what to do about an error of the store.
func stateHelp(err error) error {
	switch {
	case err == nil:
		return nil
	case lostTo(err):
		return fmt.Errorf("another server runs the sessions of this state now (%w): ask that one", err)
	case full(err):
		return fmt.Errorf("the server's state cannot be written, for the disk of its state directory is full (%w): "+
			"make room there, and try again", err)
	}
	return fmt.Errorf("the server's state cannot be written: %w; see the server's log, mend its state directory, and "+
		"try again", err)
}
