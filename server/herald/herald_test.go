package herald

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/hook"
	"github.com/diskcast/diskcast/internal/sealed"
	"github.com/diskcast/diskcast/server/config"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/store"
)

const key = "a key of a hook"

var fast = Timing{Send: 10 * time.Second, First: time.Millisecond, Most: 8 * time.Millisecond}

// service is a receiver under the test's control.
type service struct {
	t   *testing.T
	srv *httptest.Server

	mu     sync.Mutex
	heard  []doc.Word
	more   chan struct{}
	answer func(w http.ResponseWriter, r *http.Request) bool // nil: well; reports whether the word counts
}

func newService(t *testing.T) *service {
	s := &service{t: t, more: make(chan struct{})}
	s.srv = httptest.NewServer(s)
	t.Cleanup(s.srv.Close)
	return s
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = hook.Check(r.Header, key, time.Now(), time.Minute, body)
	}
	var word doc.Word
	if err == nil {
		err = json.Unmarshal(body, &word)
	}
	if err != nil || word.ID != r.Header.Get(idHeader) {
		s.t.Errorf("a request that is not signed well: %v %v", err, r.Header)
	}
	s.mu.Lock()
	answer := s.answer
	s.mu.Unlock()
	if answer != nil && !answer(w, r) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heard = append(s.heard, word)
	close(s.more)
	s.more = make(chan struct{})
}

func (s *service) behave(f func(w http.ResponseWriter, r *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = f
}

// wait waits until so many different words were heard, and returns their titles in the order of the first time.
func (s *service) wait(n int) []string {
	s.t.Helper()
	limit := time.After(time.Minute)
	for {
		s.mu.Lock()
		got, more := firsts(s.t, s.heard), s.more
		s.mu.Unlock()
		if len(got) >= n {
			return got
		}
		select {
		case <-more:
		case <-limit:
			s.t.Fatalf("%d words came, want %d", len(got), n)
		}
	}
}

// firsts are the titles without doubles: those of one id are one word.
func firsts(t *testing.T, words []doc.Word) (titles []string) {
	seen := map[string]string{}
	for _, w := range words {
		if title, ok := seen[w.ID]; !ok {
			seen[w.ID] = w.Title
			titles = append(titles, w.Title)
		} else if title != w.Title {
			t.Errorf("%s is %q and %q", w.ID, title, w.Title)
		}
	}
	return titles
}

// post is a herald that runs; stop and start again are methods of it.
type post struct {
	t     *testing.T
	cfg   Config
	h     *Herald
	close func()
}

func newPost(t *testing.T, db store.Store, n config.Notify) *post {
	k, err := sealed.New(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	p := &post{t: t, cfg: Config{Store: db, Key: k, Notify: n, Server: "lab", Timing: fast}}
	t.Cleanup(func() { p.stop() })
	return p
}

func (p *post) start() {
	p.t.Helper()
	h, err := New(p.t.Context(), p.cfg)
	if err != nil {
		p.t.Fatal(err)
	}
	p.h = h
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	<-h.Ready()
	p.close = func() { cancel(); <-done }
}

func (p *post) stop() {
	if p.close != nil {
		p.close()
		p.close = nil
	}
}

func (p *post) secret(name string) {
	p.t.Helper()
	if _, err := p.h.SetSecret(p.t.Context(), name, doc.NotifySecret{V: 1, Secret: key}); err != nil {
		p.t.Fatal(err)
	}
}

// say stores words as the engine does.
func (p *post) say(kind string, titles ...string) {
	p.t.Helper()
	puts := map[string]any{}
	for _, title := range titles {
		for k, v := range p.h.Take(doc.Word{Kind: kind, Title: title}) {
			puts[k] = v
		}
	}
	err := p.cfg.Store.Update(p.t.Context(), func(tx store.WriteTx) error {
		for k, v := range puts {
			err := error(nil)
			if v == nil {
				err = tx.Delete(k)
			} else {
				err = store.PutJSON(tx, k, v)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		p.t.Fatal(err)
	}
	p.h.Stored()
}

func hookTo(name, url string) *config.Webhook {
	return &config.Webhook{Name: name, URL: url, Kinds: doc.WordKinds, GiveUp: time.Hour}
}

func hooks(all ...*config.Webhook) config.Notify { return config.Notify{Webhooks: all} }

// TestAtLeastOnce: whatever a receiver answers and however often the server is ended between, each word is told, in
// order, and one that is told twice has one id.
func TestAtLeastOnce(t *testing.T) {
	for seed := range uint64(8) {
		r := rand.New(rand.NewPCG(seed, 7))
		s := newService(t)
		var mu sync.Mutex
		odds := rand.New(rand.NewPCG(seed, 8))
		s.behave(func(w http.ResponseWriter, _ *http.Request) bool {
			mu.Lock()
			n := odds.IntN(6)
			mu.Unlock()
			switch n {
			case 0:
				w.WriteHeader(500)
				return false
			case 1: // it has the word, and its answer is lost
				c, _, err := w.(http.Hijacker).Hijack()
				if err == nil {
					c.Close()
				}
				return true
			}
			return true
		})
		db := store.NewMemory()
		p := newPost(t, db, hooks(hookTo("a", s.srv.URL)))
		p.start()
		p.secret("a")
		var want []string
		for range 12 {
			for range r.IntN(4) {
				want = append(want, fmt.Sprint("word ", len(want)))
				p.say(doc.WordEnded, want[len(want)-1])
			}
			switch r.IntN(4) {
			case 0:
				p.stop()
				p.start()
			case 1: // killed: what it was about to note is lost
				db.SetFail(errors.New("killed"))
				p.stop()
				db.SetFail(nil)
				p.start()
			}
		}
		if got := s.wait(len(want)); !slices.Equal(got, want) {
			t.Errorf("seed %d: %q, want %q", seed, got, want)
		}
		p.stop()
	}
}

// TestOneHoldsUpNobody: a receiver that hangs, and one that says nothing good, are waited for by nobody else.
func TestOneHoldsUpNobody(t *testing.T) {
	good, hangs, bad, mute := newService(t), newService(t), newService(t), newService(t)
	free := make(chan struct{})
	hung := make(chan struct{}, 8)
	hangs.behave(func(_ http.ResponseWriter, r *http.Request) bool {
		hung <- struct{}{}
		select {
		case <-free:
		case <-r.Context().Done():
		}
		return false
	})
	t.Cleanup(func() { close(free) })
	bad.behave(func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(500); return false })
	p := newPost(t, store.NewMemory(), hooks(hookTo("hangs", hangs.srv.URL), hookTo("bad", bad.srv.URL),
		hookTo("good", good.srv.URL), hookTo("mute", mute.srv.URL)))
	p.start()
	for _, name := range []string{"hangs", "bad", "good"} {
		p.secret(name)
	}
	var want []string
	for i := range 50 {
		want = append(want, fmt.Sprint("word ", i))
	}
	p.say(doc.WordFailed, want...)
	<-hung
	if got := good.wait(len(want)); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	rows := map[string]doc.NotifyReceiver{}
	for _, r := range p.h.List() {
		rows[r.Name] = r
	}
	if r := rows["hangs"]; r.Waiting != 50 || r.Told != 0 {
		t.Errorf("%+v", r)
	}
	if r := rows["mute"]; r.Waiting != 50 || !strings.Contains(r.Problem, "notify secret mute") {
		t.Errorf("%+v", r)
	}
	p.secret("mute") // what waited for it goes
	if got := mute.wait(len(want)); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	p.stop() // although one hangs
}

// TestLostKey says that a secret does not open, and tells again once it is stored anew.
func TestLostKey(t *testing.T) {
	s, db := newService(t), store.NewMemory()
	p := newPost(t, db, hooks(hookTo("a", s.srv.URL)))
	p.start()
	p.secret("a")
	p.stop()
	other, err := sealed.New(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	p.cfg.Key, p.cfg.Log = other, slog.New(slog.NewTextHandler(&log, nil))
	p.start()
	if r := p.h.List()[0]; !strings.Contains(r.Problem, "does not open") {
		t.Errorf("%+v", r)
	}
	p.secret("a")
	p.say(doc.WordEnded, "well")
	s.wait(1)
	if r := p.h.List()[0]; r.Problem != "" {
		t.Errorf("%+v", r)
	}
	p.stop()
	if !strings.Contains(log.String(), "does not open") {
		t.Errorf("log: %s", &log)
	}
}

// TestRemovedReceiver: what waited for a receiver that is taken out of the settings is counted, over restarts, also
// when
// it is put back.
func TestRemovedReceiver(t *testing.T) {
	db := store.NewMemory()
	p := newPost(t, db, hooks(hookTo("gone", "http://127.0.0.1:1"), hookTo("stays", "http://127.0.0.1:1")))
	p.start()
	for range 3 {
		p.say(doc.WordEnded, "word")
	}
	p.stop()
	all := p.cfg.Notify
	p.cfg.Notify.Webhooks = all.Webhooks[1:]
	for range 2 {
		p.start()
		rows := p.h.List()
		if len(rows) != 2 || rows[1].Name != "gone" || rows[1].Dropped != 3 || rows[1].By != doc.ByNone ||
			!strings.Contains(rows[1].Problem, "not in the settings") || rows[0].Dropped != 0 {
			t.Errorf("%+v", rows)
		}
		p.stop()
	}
	p.cfg.Notify = all
	p.start()
	if rows := p.h.List(); len(rows) != 2 || rows[0].Dropped != 3 || rows[0].Problem == rows[1].Error {
		t.Errorf("put back: %+v", rows)
	}
}

// TestOddAnswers: each ends in its words.
func TestOddAnswers(t *testing.T) {
	elsewhere := newService(t)
	s := newService(t)
	p := newPost(t, store.NewMemory(), hooks(hookTo("a", s.srv.URL)))
	p.cfg.Timing.Send = 300 * time.Millisecond
	p.start()
	p.secret("a")
	for name, c := range map[string]struct {
		answer func(w http.ResponseWriter, r *http.Request) bool
		want   string
	}{
		"500": {func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(500)
			fmt.Fprint(w, "out of\x1b[2J order")
			return false
		}, "500 Internal Server Error: out of\uFFFD[2J order"},
		"redirect": {func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, elsewhere.srv.URL, http.StatusTemporaryRedirect)
			return false
		}, "leads to \"" + elsewhere.srv.URL},
		"silence": {func(_ http.ResponseWriter, r *http.Request) bool {
			<-r.Context().Done()
			return false
		}, "no answer within 300ms"},
		"drop by drop": {func(w http.ResponseWriter, r *http.Request) bool {
			for r.Context().Err() == nil {
				fmt.Fprint(w, ".")
				if err := http.NewResponseController(w).Flush(); err != nil {
					return false
				}
				select {
				case <-r.Context().Done():
				case <-time.After(5 * time.Millisecond):
				}
			}
			return false
		}, "no answer within 300ms"},
		"without end": {func(w http.ResponseWriter, r *http.Request) bool {
			for {
				if _, err := w.Write(make([]byte, 4096)); err != nil {
					return false
				}
			}
		}, "200 OK"},
		"well": {nil, "200 OK"},
	} {
		s.behave(c.answer)
		got, err := p.h.Test(t.Context(), doc.NotifyTest{V: 1, To: "a"})
		if err != nil || len(got) != 1 || got[0].OK != (c.want == "200 OK") ||
			!strings.Contains(got[0].Answer, c.want) {
			t.Errorf("%s: %+v, %v; want %q", name, got, err, c.want)
		}
	}
	if len(elsewhere.heard) > 0 {
		t.Errorf("another host was told %v", elsewhere.heard)
	}
	if _, err := p.h.Test(t.Context(), doc.NotifyTest{V: 1, To: "b"}); !errors.Is(err, ErrNone) {
		t.Error(err)
	}
}

// TestGivenUp: words that are too old go, are counted, also after a restart, and the newer ones stay.
func TestGivenUp(t *testing.T) {
	s := newService(t)
	tries := make(chan struct{}, 1000)
	s.behave(func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(503)
		select {
		case tries <- struct{}{}:
		default:
		}
		return false
	})
	p := newPost(t, store.NewMemory(), hooks(hookTo("a", s.srv.URL)))
	var mu sync.Mutex
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	p.cfg.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); now = now.Add(time.Millisecond); return now }
	p.start()
	p.secret("a")
	p.say(doc.WordEnded, "one", "two")
	<-tries
	mu.Lock()
	now = now.Add(2 * time.Hour)
	mu.Unlock()
	p.say(doc.WordEnded, "three")
	for p.h.List()[0].Waiting != 1 {
		<-tries
	}
	p.stop()
	s.behave(nil)
	p.start()
	if got := s.wait(1); !slices.Equal(got, []string{"three"}) {
		t.Errorf("%q", got)
	}
	if r := p.h.List()[0]; r.GivenUp != 2 || r.LastGiven.IsZero() {
		t.Errorf("%+v", r)
	}
}

// TestBounded: the oldest words go when too many wait, and those that strangers cause have a part of the room only.
func TestBounded(t *testing.T) {
	db, err := store.OpenBolt(filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	p := newPost(t, db, hooks(hookTo("a", "http://127.0.0.1:1/")))
	p.start() // and nothing is told: there is no key
	titles := func(what string, n int) (all []string) {
		for i := range n {
			all = append(all, fmt.Sprint(what, " ", i))
		}
		return all
	}
	p.say(doc.WordMachine, titles("stranger", maxStrangers+7)...)
	if r := p.h.List()[0]; r.Waiting != maxStrangers || r.Dropped != 7 {
		t.Errorf("%+v", r)
	}
	p.say(doc.WordEnded, titles("session", maxWaiting-maxStrangers+3)...)
	for range 2 {
		if r := p.h.List()[0]; r.Waiting != maxWaiting || r.Dropped != 10 {
			t.Errorf("%+v", r)
		}
		words, err := p.h.queues[0].next(t.Context())
		if err != nil || len(words) != 1 || words[0].Title != "stranger 3" {
			t.Errorf("the oldest is %+v, %v", words, err)
		}
		p.stop()
		p.start()
	}
	p.stop()
	p.cfg.Notify = hooks(hookTo("b", "http://127.0.0.1:1/"))
	p.start()
	if err := db.View(t.Context(), func(tx store.Tx) error {
		return tx.Walk(wordPrefix, func(key string, _ []byte) error { return errors.New(key + " is still there") })
	}); err != nil {
		t.Error(err)
	}
	p.stop()
}

func TestBackoff(t *testing.T) {
	h := &Herald{cfg: Config{Timing: Usual}}
	for tries, want := range map[int]time.Duration{1: 5 * time.Second, 2: 10 * time.Second, 10: 2560 * time.Second,
		11: time.Hour, 100: time.Hour, 1 << 30: time.Hour} {
		for range 100 {
			if got := h.backoff(tries); got > want || got < want/2 {
				t.Errorf("after %d tries: %v, want %v to %v", tries, got, want/2, want)
			}
		}
	}
}
