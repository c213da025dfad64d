package audit

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/receipt"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/store"
)

func newKey(t *testing.T) (key crypto.Signer, pin string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(k.Public())
	if err != nil {
		t.Fatal(err)
	}
	return k, receipt.Pin(der)
}

func open(t *testing.T, db store.Store, key crypto.Signer) *Log {
	t.Helper()
	l, err := New(t.Context(), db, key)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func ask(t *testing.T, l *Log, who string) uint64 {
	t.Helper()
	n, err := l.Asked(t.Context(), doc.AuditEntry{Who: who, Request: "POST /v1/sessions",
		Document: json.RawMessage(`{"notes": "a < b & c"}`)})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// all reads the record as a client does, after a way over the wire.
func all(t *testing.T, l *Log) *doc.Audit {
	t.Helper()
	out, err := l.List(t.Context(), 0, MaxLines)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	out = &doc.Audit{}
	if err := json.Unmarshal(b, out); err != nil {
		t.Fatal(err)
	}
	return out
}

// holds checks a record as who knows the server's pin can.
func holds(a *doc.Audit, pin string) error {
	c := From(&a.Pruned)
	for i := range a.Lines {
		if _, err := c.Add(&a.Lines[i]); err != nil {
			return err
		}
	}
	return errors.Join(CheckMark(&a.Pruned, pin), CheckMark(&a.Head, pin), c.Ends(&a.Head))
}

func TestTheChainHolds(t *testing.T) {
	db := store.NewMemory()
	key, pin := newKey(t)
	l := open(t, db, key)
	if err := holds(all(t, l), pin); err != nil {
		t.Errorf("an empty record: %v", err)
	}
	n := ask(t, l, "ada")
	if err := l.Done(t.Context(), n, doc.AuditEntry{Status: 201}); err != nil {
		t.Fatal(err)
	}
	l = open(t, db, key) // the next start
	if n := ask(t, l, "eve"); n != 3 {
		t.Errorf("entry %d follows the second", n)
	}
	got := all(t, l)
	if err := holds(got, pin); err != nil || len(got.Lines) != 3 {
		t.Errorf("%d entries: %v", len(got.Lines), err)
	}
	var e doc.AuditEntry
	if err := json.Unmarshal(got.Lines[1].Entry, &e); err != nil || e.Kind != doc.AuditDone || e.Of != 1 ||
		e.Status != 201 || e.Time.IsZero() {
		t.Errorf("%+v, %v", e, err)
	}
	part, err := l.List(t.Context(), 1, 1)
	if err != nil || len(part.Lines) != 1 || part.Head.N != 3 {
		t.Errorf("a part: %+v, %v", part, err)
	}
}

// TestTamperingShows changes one thing of a record after another: none is left without a word.
func TestTamperingShows(t *testing.T) {
	key, pin := newKey(t)
	l := open(t, store.NewMemory(), key)
	for i := range 5 {
		ask(t, l, fmt.Sprintf("user-%d", i))
	}
	other, _ := newKey(t)
	forger := open(t, store.NewMemory(), other)
	for range 5 {
		ask(t, forger, "forger")
	}
	forged := all(t, forger)
	for name, change := range map[string]func(a *doc.Audit){
		"an entry is changed": func(a *doc.Audit) {
			a.Lines[2].Entry = json.RawMessage(strings.Replace(string(a.Lines[2].Entry), "user-2", "user-9", 1))
		},
		"an entry is changed, and its hash": func(a *doc.Audit) {
			a.Lines[2].Entry = json.RawMessage(strings.Replace(string(a.Lines[2].Entry), "user-2", "user-9", 1))
			a.Lines[2].Hash = Hash(a.Lines[2].Prev, a.Lines[2].Entry)
		},
		"the last is changed, and its hash": func(a *doc.Audit) {
			a.Lines[4].Entry = json.RawMessage(strings.Replace(string(a.Lines[4].Entry), "user-4", "user-9", 1))
			a.Lines[4].Hash = Hash(a.Lines[4].Prev, a.Lines[4].Entry)
		},
		"one is taken out":    func(a *doc.Audit) { a.Lines = append(a.Lines[:2], a.Lines[3:]...) },
		"the first is gone":   func(a *doc.Audit) { a.Lines = a.Lines[1:] },
		"the last is gone":    func(a *doc.Audit) { a.Lines = a.Lines[:4] },
		"two change places":   func(a *doc.Audit) { a.Lines[1], a.Lines[2] = a.Lines[2], a.Lines[1] },
		"one is there twice":  func(a *doc.Audit) { a.Lines[3] = a.Lines[2] },
		"the mark is another": func(a *doc.Audit) { a.Head.Hash = Start },
		"the mark is earlier": func(a *doc.Audit) { a.Head.N, a.Lines = 4, a.Lines[:4] },
		"the beginning is late": func(a *doc.Audit) {
			a.Pruned.N, a.Pruned.Hash, a.Lines = 1, a.Lines[0].Hash, a.Lines[1:]
		},
		"all is another key's":  func(a *doc.Audit) { *a = *forged },
		"its mark is another's": func(a *doc.Audit) { a.Head = forged.Head },
	} {
		a := all(t, l)
		if change(a); holds(a, pin) == nil {
			t.Errorf("%s, and nobody says so", name)
		}
	}
}

func TestPruned(t *testing.T) {
	db := store.NewMemory()
	key, pin := newKey(t)
	l := open(t, db, key)
	l.most.entries = 100
	for range 1000 {
		ask(t, l, "ada")
		if n := l.at.last - l.at.pruned.N; n > 100 {
			t.Fatalf("%d entries are kept", n)
		}
	}
	a := all(t, l)
	if err := holds(a, pin); err != nil || a.Pruned.N < 900 || a.Head.N != 1000 {
		t.Errorf("pruned %d, head %d: %v", a.Pruned.N, a.Head.N, err)
	}
	was := l.at.bytes
	l = open(t, db, key)
	if l.at.bytes != was || l.at.last != 1000 || holds(all(t, l), pin) != nil {
		t.Errorf("after a restart %+v", l.at)
	}
	l.most.bytes = was / 2
	ask(t, l, "ada")
	if l.at.bytes > l.most.bytes || holds(all(t, l), pin) != nil {
		t.Errorf("%d bytes are kept, %d may be", l.at.bytes, l.most.bytes)
	}
}

// TestNothingIsLostInSilence has the store take nothing for a while.
func TestNothingIsLostInSilence(t *testing.T) {
	db := store.NewMemory()
	key, pin := newKey(t)
	l := open(t, db, key)
	n := ask(t, l, "ada")
	broken := errors.New("disk is full")
	db.SetFail(broken)
	if _, err := l.Asked(t.Context(), doc.AuditEntry{Who: "eve"}); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if err := l.Done(t.Context(), n, doc.AuditEntry{Status: 200}); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	for range maxOwed/2 + 5 {
		_ = l.DoneOwed(t.Context(), l.Owe(doc.AuditEntry{Who: "ann"}), doc.AuditEntry{Status: 200})
	}
	if len(l.owed) > maxOwed {
		t.Errorf("%d are kept in memory", len(l.owed))
	}
	db.SetFail(nil)
	ask(t, l, "ada")
	out, err := l.List(t.Context(), 0, MaxLines)
	if err != nil {
		t.Fatal(err)
	}
	rest, err := l.List(t.Context(), MaxLines, MaxLines)
	if err != nil {
		t.Fatal(err)
	}
	out.Lines = append(out.Lines, rest.Lines...)
	const owed = maxOwed // one stands alone, the others come by twos, of the last of which one was lost
	if err := holds(out, pin); err != nil || len(out.Lines) != 1+owed+2 {
		t.Errorf("%d entries: %v", len(out.Lines), err)
	}
	var done, lost, pair doc.AuditEntry
	if err := errors.Join(json.Unmarshal(out.Lines[1].Entry, &done),
		json.Unmarshal(out.Lines[3].Entry, &pair), json.Unmarshal(out.Lines[1+owed].Entry, &lost)); err != nil {
		t.Fatal(err)
	}
	if done.Kind != doc.AuditDone || done.Of != n || lost.Kind != doc.AuditLost || lost.Lost != 11 ||
		pair.Kind != doc.AuditDone || pair.Of != 3 {
		t.Errorf("%+v, %+v, %+v", done, lost, pair)
	}
}

func FuzzChain(f *testing.F) {
	f.Add([]byte(`{"prev":"0","hash":"0","entry":{"v":1,"n":1}}`))
	f.Add([]byte(`{"entry":null}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var l doc.AuditLine
		if json.Unmarshal(text, &l) != nil {
			return
		}
		var c Chain
		if e, err := c.Add(&l); err == nil && (Hash(Start, l.Entry) != l.Hash || e.N != 1) {
			t.Errorf("taken: %s", text)
		}
		var m doc.AuditMark
		if json.Unmarshal(text, &m) == nil && CheckMark(&m, receipt.Pin(nil)) == nil {
			t.Errorf("a mark that nobody signed: %s", text)
		}
	})
}
