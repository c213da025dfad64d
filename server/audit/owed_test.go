package audit

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/store"
)

var quiet = slog.New(slog.DiscardHandler)

func entries(t *testing.T, l *Log) (out []doc.AuditEntry) {
	t.Helper()
	for _, line := range all(t, l).Lines {
		var e doc.AuditEntry
		if err := json.Unmarshal(line.Entry, &e); err != nil {
			t.Fatal(err)
		}
		out = append(out, e)
	}
	return out
}

// said is what the record has, a word for each entry.
func said(t *testing.T, l *Log) string {
	t.Helper()
	var out []string
	for _, e := range entries(t, l) {
		switch {
		case e.Kind == doc.AuditLost:
			out = append(out, "lost")
		case e.Kind == doc.AuditDone && e.Of != 0:
			out = append(out, "done-of-"+string(rune('0'+e.Of)))
		default:
			out = append(out, e.Kind+"-"+e.Who)
		}
	}
	return strings.Join(out, " ")
}

// TestOwedOutlivesTheServer has changes made while the store takes nothing, and ends the server in every way between.
func TestOwedOutlivesTheServer(t *testing.T) {
	key, pin := newKey(t)
	broken := errors.New("disk is full")
	ctx := t.Context()
	for name, c := range map[string]struct {
		change func(l *Log, db *store.Memory)
		want   string
	}{
		"done, then killed": {func(l *Log, _ *store.Memory) {
			o := l.Owe(doc.AuditEntry{Who: "eve"})
			if err := l.DoneOwed(ctx, o, doc.AuditEntry{Status: 200}); !errors.Is(err, broken) {
				t.Errorf("got %v", err)
			}
		}, "asked-ada asked-eve done-of-2 asked-ann"},
		"killed while it is done": {func(l *Log, _ *store.Memory) { l.Owe(doc.AuditEntry{Who: "eve"}) },
			"asked-ada asked-eve asked-ann"},
		"two, one in the other": {func(l *Log, _ *store.Memory) {
			a, b := l.Owe(doc.AuditEntry{Who: "eve"}), l.Owe(doc.AuditEntry{Who: "bob"})
			_, _ = l.DoneOwed(ctx, b, doc.AuditEntry{}), l.DoneOwed(ctx, a, doc.AuditEntry{})
		}, "asked-ada asked-eve asked-bob done-of-3 done-of-2 asked-ann"},
		"the store works again before it is done": {func(l *Log, db *store.Memory) {
			o := l.Owe(doc.AuditEntry{Who: "eve"})
			db.SetFail(nil)
			ask(t, l, "bob")
			db.SetFail(broken)
			_ = l.DoneOwed(ctx, o, doc.AuditEntry{Status: 200})
		}, "asked-ada asked-eve asked-bob done-of-2 asked-ann"},
		"stopped": {func(l *Log, _ *store.Memory) { l.Owe(doc.AuditEntry{Who: "eve"}); l.Close(ctx) },
			"asked-ada asked-eve asked-ann"},
		"stopped when the store works": {func(l *Log, db *store.Memory) {
			l.Owe(doc.AuditEntry{Who: "eve"})
			db.SetFail(nil)
			l.Close(ctx)
			if w := l.Waits(); w.Entries != 0 {
				t.Errorf("%d wait after the end", w.Entries)
			}
		}, "asked-ada asked-eve asked-ann"},
		"too many": {func(l *Log, _ *store.Memory) {
			for range maxOwed {
				l.Owe(doc.AuditEntry{Who: "eve", Document: json.RawMessage(`"` + strings.Repeat("x", 2000) + `"`)})
			}
			o := l.Owe(doc.AuditEntry{Who: "bob"})
			_ = l.DoneOwed(ctx, o, doc.AuditEntry{})
			if w := l.Waits(); w.Entries != maxOwed || w.Lost != 2 || w.Unkept == 0 || w.Since.IsZero() {
				t.Errorf("%+v", w)
			}
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			db, file := store.NewMemory(), filepath.Join(t.TempDir(), SpareFile)
			l := open(t, db, key).WithSpare(file, quiet)
			ask(t, l, "ada")
			db.SetFail(broken)
			c.change(l, db)
			db.SetFail(nil)
			l = open(t, db, key).WithSpare(file, quiet) // the next start
			ask(t, l, "ann")
			if err := holds(all(t, l), pin); err != nil && c.want != "" {
				t.Error(err)
			}
			got := said(t, l)
			if c.want != "" && got != c.want {
				t.Errorf("recorded: %s; want %s", got, c.want)
			}
			if c.want == "" && (!strings.HasPrefix(got, "asked-ada asked-eve asked-eve") ||
				!strings.Contains(got, "lost asked-ann")) {
				t.Errorf("recorded: %.200s", got)
			}
			// Nothing is recorded twice by the start after that, also when the file was not cleared.
			n := l.at.last
			if l = open(t, db, key).WithSpare(file, quiet); l.Waits().Entries != 0 || l.settle(ctx) != nil ||
				l.at.last != n {
				t.Errorf("%d entries more after another start", l.at.last-n)
			}
		})
	}
}

// TestSpareNotCleared: a server that is killed between the store and the file owes nothing twice.
func TestSpareNotCleared(t *testing.T) {
	key, _ := newKey(t)
	db, file := store.NewMemory(), filepath.Join(t.TempDir(), SpareFile)
	l := open(t, db, key).WithSpare(file, quiet)
	db.SetFail(errors.New("disk is full"))
	l.Owe(doc.AuditEntry{Who: "eve"})
	left, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	db.SetFail(nil)
	ask(t, l, "ada")
	if err := os.WriteFile(file, left, 0o600); err != nil {
		t.Fatal(err)
	}
	l = open(t, db, key).WithSpare(file, quiet)
	ask(t, l, "ann")
	if got := said(t, l); got != "asked-eve asked-ada asked-ann" {
		t.Errorf("recorded: %s", got)
	}
}

// TestOwedIsStoredByItself waits for the entry without any other change.
func TestOwedIsStoredByItself(t *testing.T) {
	key, _ := newKey(t)
	db := store.NewMemory()
	l := open(t, db, key).WithSpare(filepath.Join(t.TempDir(), SpareFile), quiet)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }() // ends with cancel
	<-l.Ready()
	db.SetFail(errors.New("disk is full"))
	l.Owe(doc.AuditEntry{Who: "eve"})
	db.SetFail(nil)
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for end := time.Now().Add(time.Minute); l.Waits().Entries > 0; <-look.C {
		if time.Now().After(end) {
			t.Fatal("it is not stored")
		}
	}
	if got := said(t, l); got != "asked-eve" {
		t.Errorf("recorded: %s", got)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestFullDisk fills the disk with the state and the spare file: the entry is there after the server was killed.
func TestFullDisk(t *testing.T) {
	need.Root(t)
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=4m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	key, pin := newKey(t)
	start := func() (*Log, *store.Bolt) {
		db, err := store.OpenBolt(filepath.Join(dir, store.File))
		if err != nil {
			t.Fatal(err)
		}
		return open(t, db, key).WithSpare(filepath.Join(dir, SpareFile), quiet), db
	}
	l, db := start()
	ask(t, l, "ada")
	stuff := filepath.Join(dir, "stuff")
	if err := os.WriteFile(stuff, make([]byte, 4<<20), 0o600); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	var err error
	for n := 0; err == nil; n++ { // bbolt has some room in its file
		_, err = l.Asked(t.Context(), doc.AuditEntry{Who: "bob", Document: json.RawMessage(`"` +
			strings.Repeat("x", 60000) + `"`)})
	}
	bobs := l.at.last - 1
	_ = l.DoneOwed(t.Context(), l.Owe(doc.AuditEntry{Who: "eve"}), doc.AuditEntry{Status: 200})
	if w := l.Waits(); w.Entries+int(l.at.last-1-bobs) != 2 || w.Unkept != 0 {
		t.Errorf("on a full disk: %+v", w)
	}
	l.spare.close() // as if it were killed
	if err := errors.Join(db.Close(), os.Remove(stuff)); err != nil {
		t.Fatal(err)
	}
	l, db = start()
	defer db.Close()
	defer l.Close(t.Context())
	if err := l.settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := entries(t, l)
	last := got[len(got)-2:]
	if err := holds(all(t, l), pin); err != nil || last[0].Who != "eve" || last[1].Of != last[0].N {
		t.Errorf("%v: %+v", err, last)
	}
}

// FuzzSpare: whatever is in the file, it is read in bounds, and what is appended to it is read back.
func FuzzSpare(f *testing.F) {
	text, err := (&spareLine{Seq: 7, Entry: &doc.AuditEntry{Who: "ada"}}).text()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add(append(text, text[:20]...))
	f.Add([]byte("\x00"))
	f.Fuzz(func(t *testing.T, text []byte) {
		file := filepath.Join(t.TempDir(), SpareFile)
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		s, before, _, err := openSpare(file)
		if err != nil {
			t.Fatal(err)
		}
		err = s.add(&Owed{seq: 9, entry: doc.AuditEntry{Who: "new"}})
		s.close()
		s, after, _, again := openSpare(file)
		if again != nil {
			t.Fatal(again)
		}
		s.close()
		if err == nil && (len(after) != len(before)+1 || after[len(before)].Entry.Who != "new") {
			t.Errorf("%d lines, then %d", len(before), len(after))
		}
	})
}
