// Package store keeps what the server must still know after a crash: a small store of keys and values with
// transactions, on a bbolt file or in memory.
//
// Keys are paths ("session/s1", "node/52-54-00-12-34-56"); values are JSON records of their owners. An update is
// atomic and durable when Update returns. Every key carries the revision of its last change, and an update whose reads
// another writer has outrun is run again, so that several servers can write to one store: Memory is such a store, and
// the tests run two writers on it. A Bolt has one process, and its updates run one after another.
package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// ErrNotFound is wrapped by errors about a key that is not there.
var ErrNotFound = errors.New("not found")

// Revision tells one change of a key from all others. It grows with every update of a store.
type Revision uint64

// Tx is a view of the store inside a transaction.
type Tx interface {
	// Get returns the value of the key, or nil. The slice is valid in the transaction only.
	Get(key string) ([]byte, error)
	// Revision returns the revision of the key's last change, 0 for a key that is not there.
	Revision(key string) (Revision, error)
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
	// Expect makes the update a *ChangedError, and nothing of it done, if the key has another revision than r; with r
	// 0, if it is there.
	Expect(key string, r Revision) error
}

// Store keeps keys and values. All methods may be called from several goroutines.
type Store interface {
	View(ctx context.Context, f func(Tx) error) error
	// Update runs f and makes its writes durable at once, all or none. When another writer has changed meanwhile what f
	// read, nothing is written and f runs again, so f must not keep what it did before.
	Update(ctx context.Context, f func(WriteTx) error) error
	Close() error
}

// ChangedError says that a key is not what the writer knows: another one has written it.
type ChangedError struct {
	Key       string
	Want, Got Revision
}

func (e *ChangedError) Error() string {
	return fmt.Sprintf("state of %s was changed by another server (revision %d, and %d was expected)", e.Key, e.Got,
		e.Want)
}

// expect compares the key's revision.
func expect(tx Tx, key string, r Revision) error {
	got, err := tx.Revision(key)
	if err == nil && got != r {
		err = &ChangedError{Key: key, Want: r, Got: got}
	}
	return err
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
