package store

import (
	"context"
	"errors"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
)

func revision(t *testing.T, s Store, key string) (r Revision) {
	t.Helper()
	err := s.View(t.Context(), func(tx Tx) (err error) {
		r, err = tx.Revision(key)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func put(t *testing.T, s Store, key, value string) {
	t.Helper()
	if err := s.Update(t.Context(), func(tx WriteTx) error { return tx.Put(key, []byte(value)) }); err != nil {
		t.Fatal(err)
	}
}

// TestRevisions: each change of a key has a revision of its own, also when the value is what it was or was away
// meanwhile.
func TestRevisions(t *testing.T) {
	for name, s := range stores(t) {
		t.Run(name, func(t *testing.T) {
			put(t, s, "b", `1`)
			seen := map[Revision]bool{0: true}
			for i := range 4 {
				if i == 2 {
					if err := s.Update(t.Context(), func(tx WriteTx) error { return tx.Delete("a") }); err != nil {
						t.Fatal(err)
					}
					if r := revision(t, s, "a"); r != 0 {
						t.Errorf("revision of a key that is gone: %d", r)
					}
				}
				put(t, s, "a", `1`)
				r := revision(t, s, "a")
				if seen[r] {
					t.Errorf("change %d has revision %d, which another had", i, r)
				}
				seen[r] = true
			}
			before := revision(t, s, "b")
			put(t, s, "a", `2`)
			if r := revision(t, s, "b"); r != before || r == 0 {
				t.Errorf("another key's change made revision %d of %d", r, before)
			}
		})
	}
}

// TestExpect: who writes by what he knows is refused when another has written, and nothing of his update is done.
func TestExpect(t *testing.T) {
	for name, s := range stores(t) {
		t.Run(name, func(t *testing.T) {
			put(t, s, "owner", `"a"`)
			mine := revision(t, s, "owner")
			write := func(want Revision) error {
				return s.Update(t.Context(), func(tx WriteTx) error {
					return errors.Join(tx.Put("x", []byte(`1`)), tx.Expect("owner", want))
				})
			}
			if err := write(mine); err != nil {
				t.Fatal(err)
			}
			x := revision(t, s, "x")
			put(t, s, "owner", `"b"`)
			var changed *ChangedError
			if err := write(mine); !errors.As(err, &changed) || changed.Key != "owner" || changed.Want != mine {
				t.Fatalf("a write by an old revision: %v", err)
			}
			if r := revision(t, s, "x"); r != x {
				t.Error("what was refused was done")
			}
			if err := write(0); !errors.As(err, &changed) {
				t.Errorf("expected to be new: %v", err)
			}
		})
	}
}

// TestTwoWriters adds to one counter, to counters by Walk, and takes names, by two writers at once: none of it is lost.
func TestTwoWriters(t *testing.T) {
	const each = 100
	for name, s := range stores(t) {
		t.Run(name, func(t *testing.T) {
			var wg sync.WaitGroup
			for range 2 {
				wg.Go(func() {
					for range each {
						err := s.Update(t.Context(), func(tx WriteTx) error {
							n := 0
							if err := GetJSON(tx, "n", &n); err != nil && !errors.Is(err, ErrNotFound) {
								return err
							}
							if err := PutJSON(tx, "n", n+1); err != nil {
								return err
							}
							keys := 0
							if err := tx.Walk("k/", func(string, []byte) error { keys++; return nil }); err != nil {
								return err
							}
							return PutJSON(tx, "k/"+strconv.Itoa(keys), keys)
						})
						if err != nil {
							t.Error(err)
						}
					}
				})
			}
			wg.Wait()
			n, keys := 0, 0
			err := s.View(t.Context(), func(tx Tx) error {
				return errors.Join(GetJSON(tx, "n", &n),
					tx.Walk("k/", func(string, []byte) error { keys++; return nil }))
			})
			if err != nil || n != 2*each || keys != 2*each {
				t.Errorf("counted %d, and %d keys, want %d; %v", n, keys, 2*each, err)
			}
		})
	}
}

// TestMemoryRunsAgain makes the conflict that TestTwoWriters may miss.
func TestMemoryRunsAgain(t *testing.T) {
	for name, read := range map[string]func(tx Tx) error{
		"get":      func(tx Tx) error { _, err := tx.Get("a/1"); return err },
		"revision": func(tx Tx) error { _, err := tx.Revision("a/1"); return err },
		"walk":     func(tx Tx) error { return tx.Walk("a/", func(string, []byte) error { return nil }) },
	} {
		t.Run(name, func(t *testing.T) {
			s := NewMemory()
			runs := 0
			err := s.Update(t.Context(), func(tx WriteTx) error {
				if runs++; runs == 1 {
					put(t, s, "a/1", `1`)
				}
				return errors.Join(read(tx), tx.Put("b", []byte(`1`)))
			})
			if err != nil || runs != 2 {
				t.Errorf("%d runs, %v", runs, err)
			}
		})
	}
	s := NewMemory()
	ctx, cancel := context.WithCancel(t.Context())
	err := s.Update(ctx, func(tx WriteTx) error {
		if ctx.Err() == nil {
			put(t, s, "a", `1`)
		}
		cancel()
		_, err := tx.Get("a")
		return err
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a conflict after the end: %v", err)
	}
}

// TestRevisionsOutliveTheProcess: what is written after a restart is newer than all before.
func TestRevisionsOutliveTheProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	var last Revision
	for i := range 3 {
		b, err := OpenBolt(path)
		if err != nil {
			t.Fatal(err)
		}
		if r := revision(t, b, "a"); r != last {
			t.Errorf("start %d: revision %d, was %d", i, r, last)
		}
		put(t, b, "a", `1`)
		if r := revision(t, b, "a"); r <= last {
			t.Errorf("start %d: revision %d after %d", i, r, last)
		} else {
			last = r
		}
		b.Close()
	}
}
