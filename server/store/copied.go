package store

import (
	"errors"
	"fmt"
	"time"
)

// A copy of a state says inside that it is one, once for each owner of records. What the owner's records say may be
// long over: who opens the copy as a state draws the consequences, and takes the mark off in the same transaction.
const copiedPrefix = "copied/"

// Owners of records that must not be believed in a copy.
const (
	OfSessions = "sessions" // sessions, parts and nodes: package engine
	OfLeases   = "leases"   // package dhcp
)

// MarkCopied marks a state as a copy made at the time.
func MarkCopied(tx WriteTx, at time.Time) error {
	for _, owner := range []string{OfSessions, OfLeases} {
		if err := PutJSON(tx, copiedPrefix+owner, at.UTC().Truncate(time.Second)); err != nil {
			return err
		}
	}
	return nil
}

// Copied takes the owner's mark off, and returns the time at which the state was copied; zero if it is not a copy, or
// was none for long.
func Copied(tx WriteTx, owner string) (at time.Time, err error) {
	switch err := GetJSON(tx, copiedPrefix+owner, &at); {
	case errors.Is(err, ErrNotFound):
		return time.Time{}, nil
	case err != nil:
		return time.Time{}, err
	case at.IsZero():
		return time.Time{}, fmt.Errorf("state of %s is damaged: it is no time", copiedPrefix+owner)
	}
	return at, tx.Delete(copiedPrefix + owner)
}
