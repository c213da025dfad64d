package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/diskcast/diskcast/internal/private"
)

var bucket = []byte("diskcast")

// Bolt is a Store in one bbolt file. Each value carries a checksum over its key, itself and its revision, which bbolt's
// pages lack.
type Bolt struct {
	db  *bbolt.DB
	rev Revision // of the last update; changed inside of one
}

var _ Store = (*Bolt)(nil)

// OpenBolt opens or makes the file, and reads all of it. Only one process may have it open. A file that is not sound,
// an empty one among them, is a *DamagedError; so is a missing file of which there is a copy.
func OpenBolt(path string) (*Bolt, error) {
	st, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if _, err := os.Stat(copyOf(path)); err == nil {
			return nil, damaged(path, errors.New("it is missing"))
		}
		if err := makeBolt(path); err != nil {
			return nil, fmt.Errorf("make state %s: %w", path, err)
		}
	case err != nil:
		return nil, fmt.Errorf("open state: %w", err)
	case st.Size() == 0:
		return nil, damaged(path, errors.New("it has 0 bytes"))
	}
	db, err := openBolt(path)
	if err != nil {
		return nil, err
	}
	rev, err := verify(db)
	if err != nil {
		db.Close()
		return nil, damaged(path, err)
	}
	return &Bolt{db: db, rev: rev}, nil
}

func openBolt(path string) (db *bbolt.DB, err error) {
	how := &bbolt.Options{Timeout: 2 * time.Second, FreelistType: bbolt.FreelistMapType}
	err = checkAll(func() (err error) {
		db, err = bbolt.Open(path, private.FileMode, how)
		return err
	})
	switch {
	case err == nil:
		return db, nil
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, fmt.Errorf("state %s is in use: another diskcast serve runs on this state directory; "+
			"stop it, or name another --state", path)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("open state: %w", err)
	case errors.As(err, new(syscall.Errno)):
		return nil, unopened(path, err)
	}
	return nil, damaged(path, err)
}

// unopened says what to do about a file that the system did not let us read or write: what is in it may be sound, and
// no copy is to take its place.
func unopened(path string, err error) error {
	next := "look at `dmesg` and at the path"
	switch {
	case errors.Is(err, syscall.EROFS):
		next = "make its file system writable (`dmesg` says why a disk became read-only)"
	case errors.Is(err, syscall.EIO):
		next = "its disk fails, `dmesg` says which: copy the directory to another disk first"
	case errors.Is(err, syscall.EISDIR):
		next = "a directory is in its place: move that away"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		next = "the disk is full: make room there"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		next = "too many files are open: raise the limit"
	}
	return fmt.Errorf("state %s cannot be opened: %w. Nothing is known to be wrong with what is in it: %s, and start "+
		"again", path, err, next)
}

// makeBolt makes an empty state under another name first: a server that is killed meanwhile leaves no half of one.
func makeBolt(path string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".state-*")
	if err != nil {
		return err
	}
	f.Close()
	defer os.Remove(f.Name())
	db, err := bbolt.Open(f.Name(), private.FileMode, nil)
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket(bucket)
		return err
	})
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); !errors.Is(err, fs.ErrExist) { // another process was faster
		return err
	}
	return nil
}

// View implements Store.
func (b *Bolt) View(ctx context.Context, f func(Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return guard(func() error {
		return b.db.View(func(tx *bbolt.Tx) error { return f(&boltTx{b: tx.Bucket(bucket)}) })
	})
}

// Update implements Store.
func (b *Bolt) Update(ctx context.Context, f func(WriteTx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return guard(func() error {
		return b.db.Update(func(tx *bbolt.Tx) error {
			b.rev++ // bbolt runs one at a time; of an update that fails, a number is left out
			return f(&boltTx{b: tx.Bucket(bucket), rev: b.rev})
		})
	})
}

// Close implements Store.
func (b *Bolt) Close() error { return b.db.Close() }

type boltTx struct {
	b   *bbolt.Bucket
	rev Revision // that what is written gets
}

func (t *boltTx) Get(key string) ([]byte, error) {
	v := t.b.Get([]byte(key))
	if v == nil {
		return nil, nil
	}
	e, err := unseal([]byte(key), v)
	return e.value, err
}

func (t *boltTx) Revision(key string) (Revision, error) {
	v := t.b.Get([]byte(key))
	if v == nil {
		return 0, nil
	}
	e, err := unseal([]byte(key), v)
	return e.rev, err
}

func (t *boltTx) Expect(key string, r Revision) error { return expect(t, key, r) }

func (t *boltTx) Walk(prefix string, f func(string, []byte) error) error {
	c := t.b.Cursor()
	p := []byte(prefix)
	for k, v := c.Seek(p); k != nil && bytes.HasPrefix(k, p); k, v = c.Next() {
		e, err := unseal(k, v)
		if err != nil {
			return err
		}
		if err := f(string(k), e.value); err != nil {
			return err
		}
	}
	return nil
}

func (t *boltTx) Put(key string, value []byte) error {
	if err := t.forget(key); err != nil {
		return err
	}
	stored := seal([]byte(key), value, t.rev)
	e, err := unseal([]byte(key), stored)
	if err != nil {
		return err
	}
	if err := t.b.SetSequence(t.b.Sequence() ^ e.sum); err != nil {
		return err
	}
	return t.b.Put([]byte(key), stored)
}

func (t *boltTx) Delete(key string) error {
	if err := t.forget(key); err != nil {
		return err
	}
	return t.b.Delete([]byte(key))
}

// forget takes what is stored under the key out of the sum of all.
func (t *boltTx) forget(key string) error {
	old := t.b.Get([]byte(key))
	if old == nil {
		return nil
	}
	e, err := unseal([]byte(key), old)
	if err != nil {
		return err
	}
	return t.b.SetSequence(t.b.Sequence() ^ e.sum)
}
