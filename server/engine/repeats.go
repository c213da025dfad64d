package engine

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/diskcast/diskcast/internal/nearest"
	"github.com/diskcast/diskcast/internal/personal"
	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/server/cron"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/feed"
	"github.com/diskcast/diskcast/server/store"
	"github.com/diskcast/diskcast/server/store/record"
)

// A repeating session is a spec and a rule of cron. Each time of the rule makes a session of its own, which names where
// it comes from; or something is said in its place: a time that was missed, a session before that is not over.

// Bounds on repeating sessions.
const (
	maxRepeats = 1000
	maxRuns    = 20              // that are kept of each
	lateness   = 2 * time.Minute // from which on a time was missed
)

// repeat is one of them; its doc.Repeat is stored.
type repeat struct {
	doc.Repeat
	rule   *cron.Rule
	sealed []byte
	asked  string // the word under which it was asked for
	making bool   // a session of it is being made
}

func (e *Engine) zone() *time.Location { return cmp.Or(e.cfg.Zone, time.Local) }

func repeatBox(id string) string { return "repeating session " + id }

// CreateRepeat makes a repeating session, once it is known that its session could be made now.
func (e *Engine) CreateRepeat(ctx context.Context, in doc.RepeatSpec) (*doc.Repeat, error) {
	if err := in.Check(); err != nil {
		return nil, refuse("%w", err)
	}
	rule, err := cron.Parse(in.Every, e.zone())
	if err != nil {
		return nil, refuse("%w", err)
	}
	if err := e.tryRepeat(ctx, in.Spec); err != nil {
		return nil, err
	}
	shown, secret, err := e.shownSpec(in.Spec)
	if err != nil {
		return nil, refuse("%w", err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.repeats) >= maxRepeats {
		return nil, refuse("there are %d repeating sessions already: `diskcast repeat rm` forgets one", maxRepeats)
	}
	now := e.now()
	r := &repeat{rule: rule, asked: askedFor(ctx), Repeat: doc.Repeat{ID: fmt.Sprintf("r%d", e.repeatSeq+1),
		Owner: e.cfg.Server, Every: in.Every, Missed: in.Missed, Spec: shown, Created: now, Last: now}}
	if secret {
		r.sealed = e.cfg.Seal.Seal(repeatBox(r.ID), in.Spec)
	}
	err = e.w.Write(ctx, map[string]any{record.RepeatSeq: e.repeatSeq + 1,
		record.RepeatPrefix + r.ID: record.OfRepeat(&r.Repeat, r.sealed, r.asked)})
	if err != nil {
		return nil, fmt.Errorf("the repeating session was not made: %w", err)
	}
	e.repeatSeq++
	e.repeats[r.ID] = r
	e.feed.Touch(feed.Key{Entry: record.RepeatPrefix + r.ID})
	return e.repeatView(r), nil
}

// tryRepeat refuses a spec of which no session could be made now.
func (e *Engine) tryRepeat(ctx context.Context, text []byte) error {
	spec, err := e.repeatSpec(text)
	if err != nil {
		return err
	}
	if !spec.At.IsZero() {
		return refuse("a repeating session has no start time: its rule says when it is made")
	}
	_, _, _, _, _, err = e.vet(ctx, &spec)
	return err
}

// repeatSpec reads the spec of a repeating session, with the profile as it is now.
func (e *Engine) repeatSpec(text []byte) (doc.Spec, error) {
	var read doc.Spec
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&read); err != nil {
		return read, refuse("the spec of a repeating session: %w", err)
	}
	return e.Spec(text, &read)
}

// shownSpec is a spec without its secrets, and whether it has any.
func (e *Engine) shownSpec(text []byte) (shown json.RawMessage, secret bool, err error) {
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(text, &fields); err != nil {
		return nil, false, err
	}
	if len(fields["personalize"]) > 0 {
		if e.cfg.Seal == nil {
			return nil, false, errNoKey
		}
		settings, err := personal.Parse(fields["personalize"])
		if err != nil {
			return nil, false, err
		}
		words, err := json.Marshal(settings.Shown())
		if err != nil {
			return nil, false, err
		}
		// what has no secret stays as it was asked for: a null says that a field of the profile is left out
		if secret = bytes.Contains(words, []byte(`"`+personal.Sealed+`"`)); secret {
			fields["personalize"] = words
		}
	}
	shown, err = json.Marshal(fields)
	return shown, secret, err
}

// Repeats lists all repeating sessions, oldest first.
func (e *Engine) Repeats() []doc.Repeat { return e.Within("").Repeats() }

func (e *Engine) sortedRepeats() []*repeat {
	number := func(r *repeat) int {
		n, _ := strconv.Atoi(strings.TrimPrefix(r.ID, "r")) // the server made it
		return n
	}
	return slices.SortedFunc(maps.Values(e.repeats),
		func(a, b *repeat) int { return cmp.Compare(number(a), number(b)) })
}

// Repeat returns one.
func (e *Engine) Repeat(id string) (*doc.Repeat, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	r, err := e.findRepeat(id)
	if err != nil {
		return nil, err
	}
	return e.repeatView(r), nil
}

func (e *Engine) findRepeat(id string) (*repeat, error) {
	if r := e.repeats[id]; r != nil {
		return r, nil
	}
	return nil, fmt.Errorf("repeating session %.40s: %w%s", id, ErrNotFound,
		nearest.Hint(id, slices.Collect(maps.Keys(e.repeats))))
}

func (e *Engine) repeatView(r *repeat) *doc.Repeat {
	v := r.Repeat
	v.Next, v.Runs = r.rule.Next(later(r.Last, e.now())), append([]doc.RepeatRun{}, r.Runs...)
	if gap, ok := r.rule.LeftOut(e.now()); ok {
		v.Note = fmt.Sprintf("nothing is made on %s: the server's clock (%v) goes from %s to %s that day, and the "+
			"rule means a time between them; one in another hour comes on every day", gap.From.Format(time.DateOnly),
			e.zone(), gap.From.Format("15:04"), gap.To.Format("15:04"))
	}
	return &v
}

// RemoveRepeat forgets a repeating session; the sessions that were made of it stay.
func (e *Engine) RemoveRepeat(ctx context.Context, id string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, err := e.findRepeat(id); err != nil {
		return err
	}
	if err := e.w.Write(ctx, map[string]any{record.RepeatPrefix + id: nil}); err != nil {
		return fmt.Errorf("repeating session %s was not removed: %w", id, err)
	}
	delete(e.repeats, id)
	e.w.Del(record.RepeatPrefix + id) // behind what was on its way to the store before
	e.feed.Gone(feed.Key{Entry: record.RepeatPrefix + id})
	return nil
}

// repeatAll does what is due of repeating sessions.
func (e *Engine) repeatAll() {
	if e.runCtx == nil {
		return
	}
	for _, r := range e.sortedRepeats() {
		e.repeatOne(r)
	}
}

func (e *Engine) repeatOne(r *repeat) {
	now := e.now()
	if r.Last.After(now.Add(lateness)) {
		e.noteRun(r, now, doc.RunMissed, fmt.Sprintf("the server's clock was set back, from after %s: times since "+
			"then may come twice", r.Last.In(e.zone()).Format(time.DateTime)))
		r.Last = now
		e.saveRepeat(r)
	}
	due, before := r.rule.Due(r.Last, now)
	if due.IsZero() {
		return
	}
	r.Last = due
	missed, until := "", "before"
	if now.Sub(due) > lateness {
		before++
		until = "up to"
	}
	if before > 0 {
		missed = fmt.Sprintf("%d times %s %s were missed: the server did not run", before, until,
			due.In(e.zone()).Format(time.DateTime))
		if before >= cron.MaxMissed {
			missed = "more than " + missed
		}
	}
	going, also := e.goingOf(r.ID), ""
	if missed != "" {
		also = missed + "; "
	}
	switch made := e.madeAt(r.ID, due); {
	case made != "": // by a server that was killed before it had stored this
		e.addRun(r, doc.RepeatRun{Due: due, State: doc.RunMade, Session: made, Words: missed})
	case now.Sub(due) > lateness && r.Missed != doc.MissedRun:
		e.noteRun(r, due, doc.RunMissed, missed+", and they are not made up for (`--missed run` would)")
	case going != "":
		e.noteRun(r, due, doc.RunSkipped, also+"session "+going+", which was made of it before, is not over")
	case r.making:
		e.noteRun(r, due, doc.RunSkipped, also+"the session before is still being made")
	default:
		r.making = true
		e.addRun(r, doc.RepeatRun{Due: due, State: doc.RunMaking, Words: missed})
		ctx := e.runCtx
		// Ends when the session is made or refused, or with the engine.
		e.casts.Go(func() { e.makeRun(ctx, r, due, missed) })
	}
	e.saveRepeat(r)
}

// noteRun notes why no session was made at a time.
func (e *Engine) noteRun(r *repeat, due time.Time, state, words string) {
	e.log.Warn("no session was made of a repeating one", "repeat", r.ID, "due", due, "why", words)
	e.addRun(r, doc.RepeatRun{Due: due, State: state, Words: words})
}

func (e *Engine) addRun(r *repeat, run doc.RepeatRun) {
	r.Runs = append(slices.Clone(r.Runs), run)
	r.Runs = r.Runs[max(0, len(r.Runs)-maxRuns):]
}

func (e *Engine) saveRepeat(r *repeat) {
	if e.repeats[r.ID] != r {
		return // it was removed
	}
	e.w.Put(record.RepeatPrefix+r.ID, record.OfRepeat(&r.Repeat, r.sealed, r.asked))
	e.feed.Touch(feed.Key{Entry: record.RepeatPrefix + r.ID})
}

// madeAt is a session made of a repeating one since it was due; empty for none.
func (e *Engine) madeAt(id string, due time.Time) string {
	for _, sid := range e.jobs.Order() {
		if s := e.jobs.Session(sid); s.Spec.Repeat == id && !s.Created.Before(due) {
			return sid
		}
	}
	return ""
}

// goingOf is a session made of a repeating one that is not over; empty for none.
func (e *Engine) goingOf(id string) string {
	for _, sid := range e.jobs.Order() {
		if s := e.jobs.Session(sid); s.Spec.Repeat == id && !s.Over() {
			return sid
		}
	}
	return ""
}

// makeRun makes the session of one time, when it is stored that it is due.
func (e *Engine) makeRun(ctx context.Context, r *repeat, due time.Time, missed string) {
	run := doc.RepeatRun{Due: due, State: doc.RunMade, Words: missed}
	s, err := e.makeOf(ctx, r)
	e.mu.Lock()
	defer e.mu.Unlock()
	r.making = false
	switch {
	case err == nil:
		run.Session = s.ID
	case ctx.Err() != nil:
		return // the server ends: it finds when it starts what came of this
	default:
		run.State, run.Words = doc.RunFailed, "its session was refused: "+plain.Line(err.Error(), 1000)
		if missed != "" {
			run.Words = missed + "; " + run.Words
		}
		e.log.Warn("no session was made of a repeating one", "repeat", r.ID, "due", due, "err", err)
	}
	r.Runs = slices.Clone(r.Runs)
	for i := range r.Runs {
		if r.Runs[i].Due.Equal(due) && r.Runs[i].State == doc.RunMaking {
			r.Runs[i] = run
		}
	}
	e.saveRepeat(r)
}

func (e *Engine) makeOf(ctx context.Context, r *repeat) (*doc.Session, error) {
	if err := e.w.Wait(ctx); err != nil {
		return nil, err
	}
	text := []byte(r.Spec)
	if r.sealed != nil {
		if e.cfg.Seal == nil {
			return nil, errors.New("this server has no key to open its spec with")
		}
		var err error
		if text, err = e.cfg.Seal.Open(repeatBox(r.ID), r.sealed); err != nil {
			return nil, fmt.Errorf("its spec: %w: was the state brought back without its key? Make it anew", err)
		}
	}
	spec, err := e.repeatSpec(text)
	if err != nil {
		return nil, err
	}
	spec.Repeat = r.ID
	return e.Create(ctx, spec)
}

// loadRepeats reads the repeating sessions.
func (e *Engine) loadRepeats(tx store.Tx) error {
	if err := optional(store.GetJSON(tx, record.RepeatSeq, &e.repeatSeq)); err != nil {
		return err
	}
	return walk(tx, record.RepeatPrefix, func(_ string, x *record.Repeat) error {
		r := &repeat{Repeat: x.Repeat(), sealed: x.Sealed, asked: x.Asked}
		var err error
		if r.rule, err = cron.Parse(r.Every, e.zone()); err != nil {
			return fmt.Errorf("repeating session %s: %w", r.ID, err)
		}
		e.repeats[r.ID] = r
		return nil
	})
}

// resumeRepeats finds what became of times of which the server that was before had begun to make the session.
func (e *Engine) resumeRepeats() {
	for _, r := range e.sortedRepeats() {
		n := slices.IndexFunc(r.Runs, func(x doc.RepeatRun) bool { return x.State == doc.RunMaking })
		if n < 0 {
			continue
		}
		last := r.Runs[n]
		r.Runs = slices.Delete(slices.Clone(r.Runs), n, n+1)
		made := e.madeAt(r.ID, last.Due)
		if made == "" {
			r.Last = last.Due.Add(-time.Second) // it is due again
		} else {
			last.State, last.Session = doc.RunMade, made
			r.Runs = slices.Insert(r.Runs, n, last)
		}
		e.saveRepeat(r)
	}
}
