// Package state keeps what the server must still know after a crash: a small store of keys and values with
// transactions and watches, on a bbolt file or in memory.
//
// Keys are paths ("session/s-1", "node/52-54-00-12-34-56"); values are JSON documents of their owners. An update is
// atomic and durable when Update returns. The interface is small enough that a store shared by several servers can
// stand behind it too.
package state

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// ErrNotFound is wrapped by errors about a key that is not there.
var ErrNotFound = errors.New("not found")

// Tx is a view of the store inside a transaction.
type Tx interface {
	// Get returns the value of the key, or nil. The slice is valid in the transaction only.
	Get(key string) ([]byte, error)
	// Walk calls f for each key with the prefix, in byte order, until f returns an error, which it passes on.
	// Slices are valid in the call only; f must not change the store.
	Walk(prefix string, f func(key string, value []byte) error) error
}

// WriteTx is a transaction that may write.
type WriteTx interface {
	Tx
	Put(key string, value []byte) error
	// Delete removes the key; a key that is not there is not an error.
	Delete(key string) error
}

// Store keeps keys and values. All methods may be called from several goroutines.
type Store interface {
	View(ctx context.Context, f func(Tx) error) error
	// Update runs f and makes its writes durable at once, all or none. f may be called more than once.
	Update(ctx context.Context, f func(WriteTx) error) error
	// Watch sends the key of every change under the prefix after it became durable, until ctx ends; then the channel
	// is closed. A watcher that reads too slowly gets one Lost change in place of those it missed and reads anew.
	Watch(ctx context.Context, prefix string) <-chan Change
	Close() error
}

// Change is one durable change.
type Change struct {
	Key string
	// Lost says that changes were dropped because the watcher did not keep up; Key is empty then.
	Lost bool
}

// GetJSON reads the value of the key into v; a key that is not there is ErrNotFound.
func GetJSON(tx Tx, key string, v any) error {
	b, err := tx.Get(key)
	if err != nil {
		return err
	}
	if b == nil {
		return fmt.Errorf("%s: %w", key, ErrNotFound)
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("state of %s is damaged: %w", key, err)
	}
	return nil
}

// PutJSON writes v as the value of the key.
func PutJSON(tx WriteTx, key string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("state of %s: %w", key, err)
	}
	return tx.Put(key, b)
}
