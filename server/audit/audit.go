// Package audit is the record of what was changed over the API: who asked for what, from where, when, and what came of
// it. An entry is stored before anything of the change is done. Each has the hash of the one before it, so that none
// can be changed, put in or taken out without all later ones being others; the server's key signs the newest one, and
// the newest of those that were pruned, so that who kept a mark, or knows the server's pin, sees that.
package audit

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/store"
)

// Keys in the store.
const (
	prefix    = "audit/line/" // + number, 20 digits: doc.AuditLine
	prunedKey = "audit/pruned"
)

// Bounds of what is kept, and of a part that is read.
const (
	maxEntries = 50_000
	maxBytes   = 32 << 20
	maxOwed    = 1000
	MaxLines   = 1000
	maxPart    = 4 << 20 // bytes
)

// Log is the record of a server. All methods may be called from several goroutines.
type Log struct {
	store store.Store
	key   crypto.Signer
	now   func() time.Time
	most  limits

	mu   sync.Mutex
	at   state
	owed []doc.AuditEntry // not stored yet, as the store took nothing
	lost int              // of which there were too many
}

type limits struct {
	entries uint64
	bytes   int64
}

// state is where the chain is.
type state struct {
	pruned doc.AuditMark
	last   uint64
	hash   string // of the last entry
	bytes  int64
}

// New reads the record of a store, and goes on with it. The key is an ECDSA key.
func New(ctx context.Context, db store.Store, key crypto.Signer) (*Log, error) {
	l := &Log{store: db, key: key, now: time.Now, most: limits{maxEntries, maxBytes}}
	l.at = state{pruned: doc.AuditMark{Hash: Start}, hash: Start}
	err := db.View(ctx, func(tx store.Tx) error {
		s := &l.at
		if err := store.GetJSON(tx, prunedKey, &s.pruned); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		s.last, s.hash = s.pruned.N, s.pruned.Hash
		newest := ""
		if err := tx.Walk(prefix, func(key string, v []byte) error {
			newest = key
			s.bytes += int64(len(v))
			return nil
		}); err != nil || newest == "" {
			return err
		}
		var line doc.AuditLine
		if err := store.GetJSON(tx, newest, &line); err != nil {
			return err
		}
		if _, err := fmt.Sscanf(newest, prefix+"%d", &s.last); err != nil {
			return fmt.Errorf("%s is no entry: %w", newest, err)
		}
		s.hash = line.Hash
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the record of changes: %w", err)
	}
	if l.at.pruned.Sig == nil {
		if l.at.pruned, err = l.mark(0, Start); err != nil {
			return nil, err
		}
	}
	return l, nil
}

func keyOf(n uint64) string { return fmt.Sprintf("%s%020d", prefix, n) }

// Asked stores that somebody asks for a change, before anything of it is done, and returns the entry's number. With an
// error nothing is stored, and the change must not be made; Owe says how to make one all the same.
func (l *Log) Asked(ctx context.Context, e doc.AuditEntry) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.Kind, e.Time = doc.AuditAsked, l.now().UTC()
	return l.put(ctx, e)
}

// Done stores what came of a change. What cannot be stored now is with the next entry.
func (l *Log) Done(ctx context.Context, of uint64, e doc.AuditEntry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.Kind, e.Time, e.Of = doc.AuditDone, l.now().UTC(), of
	_, err := l.put(ctx, e)
	if err != nil {
		l.owe(e)
	}
	return err
}

// Owe keeps what Asked could not store and what came of it, of a change that must be possible all the same, such as
// ending something. Both are stored with the next entry that is; until then they are in memory only.
func (l *Log) Owe(asked, done doc.AuditEntry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	asked.Kind, asked.Time = doc.AuditAsked, l.now().UTC()
	done.Kind, done.Time = doc.AuditDone, asked.Time
	l.owe(asked, done)
}

func (l *Log) owe(entries ...doc.AuditEntry) {
	if len(l.owed)+len(entries) > maxOwed {
		l.lost += len(entries)
		return
	}
	l.owed = append(l.owed, entries...)
}

// put stores what is owed and the entry, and returns its number.
func (l *Log) put(ctx context.Context, e doc.AuditEntry) (uint64, error) {
	all := append([]doc.AuditEntry(nil), l.owed...)
	if l.lost > 0 {
		all = append(all, doc.AuditEntry{Kind: doc.AuditLost, Time: l.now().UTC(), Lost: l.lost})
	}
	all = append(all, e)
	var lines []doc.AuditLine
	next := l.at
	for i := range all {
		next.last++
		all[i].V, all[i].N = session.Version, next.last
		if all[i].Kind == doc.AuditDone && all[i].Of == 0 {
			all[i].Of = all[i].N - 1 // owed with what it is of
		}
		text, err := json.Marshal(&all[i])
		if err != nil {
			return 0, err
		}
		line := doc.AuditLine{Prev: next.hash, Hash: Hash(next.hash, text), Entry: text}
		next.hash = line.Hash
		lines = append(lines, line)
	}
	var end state
	err := l.store.Update(ctx, func(tx store.WriteTx) error {
		end = next // an update may run again
		for i, line := range lines {
			v, err := json.Marshal(line)
			if err != nil {
				return err
			}
			end.bytes += int64(len(v))
			if err := tx.Put(keyOf(l.at.last+uint64(i)+1), v); err != nil {
				return err
			}
		}
		return l.prune(tx, &end)
	})
	if err != nil {
		return 0, err
	}
	l.at, l.owed, l.lost = end, nil, 0
	return end.last, nil
}

// prune lets go of the oldest tenth when there is more than is kept, and signs which entry was the last of it.
func (l *Log) prune(tx store.WriteTx, s *state) error {
	if s.last-s.pruned.N <= l.most.entries && s.bytes <= l.most.bytes {
		return nil
	}
	n, hash := s.pruned.N, s.pruned.Hash
	for n+1 < s.last && (s.last-n > l.most.entries*9/10 || s.bytes > l.most.bytes*9/10) {
		v, err := tx.Get(keyOf(n + 1))
		if err != nil {
			return err
		}
		var line doc.AuditLine
		if json.Unmarshal(v, &line) != nil {
			line.Hash = Hash(hash, v) // it was changed, which shows; and nobody is kept from what they ask for
		}
		n, hash = n+1, line.Hash
		s.bytes -= int64(len(v))
		if err := tx.Delete(keyOf(n)); err != nil {
			return err
		}
	}
	var err error
	if s.pruned, err = l.mark(n, hash); err != nil {
		return err
	}
	return store.PutJSON(tx, prunedKey, &s.pruned)
}

// List returns entries with a number above after, at most limit and MaxLines of them, in order.
func (l *Log) List(ctx context.Context, after uint64, limit int) (*doc.Audit, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	head, err := l.mark(l.at.last, l.at.hash)
	if err != nil {
		return nil, err
	}
	out := &doc.Audit{Pruned: l.at.pruned, Head: head, Lines: []doc.AuditLine{}}
	bytes := 0
	err = l.store.View(ctx, func(tx store.Tx) error {
		for n := max(after, l.at.pruned.N) + 1; n <= l.at.last && len(out.Lines) < min(limit, MaxLines); n++ {
			var line doc.AuditLine
			if err := store.GetJSON(tx, keyOf(n), &line); err != nil {
				return fmt.Errorf("entry %d of the record of changes: %w", n, err)
			}
			out.Lines = append(out.Lines, line)
			if bytes += len(line.Entry); bytes > maxPart {
				break
			}
		}
		return nil
	})
	return out, err
}
