package serve

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/server/store"
	"github.com/diskcast/diskcast/server/store/record"
)

// TestUpgradeKeepsTheOldState: what an older version wrote lies beside the state that was made of it, sound, and as a
// copy.
func TestUpgradeKeepsTheOldState(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	old, err := store.OpenBolt(path)
	if err != nil {
		t.Fatal(err)
	}
	const node = `{"id":"a","last":"s1"}`
	if err := old.Update(t.Context(),
		func(tx store.WriteTx) error { return tx.Put("node/a", []byte(node)) }); err != nil {
		t.Fatal(err)
	}
	old.Close()
	for range 2 { // the second time there is nothing to do
		db, err := openState(t.Context(), path, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		err = db.View(t.Context(), func(tx store.Tx) error {
			now, err := tx.Get("node/a")
			if string(now) == node {
				t.Error("it was not upgraded")
			}
			return err
		})
		if err := errors.Join(err, db.Close()); err != nil {
			t.Fatal(err)
		}
	}
	// An older version went on with the copy, and then this one again: the copy is of what that one left.
	const later = `{"id":"a","last":"s2"}`
	back, err := store.OpenBolt(path + ".schema-0")
	if err != nil {
		t.Fatal(err)
	}
	err = back.Update(t.Context(), func(tx store.WriteTx) error {
		if b, err := tx.Get("node/a"); err != nil || string(b) != node {
			t.Errorf("the copy has %s, %v", b, err)
		}
		return tx.Put("node/a", []byte(later))
	})
	if err := errors.Join(err, back.Close(), os.Rename(path+".schema-0", path)); err != nil {
		t.Fatal(err)
	}
	db, err := openState(t.Context(), path, slog.New(slog.DiscardHandler))
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	kept, err := store.OpenBolt(path + ".schema-0")
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	err = kept.Update(t.Context(), func(tx store.WriteTx) error {
		if b, err := tx.Get("node/a"); err != nil || string(b) != later {
			t.Errorf("the copy has %s, %v", b, err)
		}
		at, err := store.Copied(tx, store.OfSessions)
		if at.IsZero() {
			t.Error("it does not say that it is a copy")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestNewerStateIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	db, err := openState(t.Context(), path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(t.Context(),
		func(tx store.WriteTx) error { return store.PutJSON(tx, record.Schema, record.Current+1) })
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = openState(t.Context(), path, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), path) ||
		!strings.Contains(err.Error(), "newer version of diskcast") {
		t.Fatalf("got %v", err)
	}
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(after) != string(before) {
		t.Error("the file was changed")
	}
	if files, _ := filepath.Glob(path + "*"); len(files) != 1 {
		t.Errorf("files: %v", files)
	}
}
