package state

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
		return fmt.Sprintf(begin+"There is no sound copy of it. To begin anew: `mv %s %s.damaged`, and start again: sessions, machines and "+
			"leases are then forgotten; images, the server's key and the operator's token stay", e.Path, e.Err, e.Path, e.Path)
	}
	return fmt.Sprintf(begin+"The copy of %s is sound. To go on from it: `mv %s %s.damaged; cp -p %s %s`, and start again: "+
		"what sessions, machines and leases became after that time is then lost, and sessions that were not over by then are "+
		"cancelled: create them anew for the machines that still need them",
		e.Path, e.Err, e.When.UTC().Format(time.RFC3339), e.Path, e.Path, e.Copy, e.Path)
}

func (e *DamagedError) Unwrap() error { return e.Err }

// guard runs f, which uses bbolt, and turns what damaged pages make of it into an error: bbolt's own panics, and addresses outside
// of the mapped file.
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

// verify reads all there is in db.
func verify(db *bbolt.DB) error {
	f, err := os.Open(db.Path())
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	return checkAll(func() error {
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
				_, sum, err := unseal(k, v)
				all ^= sum
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
	return errors.Join(verify(db), db.Close())
}

// A stored value is the document, a zero byte, and the CRC-64 (ECMA) of key and document, big endian. A document is JSON, in
// which there is no zero byte: a value without one was stored before there were sums. The bucket's sequence number is the
// exclusive or of all sums, so that a key that is gone is missed.
const trailer = 9

var ecma = crc64.MakeTable(crc64.ECMA)

func seal(key, value []byte) []byte {
	out := make([]byte, 0, len(value)+trailer)
	out = append(append(out, value...), 0)
	return binary.BigEndian.AppendUint64(out, crc64.Update(crc64.Checksum(key, ecma), ecma, value))
}

// unseal returns the document and its sum; 0 for one without.
func unseal(key, stored []byte) (value []byte, sum uint64, err error) {
	n := len(stored) - trailer
	if n < 0 || stored[n] != 0 {
		return stored, 0, nil
	}
	sum = binary.BigEndian.Uint64(stored[n+1:])
	if crc64.Update(crc64.Checksum(key, ecma), ecma, stored[:n]) != sum {
		return nil, 0, fmt.Errorf("state of %q is damaged: its checksum is wrong", key)
	}
	return stored[:n], sum, nil
}
