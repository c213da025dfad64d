package events

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/diskcast/diskcast/internal/session"
)

// mailbox is a server that takes batches, and refuses or holds them when told to.
type mailbox struct {
	mu      sync.Mutex
	got     []session.Event
	batches int
	refuse  error
	hold    chan struct{} // closed when the server is there again
}

func (m *mailbox) post(ctx context.Context, b session.Events) error {
	m.mu.Lock()
	hold := m.hold
	m.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	raw, err := json.Marshal(b)
	if err != nil || len(raw) > session.MaxDocument {
		return errors.New("batch too large")
	}
	if m.refuse != nil {
		return m.refuse
	}
	m.batches++
	m.got = append(m.got, b.Events...)
	return nil
}

func start(t *testing.T, m *mailbox, o Options) *Reporter {
	o.Post, o.Boot = m.post, "b"
	r := New(o)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := r.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return r
}

func TestOrderAndNumbers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &mailbox{}
		var console bytes.Buffer
		r := start(t, m, Options{Console: &console, Since: func() time.Duration { return 1500 * time.Millisecond }})
		r.Stepf(session.StepAgent, session.Info, "node %s", "n1")
		r.Session("s1")
		r.Step(session.StepPlan, session.Info, "plan", &session.Progress{Needed: 5})
		r.Refused(0, "the first")
		r.Refused(-1, "which?")
		log := r.Logger(slog.LevelInfo)
		log.With("nic", "eth0").WithGroup("g").Warn("a line", "k", "v w", "n", 1, slog.Group("h", "i", 2))
		log.Debug("not this")
		if err := r.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := []session.Event{
			{Seq: 1, Step: "agent", Level: "info", Message: "node n1", Since: 1.5},
			{Seq: 2, Session: "s1", Step: "plan", Level: "info", Message: "plan", Since: 1.5},
			{Seq: 3, Session: "s1", Step: "chunk", Level: "warn", Message: "the first", Since: 1.5, Chunk: new(0)},
			{Seq: 4, Session: "s1", Step: "chunk", Level: "warn", Message: "which?", Since: 1.5},
			{Seq: 5, Session: "s1", Step: "log", Level: "warn", Message: `a line nic=eth0 g.k="v w" g.n=1 g.h.i=2`,
				Since: 1.5},
		}
		if len(m.got) != len(want) {
			t.Fatalf("%d events: %+v", len(m.got), m.got)
		}
		for i, e := range m.got {
			e.Progress = nil
			if !reflect.DeepEqual(e, want[i]) {
				t.Errorf("event %d: %+v, want %+v", i, e, want[i])
			}
		}
		for _, line := range []string{"diskcast [   1.50] agent: node n1\n",
			"diskcast [   1.50] warning: a line nic=eth0"} {
			if !strings.Contains(console.String(), line) {
				t.Errorf("%q is not on the console:\n%s", line, &console)
			}
		}
	})
}

func TestProgressIsSparse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &mailbox{}
		r := start(t, m, Options{})
		for i := range 50 {
			r.Progress("", session.Progress{Received: int64(i)})
			time.Sleep(100 * time.Millisecond) // of the bubble's clock
		}
		synctest.Wait()
		if len(m.got) != 5 {
			t.Errorf("%d progress events in 5 s", len(m.got))
		}
	})
}

// TestServerAway fills the queue many times over while the server is away.
func TestServerAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &mailbox{hold: make(chan struct{})}
		r := start(t, m, Options{})
		r.Session("s")
		r.Stepf(session.StepTable, session.Info, "kept")
		for i := range 3 * maxQueue {
			r.Log(session.Info, "a line")
			if i%100 == 0 {
				r.Progress("p", session.Progress{})
				time.Sleep(time.Second)
			}
		}
		r.Stepf(session.StepFailed, session.Error, "kept too")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.Flush(ctx); !errors.Is(err, ErrUnsent) {
			t.Errorf("flush: %v", err)
		}
		if n := len(r.queue); n > maxQueue {
			t.Errorf("%d events in memory", n)
		}
		close(m.hold)
		if err := r.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		steps, told := map[string]int{}, false
		last := uint64(0)
		for _, e := range m.got {
			steps[e.Step]++
			told = told || strings.Contains(e.Message, "were dropped")
			if e.Seq <= last {
				t.Fatalf("event %d after %d", e.Seq, last)
			}
			last = e.Seq
		}
		if steps[session.StepTable] != 1 || steps[session.StepFailed] != 1 || !told {
			t.Errorf("steps %v, told of the loss: %v", steps, told)
		}
	})
}

func TestRefusedBatchDoesNotBlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &mailbox{refuse: errors.New("400")}
		var console bytes.Buffer
		r := start(t, m, Options{Console: &console})
		r.Log(session.Info, "x")
		if err := r.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(console.String(), "refused 1 events: 400") {
			t.Errorf("console: %s", &console)
		}
		m.mu.Lock()
		m.refuse = nil
		m.mu.Unlock()
		r.Log(session.Info, "y")
		if err := r.Flush(t.Context()); err != nil || len(m.got) != 1 {
			t.Errorf("%v, %v", m.got, err)
		}
	})
}

func TestHostileMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &mailbox{}
		r := start(t, m, Options{})
		for range maxBatch + 1 {
			r.Log(session.Info, strings.Repeat("\x00", 10*maxMessage))
			r.Log(session.Info, strings.Repeat("ä\xff", 10*maxMessage))
		}
		if err := r.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(m.got) != 2*maxBatch+2 || m.batches < 3 {
			t.Errorf("%d events in %d batches", len(m.got), m.batches)
		}
		for _, e := range m.got {
			if len(e.Message) > maxMessage {
				t.Fatalf("a message of %d bytes", len(e.Message))
			}
		}
	})
}

// TestResult carries what an action knows, and leaves out what would not fit, in words.
func TestResult(t *testing.T) {
	var got []session.Event
	ctx, cancel := context.WithCancel(t.Context())
	r := New(Options{Boot: "b",
		Post: func(_ context.Context, b session.Events) error { got = append(got, b.Events...); return nil }})
	ended := make(chan error)
	go func() { ended <- r.Run(ctx) }()
	r.Session("s")
	r.Result("erased", session.Info, "done", json.RawMessage(`{"ok":true}`))
	r.Result("erased", session.Info, "long", json.RawMessage(`"`+strings.Repeat("x", session.MaxResult)+`"`))
	if err := r.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	cancel()
	<-ended
	if len(got) != 3 || string(got[0].Result) != `{"ok":true}` || got[0].Session != "s" || got[0].Step != "erased" {
		t.Fatalf("%+v", got)
	}
	if got[1].Step != session.StepLog || !strings.Contains(got[1].Message, "is left out") || got[2].Result != nil ||
		got[2].Message != "long" {
		t.Errorf("%+v", got[1:])
	}
}
