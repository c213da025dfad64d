package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
)

// copyOf is where the copy of a state file lies.
func copyOf(path string) string { return path + ".daily" }

// Copy writes all keys and values to a new file beside the state, with a mark that it is a copy, reads it back, and
// puts it in the place of the copy before.
func (b *Bolt) Copy() error { return b.copyAs(copyOf(b.db.Path())) }

// Preserve makes a copy beside the state, in the place of one of that name, and returns where it is: what the state was
// before its records were changed to those of another version.
func (b *Bolt) Preserve(suffix string) (string, error) {
	to := b.db.Path() + suffix
	return to, b.copyAs(to)
}

func (b *Bolt) copyAs(to string) error {
	f, err := os.CreateTemp(filepath.Dir(to), ".state-*")
	if err != nil {
		return fmt.Errorf("copying the state: %w", err)
	}
	f.Close()
	defer os.Remove(f.Name())
	if err := b.copyTo(f.Name()); err != nil {
		return fmt.Errorf("copying the state: %w", err)
	}
	if err := verifyFile(f.Name()); err != nil {
		return fmt.Errorf("the copy of the state reads back wrong: %w", err)
	}
	if err := os.Rename(f.Name(), to); err != nil {
		return fmt.Errorf("copying the state: %w", err)
	}
	return nil
}

func (b *Bolt) copyTo(path string) error {
	out, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		return err
	}
	err = checkAll(func() error {
		return b.db.View(func(tx *bbolt.Tx) error {
			return out.Update(func(w *bbolt.Tx) error {
				to, err := w.CreateBucket(bucket)
				if err != nil {
					return err
				}
				from := tx.Bucket(bucket)
				if err := to.SetSequence(from.Sequence()); err != nil {
					return err
				}
				if err := from.ForEach(to.Put); err != nil {
					return err
				}
				return MarkCopied(&boltTx{b: to, rev: 1}, time.Now())
			})
		})
	})
	return errors.Join(err, out.Close())
}

// Keeper copies the state once a day. It is a task of the server.
type Keeper struct {
	State *Bolt
	Log   *slog.Logger
	ready chan struct{}
}

// NewKeeper returns a Keeper of the state.
func NewKeeper(b *Bolt, log *slog.Logger) *Keeper {
	return &Keeper{State: b, Log: log, ready: make(chan struct{})}
}

// Name implements task.Task.
func (k *Keeper) Name() string { return "state" }

// Ready implements task.Task.
func (k *Keeper) Ready() <-chan struct{} { return k.ready }

// Run implements task.Task. A copy that fails is a warning: the server goes on, and tries again in an hour.
func (k *Keeper) Run(ctx context.Context) error {
	again := time.NewTicker(time.Hour)
	defer again.Stop()
	k.copy(time.Now())
	close(k.ready)
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-again.C:
			k.copy(now)
		}
	}
}

// copy makes a copy when the last one is a day old.
func (k *Keeper) copy(now time.Time) {
	path := copyOf(k.State.db.Path())
	st, err := os.Stat(path)
	switch {
	case err == nil && now.Sub(st.ModTime()) < 24*time.Hour && !st.ModTime().After(now):
		return
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		k.Log.Warn("the copy of the state cannot be looked at", "file", path, "err", err)
		return
	}
	if err := k.State.Copy(); err != nil {
		k.Log.Warn("the daily copy of the state failed; the one before stays", "file", path, "err", err)
		return
	}
	k.Log.Debug("the state was copied", "file", path)
}
