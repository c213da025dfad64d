package record

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/server/store"
)

func content(t *testing.T, s store.Store) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := s.View(t.Context(), func(tx store.Tx) error {
		return tx.Walk("", func(k string, v []byte) error {
			out[k] = string(v)
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func filled(t *testing.T, kv map[string]string) *store.Memory {
	t.Helper()
	s := store.NewMemory()
	err := s.Update(t.Context(), func(tx store.WriteTx) error {
		for k, v := range kv {
			if err := tx.Put(k, []byte(v)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestEmptyStoreIsOfThePresentSchema(t *testing.T) {
	s := store.NewMemory()
	upgraded, err := Upgrade(t.Context(), s, func(int) error { return errors.New("called") })
	if err != nil || upgraded {
		t.Fatalf("%v, %v", upgraded, err)
	}
	var n int
	if err := json.Unmarshal([]byte(content(t, s)[Schema]), &n); err != nil || n != Current {
		t.Errorf("schema %d, %v", n, err)
	}
	if upgraded, err := Upgrade(t.Context(), s, nil); err != nil || upgraded {
		t.Errorf("again: %v, %v", upgraded, err)
	}
}

func TestNewerIsRefused(t *testing.T) {
	kv := map[string]string{Schema: "99", "node/a": `{"x":1}`}
	s := filled(t, kv)
	_, err := Upgrade(t.Context(), s, func(int) error { t.Error("copied"); return nil })
	var newer *NewerError
	if !errors.As(err, &newer) || newer.Got != 99 || newer.Known != Current {
		t.Fatal(err)
	}
	for _, want := range []string{"schema 99", "newer version of diskcast", "Start the newer version again",
		"state.db.schema-"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
	if got := content(t, s); len(got) != 2 || got["node/a"] != kv["node/a"] || got[Schema] != "99" {
		t.Errorf("it was changed: %v", got)
	}
	if _, err := Upgrade(t.Context(), filled(t, map[string]string{Schema: "-1"}), nil); err == nil ||
		!strings.Contains(err.Error(), "damaged") {
		t.Errorf("schema -1: %v", err)
	}
}

// TestNoCopyNoUpgrade: records stay as they are when they cannot be kept, when one of them cannot be read, and when the
// server ends meanwhile.
func TestNoCopyNoUpgrade(t *testing.T) {
	full := errors.New("disk full")
	s := filled(t, map[string]string{"node/a": `{}`})
	if _, err := Upgrade(t.Context(), s, func(schema int) error {
		if schema != 0 {
			t.Errorf("schema %d", schema)
		}
		return full
	}); !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
	if got := content(t, s); len(got) != 1 || got["node/a"] != "{}" {
		t.Errorf("changed: %v", got)
	}
	s = filled(t, map[string]string{"node/a": `{}`, "node/b": `[`})
	if _, err := Upgrade(t.Context(), s, nil); err == nil || !strings.Contains(err.Error(), "node/b is damaged") {
		t.Errorf("got %v", err)
	}
	if got := content(t, s); len(got) != 2 {
		t.Errorf("changed: %v", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Upgrade(ctx, s, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestDeeds is the step from schema 0 to 1.
func TestDeeds(t *testing.T) {
	for name, c := range map[string]struct{ was, is string }{
		"kernel": {`{"id":"a","trace":{"kernel":{"time":"2026-01-01T00:00:00Z"}}}`,
			`{"booted":true,"id":"a","trace":{"kernel":{"time":"2026-01-01T00:00:00Z"}}}`},
		"last":      {`{"last":"s1"}`, `{"last":"s1","worked":true}`},
		"session":   {`{"session":"s1"}`, `{"session":"s1","worked":true}`},
		"neither":   {`{"id":"b","trace":{"dhcp":{}}}`, `{"id":"b","trace":{"dhcp":{}}}`},
		"had it":    {`{"form":1,"last":"s1"}`, `{"last":"s1"}`},
		"had it on": {`{"form":1,"booted":true,"worked":true}`, `{"booted":true,"worked":true}`},
	} {
		t.Run(name, func(t *testing.T) {
			s := filled(t, map[string]string{"node/x": c.was, "session/s1": `{"id":"s1"}`})
			if err := s.Update(t.Context(), deeds); err != nil {
				t.Fatal(err)
			}
			got := content(t, s)
			if got["node/x"] != c.is || got["session/s1"] != `{"id":"s1"}` {
				t.Errorf("got %s, want %s", got["node/x"], c.is)
			}
		})
	}
}
