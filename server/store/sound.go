package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc64"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"
)

// DamagedError says that a state file is not sound, and how to go on.
type DamagedError struct {
	Path string
	Err  error
	Copy string    // the copy that Copy made; empty when there is no sound one
	When time.Time // of the copy
}

func damaged(path string, err error) error {
	e := &DamagedError{Path: path, Err: err}
	if st, serr := os.Stat(copyOf(path)); serr == nil && verifyFile(copyOf(path)) == nil {
		e.Copy, e.When = copyOf(path), st.ModTime()
	}
	return e
}

func (e *DamagedError) Error() string {
	const begin = "state %s cannot be used: %v. "
	if e.Copy == "" {
		return fmt.Sprintf(begin+
			"There is no sound copy of it. To begin anew: `mv %s %s.damaged`, and start again: sessions, machines, "+
			"receipts and leases are then forgotten; images, the server's key and the operator's token stay", e.Path,
			e.Err, e.Path,
			e.Path)
	}
	return fmt.Sprintf(begin+
		"The copy of %s is sound. To go on from it: `mv %s %s.damaged; cp -p %s %s`, and start again: "+
		"what sessions, machines, receipts and leases became after that time is then lost, and sessions that were "+
		"not over by then are cancelled: create them anew for the machines that still need them",
		e.Path, e.Err, e.When.UTC().Format(time.RFC3339), e.Path, e.Path, e.Copy, e.Path)
}

func (e *DamagedError) Unwrap() error { return e.Err }

// guard runs f, which uses bbolt, and turns what damaged pages make of it into an error: bbolt's own panics, and
// addresses outside of the mapped file.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		if e, ok := r.(runtime.Error); ok {
			if _, fault := e.(interface{ Addr() uintptr }); !fault {
				panic(r) // a bug, not a damaged file
			}
		}
		err = fmt.Errorf("its pages are damaged (%v)", r)
	}()
	return f()
}

// verify reads all there is in db, and returns the last revision in it.
func verify(db *bbolt.DB) (last Revision, err error) {
	f, err := os.Open(db.Path())
	if err != nil {
		return 0, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	err = checkAll(func() error {
		return db.View(func(tx *bbolt.Tx) error {
			if err := trees(f, st.Size(), db.Info().PageSize, tx); err != nil {
				return err
			}
			b := tx.Bucket(bucket)
			if b == nil {
				return fmt.Errorf("it has no %s bucket: another program made it", bucket)
			}
			var all uint64
			err := b.ForEach(func(k, v []byte) error {
				e, err := unseal(k, v)
				all ^= e.sum
				last = max(last, e.rev)
				return err
			})
			if err != nil {
				return err
			}
			if all != b.Sequence() {
				return errors.New("entries are missing in it, or are there that should be gone")
			}
			// Every page can be read, so this runs into nothing that could not be recovered from on its own goroutine.
			var first error
			for err := range tx.Check() {
				if first == nil {
					first = fmt.Errorf("its pages are damaged (%w)", err)
				}
			}
			return first
		})
	})
	return last, err
}

// checkAll is guard for a walk over a file of unknown soundness: every panic then comes from the file.
func checkAll(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("its pages are damaged (%v)", r)
		}
	}()
	return guard(f)
}

// verifyFile is verify for a file that nobody has open.
func verifyFile(path string) error {
	var db *bbolt.DB
	err := checkAll(func() (err error) {
		db, err = bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: time.Second})
		return err
	})
	if err != nil {
		return err
	}
	_, err = verify(db)
	return errors.Join(err, db.Close())
}

// A stored value is the document, a zero byte, its revision, and the CRC-64 (ECMA) of key, document and revision;
// numbers are of eight bytes, big endian. A document is JSON, in which there is no zero byte. What was stored before
// there were revisions has the CRC of key and document alone behind its zero byte, and what was stored before there
// were sums is the document; both count as of revision 1. The bucket's sequence number is the exclusive or of all sums,
// so that a key that is gone is missed.
const (
	trailer    = 17
	oldTrailer = 9
)

var ecma = crc64.MakeTable(crc64.ECMA)

func seal(key, value []byte, rev Revision) []byte {
	out := make([]byte, 0, len(value)+trailer)
	out = append(append(out, value...), 0)
	out = binary.BigEndian.AppendUint64(out, uint64(rev))
	return binary.BigEndian.AppendUint64(out, sumOf(key, value, out[len(value)+1:]))
}

func sumOf(key, value, rev []byte) uint64 {
	return crc64.Update(crc64.Update(crc64.Checksum(key, ecma), ecma, value), ecma, rev)
}

// sealed is a stored value; sum is 0 for one without.
type sealed struct {
	value []byte
	rev   Revision
	sum   uint64
}

func unseal(key, stored []byte) (sealed, error) {
	e := sealed{value: stored, rev: 1}
	var rev []byte
	if n := len(stored) - trailer; n >= 0 && stored[n] == 0 {
		e.value, rev = stored[:n], stored[n+1:n+9]
		e.rev = Revision(binary.BigEndian.Uint64(rev))
	} else if n := len(stored) - oldTrailer; n >= 0 && stored[n] == 0 {
		e.value = stored[:n]
	} else {
		return e, nil
	}
	e.sum = binary.BigEndian.Uint64(stored[len(stored)-8:])
	if sumOf(key, e.value, rev) != e.sum {
		return sealed{}, fmt.Errorf("state of %q is damaged: its checksum is wrong", key)
	}
	return e, nil
}
