package store

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Memory is a Store for tests. It behaves as a store that several servers share: updates run beside each other, and one
// whose reads were outrun runs again.
type Memory struct {
	mu   sync.Mutex
	m    map[string]entry // replaced, never changed
	rev  Revision
	fail error
}

type entry struct {
	value []byte
	rev   Revision
}

var _ Store = (*Memory)(nil)

// NewMemory returns an empty store.
func NewMemory() *Memory { return &Memory{m: map[string]entry{}} }

// SetFail makes every Update fail with err from now on, until it is set to nil.
func (s *Memory) SetFail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = err
}

// View implements Store.
func (s *Memory) View(ctx context.Context, f func(Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	tx := &memoryTx{base: s.m, m: s.m}
	s.mu.Unlock()
	return f(tx)
}

// Update implements Store.
func (s *Memory) Update(ctx context.Context, f func(WriteTx) error) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		tx, err := s.begin()
		if err != nil {
			return err
		}
		if err := f(tx); err != nil {
			return err
		}
		if done, err := s.commit(tx); done || err != nil {
			return err
		}
	}
}

func (s *Memory) begin() (*memoryTx, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &memoryTx{base: s.m, m: maps.Clone(s.m), reads: map[string]bool{}, walks: map[string]bool{},
		writes: map[string]bool{}}, s.fail
}

// commit makes the writes of the transaction, and reports false when what it read is not so any more.
func (s *Memory) commit(tx *memoryTx) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return false, s.fail
	}
	for key := range tx.reads {
		if s.m[key].rev != tx.base[key].rev {
			return false, nil
		}
	}
	for prefix := range tx.walks {
		if !maps.Equal(under(s.m, prefix), under(tx.base, prefix)) {
			return false, nil
		}
	}
	s.rev++
	now := maps.Clone(s.m)
	for key := range tx.writes {
		if e, ok := tx.m[key]; ok {
			now[key] = entry{e.value, s.rev}
		} else {
			delete(now, key)
		}
	}
	s.m = now
	return true, nil
}

// Close implements Store.
func (s *Memory) Close() error { return nil }

// memoryTx works on a copy of the store, and remembers what it read.
type memoryTx struct {
	base, m              map[string]entry // base as it began, which nobody changes
	reads, walks, writes map[string]bool  // keys, prefixes, keys; nil in a view
}

func (*memoryTx) note(set map[string]bool, what string) {
	if set != nil {
		set[what] = true
	}
}

func (t *memoryTx) Get(key string) ([]byte, error) {
	t.note(t.reads, key)
	return t.m[key].value, nil
}

func (t *memoryTx) Revision(key string) (Revision, error) {
	t.note(t.reads, key)
	return t.m[key].rev, nil
}

func (t *memoryTx) Expect(key string, r Revision) error { return expect(t, key, r) }

// under is the revisions of all keys with the prefix.
func under(m map[string]entry, prefix string) map[string]Revision {
	out := map[string]Revision{}
	for k, e := range m {
		if strings.HasPrefix(k, prefix) {
			out[k] = e.rev
		}
	}
	return out
}

func (t *memoryTx) Walk(prefix string, f func(string, []byte) error) error {
	t.note(t.walks, prefix)
	for _, k := range slices.Sorted(maps.Keys(t.m)) {
		if strings.HasPrefix(k, prefix) {
			if err := f(k, t.m[k].value); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *memoryTx) Put(key string, value []byte) error {
	t.note(t.writes, key)
	t.m[key] = entry{append([]byte{}, value...), t.m[key].rev}
	return nil
}

func (t *memoryTx) Delete(key string) error {
	t.note(t.writes, key)
	delete(t.m, key)
	return nil
}
