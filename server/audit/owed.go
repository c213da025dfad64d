package audit

import (
	"context"
	"log/slog"
	"time"

	"github.com/diskcast/diskcast/server/doc"
)

// Owed is an entry that the store did not take. It is stored before all later ones, as soon as the store takes
// something; until then it is in memory, and in the spare file where there is one.
type Owed struct {
	seq   uint64 // in the spare file
	of    uint64 // the seq of what an entry AuditDone is of; 0: it names it by its number
	entry doc.AuditEntry
	n     uint64 // its number once it is stored
	lost  bool
}

// Waits are what the record does not have yet.
type Waits struct {
	Entries int       // that wait for the store
	Since   time.Time // the first of them
	Lost    int       // of which there were too many, in all since the server started
	Unkept  int       // of Entries those that are in memory only: they are gone when the server is killed
}

// Owe keeps that somebody asks for a change which Asked could not store, of a change that must be possible all the
// same, such as ending something. It is called before the change is made.
func (l *Log) Owe(asked doc.AuditEntry) *Owed {
	l.mu.Lock()
	defer l.mu.Unlock()
	asked.Kind, asked.Time = doc.AuditAsked, l.now().UTC()
	return l.owe(&Owed{entry: asked})
}

// DoneOwed stores what came of such a change.
func (l *Log) DoneOwed(ctx context.Context, o *Owed, done doc.AuditEntry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	done.Kind, done.Time, done.Of = doc.AuditDone, l.now().UTC(), o.n
	if o.lost {
		l.lose(1)
		return nil
	}
	_, err := l.put(ctx, &Owed{of: o.seq, entry: done})
	if err != nil {
		l.owe(&Owed{of: o.seq, entry: done})
	}
	return err
}

// owe keeps an entry until it can be stored. What the spare file does not take is in the log, whole.
func (l *Log) owe(o *Owed) *Owed {
	defer l.nudge()
	if len(l.owed) >= maxOwed {
		o.lost = true
		l.lose(1)
		return o
	}
	l.seq++
	o.seq = l.seq
	l.owed = append(l.owed, o)
	if err := l.spare.add(o); err != nil {
		l.unkept++
		l.log.Error("an entry of the record of changes is in memory only", "entry", o.entry, "of", o.of, "err", err)
	}
	return o
}

func (l *Log) lose(n int) {
	l.seq++ // so that it is told from what was lost and recorded before
	l.lost += n
	l.lostEver += n
	if err := l.spare.lose(l.seq, l.lost); err != nil {
		l.log.Error("entries of the record of changes are lost", "in all", l.lostEver, "err", err)
	}
}

func (l *Log) nudge() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Waits says what the record does not have yet.
func (l *Log) Waits() Waits {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := Waits{Entries: len(l.owed), Lost: l.lostEver, Unkept: l.unkept}
	if len(l.owed) > 0 {
		w.Since = l.owed[0].entry.Time
	}
	return w
}

// settle stores what is owed.
func (l *Log) settle(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.owed) == 0 && l.lost == 0 {
		return nil
	}
	_, err := l.put(ctx, nil)
	return err
}

// Name implements task.Task.
func (l *Log) Name() string { return "record of changes" }

// Ready implements task.Task.
func (l *Log) Ready() <-chan struct{} { return l.ready }

// Bounds of the time between two tries to store what is owed.
const (
	firstTry = time.Second
	lastTry  = 30 * time.Second
)

// Run stores what is owed as soon as the store takes it, until ctx ends. It implements task.Task.
func (l *Log) Run(ctx context.Context) error {
	close(l.ready)
	wait := firstTry
	again := time.NewTimer(0) // what the last server left in the spare file
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-l.wake:
			again.Reset(wait)
			continue
		case <-again.C:
		}
		if err := l.settle(ctx); err != nil {
			l.log.Warn("entries of the record of changes wait to be stored", "entries", l.Waits().Entries, "err", err)
			wait = min(2*wait, lastTry)
			again.Reset(wait)
			continue
		}
		wait = firstTry
	}
}

// Close stores what is owed, when nothing is changed any more. What the store does not take is in the spare file, from
// which the next server's record has it; what is in neither is said, and was logged.
func (l *Log) Close(ctx context.Context) {
	err := l.settle(ctx)
	defer l.spare.close()
	if err == nil {
		return
	}
	level, w := slog.LevelWarn, l.Waits()
	if w.Unkept > 0 || l.spare == nil {
		level = slog.LevelError
	}
	l.log.Log(ctx, level, "the server ends, and entries of the record of changes were not stored; the next one stores "+
		"those that are in the spare file", "entries", w.Entries, "in memory only", w.Unkept, "err", err)
}
