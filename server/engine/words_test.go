package engine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/store"
)

// ears take words in, as records of a prefix of their own.
type ears struct {
	mu     sync.Mutex
	n      int
	stored chan struct{}
}

func (w *ears) Take(word doc.Word) map[string]any {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n++
	return map[string]any{fmt.Sprintf("words/%04d", w.n): word, "words-gone": nil}
}

func (w *ears) Stored() {
	select {
	case w.stored <- struct{}{}:
	default:
	}
}

// witness is a store that looks at each transaction: whoever reads that a session or a part is over reads its word too.
type witness struct {
	*store.Memory
	t *testing.T
}

func (w *witness) Update(ctx context.Context, f func(store.WriteTx) error) error {
	err := w.Memory.Update(ctx, f)
	words := map[string]bool{}
	_ = w.View(ctx, func(tx store.Tx) error {
		_ = tx.Walk("words/", func(_ string, b []byte) error {
			var word doc.Word
			if err := json.Unmarshal(b, &word); err != nil {
				w.t.Error(err)
			}
			words[word.Session+"/"+word.Node] = true
			return nil
		})
		for _, prefix := range []string{"session/", "part/"} {
			_ = tx.Walk(prefix, func(key string, b []byte) error {
				var v struct{ State string }
				if err := json.Unmarshal(b, &v); err != nil {
					w.t.Error(err)
				}
				id, node, _ := strings.Cut(strings.TrimPrefix(key, prefix), "/")
				if (v.State == doc.Done || v.State == doc.Failed || v.State == doc.Absent) && !words[id+"/"+node] {
					w.t.Errorf("%s is %s in the store, and no word of it is", key, v.State)
				}
				return nil
			})
		}
		return nil
	})
	return err
}

func heard(t *testing.T, s store.Store) (all []string) {
	t.Helper()
	err := s.View(t.Context(), func(tx store.Tx) error {
		return tx.Walk("words/", func(_ string, b []byte) error {
			var w doc.Word
			err := json.Unmarshal(b, &w)
			all = append(all, strings.Join(strings.Fields(w.Kind+" "+w.Session+" "+w.State), " "))
			return err
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestWords: what happens is told once, with the transaction that it is of, and not again after a restart.
func TestWords(t *testing.T) {
	h := newHouse(t)
	h.crash()
	ears := &ears{stored: make(chan struct{}, 1)}
	h.store, h.words = &witness{store.NewMemory(), t}, ears
	h.start()
	a, b := h.machine(1), h.machine(2)
	a.uuid, a.serial = "4c4c4544-0001", "A1"
	b.uuid, b.serial = "4c4c4544-0002", "A2"
	a.powerOn()
	b.powerOn()
	s := h.create(doc.Spec{Image: "debian", Nodes: []string{a.mac, b.mac, "52:54:00:00:00:09"}, MaxWait: 60})
	h.pass(2 * time.Minute)
	a.say(s.ID, goodRestore...)
	b.say(s.ID, session.StepPlan, session.StepFailed+": the disk is failing")
	h.expect(s.ID, "failed done failed absent")
	want := []string{"machine.new approved", "machine.new approved", "machine.failed s1 absent", "machine.done s1 done",
		"machine.failed s1 failed", "session.ended s1 failed"}
	check := func(when string) {
		t.Helper()
		got := heard(t, h.store)
		slices.Sort(got)
		sorted := slices.Sorted(slices.Values(want))
		if !slices.Equal(got, sorted) {
			t.Errorf("%s: %q, want %q", when, got, sorted)
		}
	}
	check("at its end")
	h.restart()
	a.powerOn()
	check("after a restart")
	finding := doc.Word{Kind: doc.WordFinding, Title: "two DHCP servers", Finding: "dhcp"}
	if err := h.e.Tell(t.Context(), finding); err != nil {
		t.Fatal(err)
	}
	want = append(want, "doctor.finding")
	check("after a finding")
	<-ears.stored
}
