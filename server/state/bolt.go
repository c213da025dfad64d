package state

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

var bucket = []byte("diskcast")

// Bolt is a Store in one bbolt file.
type Bolt struct {
	db *bbolt.DB
	watchers
}

var _ Store = (*Bolt)(nil)

// OpenBolt opens or makes the file. Only one process may have it open.
func OpenBolt(path string) (*Bolt, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: 2 * time.Second, FreelistType: bbolt.FreelistMapType})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("state %s is in use: another diskcast serve runs on this state directory; stop it, or name another --state", path)
	}
	if err != nil {
		return nil, fmt.Errorf("open state %s: %w", path, err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(bucket)
		return err
	})
	if err != nil {
		db.Close()
		return nil, fmt.Errorf("prepare state %s: %w", path, err)
	}
	return &Bolt{db: db}, nil
}

// View implements Store.
func (b *Bolt) View(ctx context.Context, f func(Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return b.db.View(func(tx *bbolt.Tx) error { return f(&boltTx{b: tx.Bucket(bucket)}) })
}

// Update implements Store.
func (b *Bolt) Update(ctx context.Context, f func(WriteTx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var changed []string
	err := b.db.Update(func(tx *bbolt.Tx) error {
		t := &boltTx{b: tx.Bucket(bucket)}
		err := f(t)
		changed = t.changed
		return err
	})
	if err == nil {
		b.tell(changed)
	}
	return err
}

// Watch implements Store.
func (b *Bolt) Watch(ctx context.Context, prefix string) <-chan Change { return b.watch(ctx, prefix) }

// Close implements Store.
func (b *Bolt) Close() error { return b.db.Close() }

type boltTx struct {
	b       *bbolt.Bucket
	changed []string
}

func (t *boltTx) Get(key string) ([]byte, error) { return t.b.Get([]byte(key)), nil }

func (t *boltTx) Walk(prefix string, f func(string, []byte) error) error {
	c := t.b.Cursor()
	p := []byte(prefix)
	for k, v := c.Seek(p); k != nil && bytes.HasPrefix(k, p); k, v = c.Next() {
		if err := f(string(k), v); err != nil {
			return err
		}
	}
	return nil
}

func (t *boltTx) Put(key string, value []byte) error {
	t.changed = append(t.changed, key)
	return t.b.Put([]byte(key), value)
}

func (t *boltTx) Delete(key string) error {
	t.changed = append(t.changed, key)
	return t.b.Delete([]byte(key))
}
