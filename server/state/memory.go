package state

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Memory is a Store for tests.
type Memory struct {
	mu   sync.Mutex
	m    map[string][]byte
	fail error
	watchers
}

var _ Store = (*Memory)(nil)

// NewMemory returns an empty store.
func NewMemory() *Memory { return &Memory{m: map[string][]byte{}} }

// SetFail makes every Update fail with err from now on, until it is set to nil.
func (s *Memory) SetFail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = err
}

// View implements Store.
func (s *Memory) View(ctx context.Context, f func(Tx) error) error {
	s.mu.Lock()
	m := maps.Clone(s.m)
	s.mu.Unlock()
	return f(&memoryTx{m: m})
}

// Update implements Store.
func (s *Memory) Update(ctx context.Context, f func(WriteTx) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	tx := &memoryTx{m: maps.Clone(s.m)}
	if err := f(tx); err != nil {
		return err
	}
	s.m = tx.m
	s.tell(tx.changed)
	return nil
}

// Watch implements Store.
func (s *Memory) Watch(ctx context.Context, prefix string) <-chan Change { return s.watch(ctx, prefix) }

// Close implements Store.
func (s *Memory) Close() error { return nil }

type memoryTx struct {
	m       map[string][]byte
	changed []string
}

func (t *memoryTx) Get(key string) ([]byte, error) { return t.m[key], nil }

func (t *memoryTx) Walk(prefix string, f func(string, []byte) error) error {
	for _, k := range slices.Sorted(maps.Keys(t.m)) {
		if strings.HasPrefix(k, prefix) {
			if err := f(k, t.m[k]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *memoryTx) Put(key string, value []byte) error {
	t.changed = append(t.changed, key)
	t.m[key] = bytes.Clone(value)
	return nil
}

func (t *memoryTx) Delete(key string) error {
	t.changed = append(t.changed, key)
	delete(t.m, key)
	return nil
}
