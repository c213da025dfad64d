package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/jobs"
	"github.com/diskcast/diskcast/server/store"
	"github.com/diskcast/diskcast/server/store/record"
)

// load reads everything but the events, of which only the numbers are kept in memory. From then on the sessions are
// this server's.
func (e *Engine) load(ctx context.Context) error {
	if _, err := record.Upgrade(ctx, e.cfg.Store, nil); err != nil {
		return err
	}
	if err := e.w.Own(ctx, e.cfg.Server); err != nil {
		return err
	}
	err := e.w.Update(ctx, func(tx store.WriteTx) error {
		err := store.GetJSON(tx, record.Secret, &e.secret)
		if errors.Is(err, store.ErrNotFound) {
			e.secret = newSecret()
			err = store.PutJSON(tx, record.Secret, e.secret)
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := e.cfg.Store.View(ctx, e.read); err != nil {
		return err
	}
	if err := e.gatherHalves(ctx); err != nil {
		return err
	}
	if err := e.distrust(ctx); err != nil {
		return err
	}
	e.inherit()
	return nil
}

// inherit makes the sessions that another server ran, and that are not over, this server's.
func (e *Engine) inherit() {
	for _, id := range e.jobs.Order() {
		s := e.jobs.Session(id)
		if s.Over() || s.Owner == e.cfg.Server {
			continue
		}
		if s.Owner != "" {
			e.log.Info("another server ran the session; this one goes on with it", "session", id, "before", s.Owner)
		}
		s.Owner = e.cfg.Server
		e.w.Put(record.SessPrefix+id, recordOf(s))
	}
}

func (e *Engine) read(tx store.Tx) error {
	if err := optional(store.GetJSON(tx, record.Seq, &e.seq)); err != nil {
		return err
	}
	err := walk(tx, record.NodePrefix, func(id string, r *record.Node) error {
		n := nodeOf(r)
		if n.Boot == "" || n.Where == doc.Booting {
			n.Problem = "" // of the server as it was set up then; if it still is one, the machine's next try says so
		}
		e.nodes[id] = n
		for _, m := range n.MACs {
			e.byMAC[m] = id
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := e.loadHalves(tx); err != nil {
		return err
	}
	if err := e.loadRepeats(tx); err != nil {
		return err
	}
	if err := e.loadBook(tx); err != nil {
		return err
	}
	if err := e.loadMachines(tx); err != nil {
		return err
	}
	err = walk(tx, record.SeenPrefix, func(id string, r *record.Seen) error {
		if n := e.nodes[id]; n != nil && n.Boot == r.Boot {
			n.seen = window(r.Window)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := e.loadEvents(tx); err != nil {
		return err
	}
	var sessions []jobs.Record
	err = walk(tx, record.SessPrefix, func(_ string, r *record.Session) error {
		sessions = append(sessions,
			jobs.Record{Session: r.Session(), Params: r.Cast(), Secret: r.Secret, Sealed: r.Sealed,
				Upload: r.Uploads(), More: sendings(r.More), Asked: r.Asked,
				Alike: r.Alike})
		return nil
	})
	if err != nil {
		return err
	}
	var parts []*doc.Part
	err = walk(tx, record.PartPrefix, func(_ string, r *record.Part) error {
		parts = append(parts, r.Part())
		return nil
	})
	if err != nil {
		return err
	}
	nodes := map[string]jobs.Assignment{}
	for id, n := range e.nodes {
		nodes[id] = jobs.Assignment{Session: n.Session, Last: n.Last, Imaged: n.Imaged, Claim: n.Claim}
		e.news[id] = n
	}
	if err := e.jobs.Load(sessions, parts, nodes); err != nil {
		return err
	}
	e.loadSaid()
	return nil
}

// sendings are the casts to the further disks of a session.
func sendings(stored []record.Sending) []jobs.Sending {
	var out []jobs.Sending
	for i := range stored {
		out = append(out, jobs.Sending{Params: stored[i].Cast(), Secret: stored[i].Secret})
	}
	return out
}

// optional is err, but for a key that is not there.
func optional(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

// loadEvents finds the ends of each node's ring.
func (e *Engine) loadEvents(tx store.Tx) error {
	return tx.Walk(record.EventPrefix, func(key string, _ []byte) error {
		id, num, _ := strings.Cut(strings.TrimPrefix(key, record.EventPrefix), "/")
		v, err := strconv.ParseUint(num, 16, 64)
		if err != nil {
			return fmt.Errorf("state of %s is damaged: %w", key, err)
		}
		if n := e.nodes[id]; n != nil {
			if n.next == 1 {
				n.first = v
			}
			n.next = v + 1
		}
		return nil
	})
}

// walkAtOnce is how many records are read side by side, a part by each processor: most of a start is reading JSON.
const walkAtOnce = 128

// row is a record that is being read.
type row[T any] struct {
	key  string
	text []byte
	v    T
	err  error
}

// part is some records, read when done is closed.
type part[T any] struct {
	rows []row[T]
	done chan struct{}
}

// walk calls f for each record below the prefix, in order. While f takes the first ones, those behind are read.
func walk[T any](tx store.Tx, prefix string, f func(id string, v *T) error) error {
	var reading []part[T] // in order
	take := func() error {
		p := reading[0]
		reading = reading[1:]
		<-p.done
		for i := range p.rows {
			r := &p.rows[i]
			if r.err != nil {
				return fmt.Errorf("state of %s is damaged: %w", r.key, r.err)
			}
			if err := f(strings.TrimPrefix(r.key, prefix), &r.v); err != nil {
				return err
			}
		}
		return nil
	}
	rows := make([]row[T], 0, walkAtOnce)
	read := func() error {
		p := part[T]{rows, make(chan struct{})}
		go func() { // ends when it has read them
			defer close(p.done)
			for i := range p.rows {
				r := &p.rows[i]
				r.err = json.Unmarshal(r.text, &r.v)
				r.text = nil
			}
		}()
		reading = append(reading, p)
		rows = make([]row[T], 0, walkAtOnce) // what was read is f's now
		if len(reading) <= runtime.GOMAXPROCS(0) {
			return nil
		}
		return take()
	}
	err := tx.Walk(prefix, func(key string, b []byte) error {
		// A slice is valid in the call only, and another store than bbolt may use it anew.
		if rows = append(rows, row[T]{key: key, text: slices.Clone(b)}); len(rows) < walkAtOnce {
			return nil
		}
		return read()
	})
	if err == nil {
		err = read()
	}
	for err == nil && len(reading) > 0 {
		err = take()
	}
	return err
}
