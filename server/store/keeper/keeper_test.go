package keeper_test

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/server/store"
	"github.com/diskcast/diskcast/server/store/keeper"
)

// counted counts the transactions of a store, and holds them up while it is locked.
type counted struct {
	*store.Memory
	sync.Mutex
	updates int
}

func (c *counted) Update(ctx context.Context, f func(store.WriteTx) error) error {
	c.Lock()
	defer c.Unlock()
	c.updates++
	return c.Memory.Update(ctx, f)
}

// kept is a keeper of the store that runs until stop is called.
func kept(t *testing.T, s store.Store, stored func()) (k *keeper.Keeper, stop func()) {
	t.Helper()
	k = keeper.New(s, slog.New(slog.DiscardHandler), time.Now, &sync.Mutex{}, stored)
	if err := k.Own(t.Context(), "one"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { // ends with stop
		defer close(done)
		k.Run(ctx)
	}()
	return k, func() { cancel(); <-done }
}

// value is the number that the store has for a key; 0 for none.
func value(t *testing.T, s store.Store, key string) (n int) {
	t.Helper()
	err := s.View(t.Context(), func(tx store.Tx) error { return store.GetJSON(tx, key, &n) })
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		t.Fatal(err)
	}
	return n
}

func TestSoon(t *testing.T) {
	s := &counted{Memory: store.NewMemory()}
	words := 0
	k, stop := kept(t, s, func() { words++ })
	before := s.updates
	s.Lock() // the first batch, whatever is in it, waits until all is put
	for i := range 1000 {
		k.Put("a", i+1)
		k.Put("b", i+1)
	}
	k.Del("b")
	k.Word("c", 7)
	s.Unlock()
	if err := k.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a, b, c := value(t, s, "a"), value(t, s, "b"), value(t, s, "c"); a != 1000 || b != 0 || c != 7 {
		t.Errorf("the store has %d, %d, %d, want 1000, 0, 7", a, b, c)
	}
	k.Put("a", 5)
	stop() // writes what is left
	if n := s.updates - before; n > 3 {
		t.Errorf("%d transactions for 2003 changes, want at most 3", n)
	}
	if a := value(t, s, "a"); a != 5 || words != 1 {
		t.Errorf("at the end the store has %d, want 5; words were told to be stored %d times, want once", a, words)
	}
	k.Put("a", 6)
	if err := k.Wait(t.Context()); err == nil || !strings.Contains(err.Error(), "the server is ending") {
		t.Errorf("behind the end: %v", err)
	}
}

// TestTrouble: what could not be written is written when it can be, and what was put since is not undone by it.
func TestTrouble(t *testing.T) {
	s := store.NewMemory()
	k, stop := kept(t, s, nil)
	defer stop()
	s.SetFail(unix.ENOSPC)
	k.Put("a", 1)
	k.Put("b", 1)
	if err := k.Wait(t.Context()); !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "make room there") {
		t.Fatalf("on a full disk: %v", err)
	}
	if tr := k.Trouble(); tr.Since.IsZero() || !strings.Contains(tr.Words, "the disk is full") {
		t.Errorf("its trouble: %+v", tr)
	}
	if err := k.Write(t.Context(), map[string]any{"c": 1}); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("at once: %v", err)
	}
	k.Put("a", 2)
	s.SetFail(nil)
	for k.Wait(t.Context()) != nil { // a batch that failed before
	}
	if a, b, c := value(t, s, "a"), value(t, s, "b"), value(t, s, "c"); a != 2 || b != 1 || c != 0 {
		t.Errorf("the store has %d, %d, %d, want 2, 1, 0", a, b, c)
	}
	if tr := k.Trouble(); !tr.Since.IsZero() {
		t.Errorf("trouble that is over: %+v", tr)
	}
	if err := k.Write(t.Context(), map[string]any{"a": nil, "b": 3}); err != nil {
		t.Fatal(err)
	}
	if a, b := value(t, s, "a"), value(t, s, "b"); a != 0 || b != 3 {
		t.Errorf("written at once: %d, %d, want 0, 3", a, b)
	}
}

// TestIdleTrouble: what could not be written at once, or by others, is trouble also where nothing waits to be written,
// and ends by itself.
func TestIdleTrouble(t *testing.T) {
	refused := errors.New("refused by who asked")
	for name, fail := range map[string]func(*keeper.Keeper){
		"at once": func(k *keeper.Keeper) { _ = k.Write(t.Context(), map[string]any{"a": 1}) },
		"others":  func(k *keeper.Keeper) { k.Failed(unix.ENOSPC) },
	} {
		s := store.NewMemory()
		k, stop := kept(t, s, nil)
		if err := k.Update(t.Context(), func(store.WriteTx) error { return refused }); !errors.Is(err, refused) {
			t.Fatal(err)
		}
		if tr := k.Trouble(); !tr.Since.IsZero() {
			t.Errorf("%s: a change that was refused is trouble of the store: %+v", name, tr)
		}
		s.SetFail(unix.ENOSPC)
		fail(k)
		if tr := k.Trouble(); tr.Since.IsZero() || !strings.Contains(tr.Words, "the disk is full") {
			t.Errorf("%s: its trouble: %+v", name, tr)
		}
		s.SetFail(nil)
		for deadline := time.Now().Add(time.Minute); !k.Trouble().Since.IsZero(); {
			if time.Now().After(deadline) {
				t.Fatalf("%s: the trouble does not end", name)
			}
			runtime.Gosched()
		}
		stop()
	}
}

// TestLost has another server take the store over.
func TestLost(t *testing.T) {
	s := store.NewMemory()
	k, stop := kept(t, s, nil)
	defer stop()
	_, stopOther := kept(t, s, nil)
	defer stopOther()
	if err := k.Write(t.Context(), map[string]any{"a": 1}); err == nil ||
		!strings.Contains(err.Error(), "another server runs the sessions") {
		t.Errorf("at once: %v", err)
	}
	k.Put("a", 1)
	<-k.Lost()
	if a := value(t, s, "a"); a != 0 {
		t.Errorf("the one that was replaced wrote %d", a)
	}
}
