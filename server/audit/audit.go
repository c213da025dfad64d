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
	"log/slog"
	"slices"
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
	spareKey  = "audit/spare" // the seq up to which entries of the spare file are stored
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

	log *slog.Logger

	wake  chan struct{} // something is owed
	ready chan struct{}

	mu       sync.Mutex
	at       state
	spare    *spare  // nil: there is none
	seq      uint64  // of the last entry that was owed
	owed     []*Owed // not stored yet, as the store took nothing
	unkept   int     // of which are not in the spare file
	lost     int     // of which there were too many, and no entry says so yet
	lostEver int
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
	l := &Log{store: db, key: key, now: time.Now, most: limits{maxEntries, maxBytes},
		log: slog.New(slog.DiscardHandler), wake: make(chan struct{}, 1), ready: make(chan struct{})}
	l.at = state{pruned: doc.AuditMark{Hash: Start}, hash: Start}
	err := db.View(ctx, func(tx store.Tx) error {
		s := &l.at
		if err := store.GetJSON(tx, prunedKey, &s.pruned); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if err := store.GetJSON(tx, spareKey, &l.seq); err != nil && !errors.Is(err, store.ErrNotFound) {
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

// WithSpare has the record keep what the store does not take in a file, whose room is taken now, and returns the
// record. What an earlier server left there is owed by this one. Without room for the file it goes on without one, and
// says so.
func (l *Log) WithSpare(path string, log *slog.Logger) *Log {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.log = log
	s, lines, lost, err := openSpare(path)
	if err != nil {
		log.Error("there is no room to keep entries of the record of changes when the disk is full", "file", path,
			"err", err)
	}
	l.spare, l.lost = s, l.lost+lost
	taken := l.seq
	for i := range lines {
		x := &lines[i]
		switch l.seq = max(l.seq, x.Seq); {
		case x.Seq <= taken: // the server was killed before it let go of it
		case x.Entry == nil:
			l.lost += x.Lost
		default:
			l.owed = append(l.owed, &Owed{seq: x.Seq, of: x.Of, entry: *x.Entry})
		}
	}
	l.lostEver += l.lost
	return l
}

// Asked stores that somebody asks for a change, before anything of it is done, and returns the entry's number. With an
// error nothing is stored, and the change must not be made; Owe says how to make one all the same.
func (l *Log) Asked(ctx context.Context, e doc.AuditEntry) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.Kind, e.Time = doc.AuditAsked, l.now().UTC()
	return l.put(ctx, &Owed{entry: e})
}

// Done stores what came of a change. What cannot be stored now is owed.
func (l *Log) Done(ctx context.Context, of uint64, e doc.AuditEntry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.Kind, e.Time, e.Of = doc.AuditDone, l.now().UTC(), of
	_, err := l.put(ctx, &Owed{entry: e})
	if err != nil {
		l.owe(&Owed{entry: e})
	}
	return err
}

// put stores what is owed and then the entry, if it is one, and returns the number of the last.
func (l *Log) put(ctx context.Context, o *Owed) (uint64, error) {
	all := slices.Clone(l.owed)
	if l.lost > 0 {
		all = append(all, &Owed{entry: doc.AuditEntry{Kind: doc.AuditLost, Time: l.now().UTC(), Lost: l.lost}})
	}
	if o != nil {
		all = append(all, o)
	}
	lines, numbers := make([]doc.AuditLine, len(all)), map[uint64]uint64{} // numbers by seq
	next := l.at
	for i, o := range all {
		next.last++
		e := o.entry
		e.V, e.N = session.Version, next.last
		if numbers[o.seq] = e.N; o.of != 0 && e.Of == 0 {
			e.Of = numbers[o.of]
		}
		text, err := json.Marshal(&e)
		if err != nil {
			return 0, err
		}
		lines[i] = doc.AuditLine{Prev: next.hash, Hash: Hash(next.hash, text), Entry: text}
		next.hash = lines[i].Hash
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
		if len(l.owed) > 0 || l.lost > 0 {
			if err := store.PutJSON(tx, spareKey, l.seq); err != nil {
				return err
			}
		}
		return l.prune(tx, &end)
	})
	if err != nil {
		return 0, err
	}
	for _, o := range all {
		o.n = numbers[o.seq]
	}
	if len(l.owed) > 0 || l.lost > 0 {
		l.log.Info("entries of the record of changes that waited are stored", "entries", len(l.owed), "lost", l.lost)
		if err := l.spare.clear(); err != nil { // they are known to be stored all the same, by their seq
			l.log.Warn("the spare file of the record of changes is not cleared", "err", err)
		}
	}
	l.at, l.owed, l.lost, l.unkept = end, nil, 0, 0
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
	out := &doc.Audit{Pruned: l.at.pruned, Head: head, Lines: []doc.AuditLine{}, Waiting: len(l.owed), Lost: l.lost}
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
