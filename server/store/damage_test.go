package store

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

// filledBolt makes a state of some hundred keys, some of them larger than a page.
func filledBolt(t testing.TB, path string) map[string]string {
	t.Helper()
	b, err := OpenBolt(path)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	err = b.Update(t.Context(), func(tx WriteTx) error {
		for i := range 400 {
			k := fmt.Sprintf("node/%04d", i)
			want[k] = fmt.Sprintf(`{"v":1,"n":%d,"pad":"%s"}`, i, strings.Repeat("x", 40+i%7*900))
			if err := tx.Put(k, []byte(want[k])); err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(err, b.Close()); err != nil {
		t.Fatal(err)
	}
	return want
}

// content reads the state at path.
func content(t testing.TB, path string) (map[string]string, error) {
	b, err := OpenBolt(path)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	got := map[string]string{}
	err = b.View(t.Context(), func(tx Tx) error {
		return tx.Walk("", func(k string, v []byte) error {
			got[k] = string(v)
			return nil
		})
	})
	return got, err
}

func sameContent(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if b[k] != v {
			return false
		}
	}
	return true
}

// Whatever is wrong with the file: the server says so, or has all that was stored. It never falls, and never has a part
// of it.
func TestDamagedPages(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	want := filledBolt(t, path)
	sound, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(29, 1))
	page := os.Getpagesize()
	var refused, held int
	for seed := range 400 {
		b := append([]byte(nil), sound...)
		at := rng.IntN(len(b)/page) * page
		switch seed % 6 {
		case 0: // a bit
			i := rng.IntN(len(b))
			b[i] ^= 1 << rng.IntN(8)
		case 1: // a byte of a page's header or first elements
			b[at+rng.IntN(96)] = byte(rng.Uint32())
		case 2: // a page of noise
			for i := range page {
				b[at+i] = byte(rng.Uint32())
			}
		case 3: // a page of zeros
			clear(b[at : at+page])
		case 4: // an older page, or another one
			from := rng.IntN(len(b)/page) * page
			copy(b[at:at+page], b[from:from+page])
		case 5: // cut short
			b = b[:rng.IntN(len(b))]
		}
		file := filepath.Join(t.TempDir(), "state.db")
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := content(t, file)
		var bad *DamagedError
		switch {
		case err == nil && sameContent(got, want):
			held++
		case err == nil:
			t.Fatalf("seed %d: %d of %d entries are as they were, and nobody is told", seed, len(got), len(want))
		case !errors.As(err, &bad):
			t.Fatalf("seed %d: %v", seed, err)
		default:
			refused++
		}
	}
	if refused < 100 || held < 20 {
		t.Errorf("%d refused, %d held: the test damages too little or too much", refused, held)
	}
}

// A branch page that leads to itself, or to another's child, is no loop for us.
func TestPageLoop(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	filledBolt(t, path)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	page, loops := os.Getpagesize(), 0
	for at := 2 * page; at < len(b); at += page {
		if b[at+8] == flagBranch && b[at+9] == 0 {
			copy(b[at+pageHeader+8:], b[at:at+8])
			loops++
		}
	}
	if loops == 0 {
		t.Fatal("the state has no branch page")
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	var bad *DamagedError
	if _, err := OpenBolt(path); !errors.As(err, &bad) {
		t.Errorf("got %v", err)
	}
}

func TestZeroLengthIsNotNew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := OpenBolt(path)
	var bad *DamagedError
	if !errors.As(err, &bad) || !strings.Contains(err.Error(), "0 bytes") ||
		!strings.Contains(err.Error(), "mv "+path) {
		t.Errorf("got %v", err)
	}
	if st, err := os.Stat(path); err != nil || st.Size() != 0 {
		t.Errorf("the file was touched: %v, %v", st, err)
	}
}

// The copy is what the message says it is, and its commands lead back to work.
func TestCopy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	want := filledBolt(t, path)
	b, err := OpenBolt(path)
	if err != nil {
		t.Fatal(err)
	}
	k := NewKeeper(b, slog.New(slog.DiscardHandler))
	now := time.Now()
	k.copy(now)
	first, err := os.Stat(copyOf(path))
	if err != nil || first.Mode().Perm() != 0o600 {
		t.Fatalf("copy: %v, %v", first, err)
	}
	// One day later what changed is in the copy, not before.
	if err := b.Update(t.Context(), func(tx WriteTx) error { return tx.Put("later", []byte("1")) }); err != nil {
		t.Fatal(err)
	}
	k.copy(now.Add(23 * time.Hour))
	if st, err := os.Stat(copyOf(path)); err != nil || !os.SameFile(st, first) {
		t.Errorf("copied again within the day: %v", err)
	}
	k.copy(now.Add(25 * time.Hour))
	want["later"] = "1"
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	damage := func(f func() error) string {
		t.Helper()
		if err := f(); err != nil {
			t.Fatal(err)
		}
		_, err := OpenBolt(path)
		var bad *DamagedError
		if !errors.As(err, &bad) || bad.Copy != copyOf(path) {
			t.Fatalf("got %v", err)
		}
		return err.Error()
	}
	for what, f := range map[string]func() error{
		"empty":   func() error { return os.Truncate(path, 0) },
		"missing": func() error { return os.Remove(path) },
		"cut":     func() error { return os.WriteFile(path, make([]byte, 100), 0o600) },
	} {
		if said := damage(f); !strings.Contains(said, "cp -p "+copyOf(path)+" "+path) {
			t.Errorf("%s: %s", what, said)
		}
	}
	if err := os.Rename(copyOf(path), path); err != nil {
		t.Fatal(err)
	}
	got, err := content(t, path)
	for _, owner := range []string{OfSessions, OfLeases} {
		if _, marked := got[copiedPrefix+owner]; !marked {
			t.Errorf("the copy does not say to the owner of %s that it is one", owner)
		}
		delete(got, copiedPrefix+owner)
	}
	if err != nil || !sameContent(got, want) {
		t.Errorf("%d of %d entries, %v", len(got), len(want), err)
	}
}

// A copy is made of sound state only, and the one before stays.
func TestCopyOfDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	filledBolt(t, path)
	b, err := OpenBolt(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Copy(); err != nil {
		t.Fatal(err)
	}
	err = b.db.Update(func(tx *bbolt.Tx) error {
		x := tx.Bucket(bucket)
		v := append([]byte(nil), x.Get([]byte("node/0007"))...)
		v[3] ^= 1
		return x.Put([]byte("node/0007"), v)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Copy(); err == nil || !strings.Contains(err.Error(), "node/0007") {
		t.Errorf("copied: %v", err)
	}
	if err := b.View(t.Context(), func(tx Tx) error { _, err := tx.Get("node/0007"); return err }); err == nil {
		t.Error("a damaged value was read as if it were sound")
	}
	b.Close()
	if err := verifyFile(copyOf(path)); err != nil {
		t.Errorf("the copy before: %v", err)
	}
}

// What earlier versions stored has no sums, and opens; what is changed in it then has one.
func TestOldState(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket(bucket)
		return errors.Join(err, b.Put([]byte("a"), []byte(`{"v":1,"long":"enough for a trailer"}`)),
			b.Put([]byte("b"), []byte(`2`)))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	b, err := OpenBolt(path)
	if err != nil {
		t.Fatal(err)
	}
	err = b.Update(t.Context(), func(tx WriteTx) error {
		return errors.Join(tx.Put("b", []byte(`3`)), tx.Put("c", []byte(`4`)), tx.Delete("c"))
	})
	if err := errors.Join(err, b.Close()); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"a": `{"v":1,"long":"enough for a trailer"}`, "b": "3"}
	if got, err := content(t, path); err != nil || !sameContent(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
}
