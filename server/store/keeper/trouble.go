package keeper

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/server/store"
	"github.com/diskcast/diskcast/server/store/record"
)

// Trouble is why nothing is written, while that lasts.
type Trouble struct {
	Since time.Time // of the first time; zero: all is well
	Words string
}

// Trouble is why records are not written, and since when.
func (k *Keeper) Trouble() Trouble {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.bad
}

// Failed is told that something could not be written to the store, by the keeper or by others: that is its trouble
// until something is written again, which it tries by itself.
func (k *Keeper) Failed(err error) {
	var changed *store.ChangedError
	if errors.As(err, &changed) {
		return // another one writes
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.bad.Since.IsZero() {
		k.bad.Since = k.now()
	}
	k.bad.Words = Words(err)
	select {
	case k.probe <- struct{}{}:
	default:
	}
}

// try puts a record as large as one of work, so that the trouble ends when there is room and nobody asks for anything.
func (k *Keeper) try() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.bad.Since.IsZero() && len(k.cur.m) == 0 {
		k.cur.m[record.ProbeKey] = bytes.Repeat([]byte("0"), probeSize)
	}
}

// probeSize is that of the record in bytes.
const probeSize = 32 << 10

// ClockSet tells a trouble that lasts in the time of a clock that was set.
func (k *Keeper) ClockSet(by time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.bad.Since.IsZero() {
		k.bad.Since = k.bad.Since.Add(by)
	}
}

// Words says why something could not be stored.
func Words(err error) string {
	if full(err) {
		return fmt.Sprintf("the disk is full (%v)", err)
	}
	return fmt.Sprint(err)
}

func full(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
}

// help says what to do about an error of the store.
func help(err error) error {
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
