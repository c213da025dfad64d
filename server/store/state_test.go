package store

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
)

func stores(t *testing.T) map[string]Store {
	b, err := OpenBolt(filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return map[string]Store{"bolt": b, "memory": NewMemory()}
}

func TestStore(t *testing.T) {
	for name, s := range stores(t) {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			err := s.Update(ctx, func(tx WriteTx) error {
				for _, k := range []string{"a/2", "a/1", "b/1"} {
					if err := PutJSON(tx, k, k); err != nil {
						return err
					}
				}
				return tx.Delete("a/nothing")
			})
			if err != nil {
				t.Fatal(err)
			}
			// A failed update leaves nothing.
			refused := errors.New("refused")
			err = s.Update(ctx, func(tx WriteTx) error {
				if err := tx.Put("a/3", []byte("1")); err != nil {
					return err
				}
				return refused
			})
			if !errors.Is(err, refused) {
				t.Fatalf("update: %v", err)
			}
			var keys []string
			err = s.View(ctx, func(tx Tx) error {
				var v string
				if err := GetJSON(tx, "b/1", &v); err != nil || v != "b/1" {
					t.Errorf("b/1 = %q, %v", v, err)
				}
				if err := GetJSON(tx, "b/2", &v); !errors.Is(err, ErrNotFound) {
					t.Errorf("b/2: %v", err)
				}
				return tx.Walk("a/", func(k string, _ []byte) error {
					keys = append(keys, k)
					return nil
				})
			})
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(keys, " "); got != "a/1 a/2" {
				t.Errorf("walk: %s", got)
			}
		})
	}
}

func TestBoltIsKeptAndExclusive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	b, err := OpenBolt(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Update(t.Context(), func(tx WriteTx) error { return tx.Put("k", []byte(`"v"`)) }); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenBolt(path); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("second open: %v", err)
	}
	b.Close()
	b, err = OpenBolt(path)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	err = b.View(t.Context(), func(tx Tx) error {
		var v string
		if err := GetJSON(tx, "k", &v); err != nil || v != "v" {
			t.Errorf("k = %q, %v", v, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
