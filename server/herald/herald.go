// Package herald tells those who asked for it what happens on the server: services by signed requests, people by mail.
//
// Each receiver has a queue of its own in the state, and a goroutine of its own, so that one who hangs holds up nobody
// else. The engine stores a word in the transaction in which it stores what the word is of: no crash is between the
// two. A word is taken out when its receiver has said that it has it. So each is told at least once, in order, and one
// that is told twice has the same id both times.
//
// What cannot be told is tried again, ever more rarely, until it is too old; too many words push the oldest out. Both
// are counted, and shown and logged.
package herald

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/diskcast/diskcast/internal/sealed"
	"github.com/diskcast/diskcast/server/config"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/store"
)

// Keys of the state.
const (
	wordPrefix   = "word/"           // + receiver / id
	statePrefix  = "herald/state/"   // + receiver
	lostPrefix   = "herald/dropped/" // + receiver: written with words only
	secretPrefix = "herald/secret/"  // + receiver
	epochKey     = "herald/epoch"
)

// Bounds.
const (
	maxWaiting   = 10_000         // words for one receiver
	maxStrangers = maxWaiting / 4 // of these, words that anybody on the LAN can cause
	maxText      = 64 << 10       // bytes of a word's text
	maxTitle     = 400
	maxSecret    = 4096
)

// Version is that of words.
const Version = 1

// Config is what a Herald works with.
type Config struct {
	Store  store.Store
	Key    *sealed.Key
	Notify config.Notify
	Server string // what operators call this server
	Log    *slog.Logger
	Now    func() time.Time // nil: time.Now
	Timing Timing           // zero: Usual
}

// Timing is how long what takes.
type Timing struct {
	Send        time.Duration // one delivery, at most
	First, Most time.Duration // the first pause after a failure, which is doubled up to the other
}

// Usual is the timing of a server.
var Usual = Timing{Send: 20 * time.Second, First: 5 * time.Second, Most: time.Hour}

// Herald is the server's. It is a task.
type Herald struct {
	cfg    Config
	log    *slog.Logger
	ready  chan struct{}
	queues []*queue // mail last
	gone   []gone   // receivers that are not in the settings any more
	tag    string   // of the ids of this start

	mu  sync.Mutex
	seq uint64
}

// gone is a receiver that is not in the settings any more, and how many words it never got.
type gone struct {
	name    string
	dropped uint64
}

// New loads what waits.
func New(ctx context.Context, cfg Config) (*Herald, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Timing == (Timing{}) {
		cfg.Timing = Usual
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	h := &Herald{cfg: cfg, log: cfg.Log, ready: make(chan struct{})}
	for _, w := range cfg.Notify.Webhooks {
		out, err := newWebhook(w)
		if err != nil {
			return nil, fmt.Errorf("[[notify.webhook]] %s: %w", w.Name, err)
		}
		h.queues = append(h.queues, newQueue(h, w.Name, out, w.Kinds, w.GiveUp))
	}
	if m := cfg.Notify.Mail; m != nil {
		out, err := newMail(m, cfg.Server)
		if err != nil {
			return nil, fmt.Errorf("[notify.mail]: %w", err)
		}
		h.queues = append(h.queues, newQueue(h, config.MailName, out, m.Kinds, m.GiveUp))
	}
	return h, h.load(ctx)
}

// load numbers this start and reads the queues. What waits for a receiver that is not configured any more goes, and is
// counted as dropped.
func (h *Herald) load(ctx context.Context) error {
	var epoch uint64
	orphans := map[string]int{}
	err := h.cfg.Store.Update(ctx, func(tx store.WriteTx) error {
		if err := store.GetJSON(tx, epochKey, &epoch); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		epoch++
		clear(orphans)
		h.gone = nil
		var gone []string
		for _, q := range h.queues {
			q.reset()
		}
		err := tx.Walk(wordPrefix, func(key string, b []byte) error {
			name, id, _ := strings.Cut(strings.TrimPrefix(key, wordPrefix), "/")
			if q := h.queue(name); q != nil {
				return q.found(id, b)
			}
			orphans[name]++
			gone = append(gone, key)
			return nil
		})
		for _, key := range gone {
			err = errors.Join(err, tx.Delete(key))
		}
		for _, q := range h.queues {
			err = errors.Join(err, q.load(tx))
		}
		err = errors.Join(err, h.count(tx, orphans))
		return errors.Join(err, store.PutJSON(tx, epochKey, epoch))
	})
	if err != nil {
		return fmt.Errorf("words that wait to be told: %w", err)
	}
	h.tag = fmt.Sprintf("%08x", epoch)
	for _, name := range slices.Sorted(maps.Keys(orphans)) {
		h.log.Warn("words are dropped: nobody of this name is in the settings any more", "receiver", name,
			"words", orphans[name], "try", "diskcast notify list")
	}
	for _, q := range h.queues {
		if why := q.problem(); why != "" {
			h.log.Error("a receiver is told nothing", "receiver", q.name, "err", why)
		}
	}
	return nil
}

// count adds the words of receivers that are not configured any more to what these never got, and reads that of all
// such.
func (h *Herald) count(tx store.WriteTx, orphans map[string]int) error {
	lost := map[string]uint64{}
	err := tx.Walk(lostPrefix, func(key string, b []byte) error {
		name := strings.TrimPrefix(key, lostPrefix)
		if h.queue(name) != nil {
			return nil
		}
		var n uint64
		if err := json.Unmarshal(b, &n); err != nil {
			return fmt.Errorf("state of %s is damaged: %w", key, err)
		}
		lost[name] = n
		return nil
	})
	for name, n := range orphans {
		lost[name] += uint64(n)
		err = errors.Join(err, store.PutJSON(tx, lostPrefix+name, lost[name]))
	}
	for _, name := range slices.Sorted(maps.Keys(lost)) {
		h.gone = append(h.gone, gone{name, lost[name]})
	}
	return err
}

func (h *Herald) queue(name string) *queue {
	for _, q := range h.queues {
		if q.name == name {
			return q
		}
	}
	return nil
}

// Name implements task.Task.
func (h *Herald) Name() string { return "notify" }

// Ready implements task.Task.
func (h *Herald) Ready() <-chan struct{} { return h.ready }

// Run implements task.Task: each receiver's goroutine ends with ctx.
func (h *Herald) Run(ctx context.Context) error {
	var all sync.WaitGroup
	for _, q := range h.queues {
		all.Go(func() { q.run(ctx) })
	}
	close(h.ready)
	all.Wait()
	<-ctx.Done()
	return nil
}

// Take gives a word its id, and returns what is to be stored for those who asked for its kind; a nil value is a key to
// be taken away. It is called where what the word is of is stored, in the order of what happens; Stored says that it
// was.
func (h *Herald) Take(w doc.Word) map[string]any {
	h.mu.Lock()
	h.seq++
	// The last part makes an id of a state that was brought back from a copy another one than those before.
	w.ID = fmt.Sprintf("%s-%08x-%s", h.tag, h.seq, rand.Text()[:8])
	h.mu.Unlock()
	w = h.trim(w)
	puts := map[string]any{}
	for _, q := range h.queues {
		if slices.Contains(q.kinds, w.Kind) {
			q.take(w, puts)
		}
	}
	return puts
}

func (h *Herald) trim(w doc.Word) doc.Word {
	w.V, w.Server = Version, h.cfg.Server
	if w.Time.IsZero() {
		w.Time = h.cfg.Now()
	}
	w.Time = w.Time.UTC()
	w.Title = line(w.Title, maxTitle)
	w.Text = cut(text(w.Text), maxText)
	return w
}

// Stored says that what Take returned is durable: it can be told.
func (h *Herald) Stored() {
	for _, q := range h.queues {
		q.wake()
	}
}
