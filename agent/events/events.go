// Package events carries what happens on the node to the server and to the console: steps, progress and the lines of
// the log, numbered, in batches that are sent again until the server has accepted them.
//
// Memory is bounded. While the server is away, log lines and progress are dropped first, oldest first, and their number
// is told when there is room again; the steps of a session stay.
package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/diskcast/diskcast/internal/session"
)

const (
	// maxQueue bounds the events that wait for the server. A restore has about ten steps; the rest is log.
	maxQueue = 2048
	// maxBatch and maxMessage keep a batch below session.MaxDocument even if every byte needs a \u0000 escape.
	maxBatch   = 64
	maxMessage = 2048
)

// Post delivers one batch; it tries again by itself and returns an error only for a refusal or when ctx ends.
type Post func(ctx context.Context, batch session.Events) error

// Reporter collects events. It is safe for several goroutines; the zero value is not usable.
type Reporter struct {
	boot    string
	post    Post
	console io.Writer
	since   func() time.Duration
	watch   func(*session.Event)

	mu       sync.Mutex
	queue    []session.Event
	sending  int // events at the head of queue that a batch under way holds
	seq      uint64
	accepted uint64 // every event up to this number was accepted or refused
	dropped  int
	lost     int // events that the server has not got and will not get, in all
	session  string
	disk     int           // of the session's, counted from 0
	progress time.Duration // when the last progress event was queued
	every    time.Duration // the shortest time between two of them
	wake     chan struct{}
	change   chan struct{} // closed and replaced when accepted grows
}

// Options of a reporter.
type Options struct {
	Boot string // random for each start of the agent
	Post Post
	// Console also gets every event as a line; nil for none.
	Console io.Writer
	// Watch also gets every event, and must not wait for anything; nil for none.
	Watch func(*session.Event)
	// Since is the time since the node's kernel started.
	Since func() time.Duration
}

// New returns a reporter; Run sends.
func New(o Options) *Reporter {
	if o.Console == nil {
		o.Console = io.Discard
	}
	if o.Since == nil {
		start := time.Now()
		o.Since = func() time.Duration { return time.Since(start) }
	}
	return &Reporter{
		boot: o.Boot, post: o.Post, console: o.Console, since: o.Since, watch: o.Watch,
		progress: -session.ReportEvery, every: session.ReportEvery,
		wake: make(chan struct{}, 1), change: make(chan struct{}),
	}
}

// Session names the session that further events belong to; empty for none.
func (r *Reporter) Session(id string) {
	r.mu.Lock()
	r.session, r.disk = id, 0
	r.mu.Unlock()
}

// Disk says which of the session's disks, counted from 0, further events are about.
func (r *Reporter) Disk(i int) {
	r.mu.Lock()
	r.disk = i
	r.mu.Unlock()
}

// Step queues a step of the session.
func (r *Reporter) Step(step, level, message string, p *session.Progress) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.add(session.Event{Session: r.session, Step: step, Level: level, Message: message, Progress: p})
}

// Refused queues the report of a chunk whose bytes are not what the image's index says.
func (r *Reporter) Refused(chunk int, message string) {
	e := session.Event{Step: session.StepChunk, Level: session.Warn, Message: message}
	if chunk >= 0 {
		e.Chunk = &chunk
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	e.Session = r.session
	r.add(e)
}

// Result queues a step with what only the session's action knows of: JSON of at most session.MaxResult bytes. What is
// longer is left out, and said to be. A batch has room for a dozen of them, and a session has one.
func (r *Reporter) Result(step, level, message string, result json.RawMessage) {
	if len(result) > session.MaxResult {
		r.Log(session.Error, fmt.Sprintf("the result of %d bytes is longer than the %d that an event may carry, and "+
			"is "+
			"left out", len(result), session.MaxResult))
		result = nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.add(session.Event{Session: r.session, Step: step, Level: level, Message: message, Result: result})
}

// Stepf is Step without progress and with a format.
func (r *Reporter) Stepf(step, level, format string, args ...any) {
	r.Step(step, level, fmt.Sprintf(format, args...), nil)
}

// Every sets the shortest time between two progress events: a server with many nodes wants to be told less often.
func (r *Reporter) Every(d time.Duration) {
	r.mu.Lock()
	r.every = d
	r.mu.Unlock()
}

// Progress queues a progress event unless the last one is less than a second old, or than Every says.
func (r *Reporter) Progress(message string, p session.Progress) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.since()
	if now-r.progress < r.every {
		return
	}
	r.progress = now
	// One that still waits is out of date: the new one takes its place.
	if last := len(r.queue) - 1; last >= r.sending && r.queue[last].Step == session.StepProgress &&
		r.queue[last].Session == r.session {
		r.queue = r.queue[:last]
	}
	r.add(session.Event{Session: r.session, Step: session.StepProgress, Level: session.Info, Message: message,
		Progress: &p})
}

// Log queues a line of the log.
func (r *Reporter) Log(level, line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.add(session.Event{Session: r.session, Step: session.StepLog, Level: level, Message: line})
}

// add numbers and queues e. The caller holds mu.
func (r *Reporter) add(e session.Event) {
	now := r.since()
	e.Since, e.Disk = now.Seconds(), r.disk
	e.Message = clean(e.Message)
	r.print(now, &e)
	if r.watch != nil {
		r.watch(&e)
	}
	if len(r.queue) >= maxQueue {
		r.makeRoom()
	}
	r.seq++
	e.Seq = r.seq
	r.queue = append(r.queue, e)
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// makeRoom drops the oldest event that can be spared, or the oldest at all.
func (r *Reporter) makeRoom() {
	drop := r.sending
	for i := r.sending; i < len(r.queue); i++ {
		if s := r.queue[i].Step; s == session.StepProgress || s == session.StepLog {
			drop = i
			break
		}
	}
	if drop < len(r.queue) {
		r.queue = append(r.queue[:drop], r.queue[drop+1:]...)
		r.dropped++
		r.lost++
	}
}

// print writes the event to the console, as the operator in front of the machine wants to read it.
func (r *Reporter) print(now time.Duration, e *session.Event) {
	word := e.Step
	switch {
	case e.Level == session.Error:
		word = "ERROR " + word
	case e.Level == session.Warn:
		word = "warning " + word
	}
	if e.Step == session.StepLog {
		word = strings.TrimSuffix(strings.TrimSuffix(word, session.StepLog), " ")
	}
	if word != "" {
		word += ": "
	}
	fmt.Fprintf(r.console, "diskcast [%7.2f] %s%s\n", now.Seconds(), word,
		strings.ReplaceAll(e.Message, "\n", "\n    "))
}

// clean makes s valid UTF-8 of at most maxMessage bytes.
func clean(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= maxMessage {
		return s
	}
	cut := maxMessage - len("…")
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

// Run sends what is queued until ctx ends.
func (r *Reporter) Run(ctx context.Context) error {
	for {
		batch := r.take()
		if len(batch) == 0 {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-r.wake:
			}
			continue
		}
		err := r.post(ctx, session.Events{V: session.Version, Boot: r.boot, Events: batch})
		if err != nil && ctx.Err() != nil {
			r.release()
			return ctx.Err()
		}
		r.settle(batch, err)
	}
}

// take returns the batch to send next; its events stay queued until settle.
func (r *Reporter) take() []session.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.dropped > 0 && len(r.queue) < maxQueue/2 {
		n := r.dropped
		r.dropped = 0
		r.add(session.Event{Session: r.session, Step: session.StepLog, Level: session.Warn,
			Message: fmt.Sprintf("%d events were dropped while the server was away", n)})
	}
	r.sending = min(len(r.queue), maxBatch)
	return append([]session.Event(nil), r.queue[:r.sending]...)
}

func (r *Reporter) release() {
	r.mu.Lock()
	r.sending = 0
	r.mu.Unlock()
}

// settle forgets a batch that was accepted, or refused for good: sending it again would hold up all that follow.
func (r *Reporter) settle(batch []session.Event, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.queue = append(r.queue[:0], r.queue[r.sending:]...)
	r.sending = 0
	if last := batch[len(batch)-1].Seq; last > r.accepted {
		r.accepted = last
	}
	close(r.change)
	r.change = make(chan struct{})
	if err != nil {
		r.lost += len(batch)
		fmt.Fprintf(r.console, "diskcast [%7.2f] ERROR the server refused %d events: %v\n", r.since().Seconds(),
			len(batch),
			err)
	}
}

// Lost is how many events the server has not got and will not get: it refused them, or there was no room.
func (r *Reporter) Lost() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lost
}

// ErrUnsent is wrapped by Flush's error: the server has not accepted everything.
var ErrUnsent = errors.New("the server has not accepted every event")

// Flush waits until everything queued before the call was accepted, or ctx ends. Run must be running.
func (r *Reporter) Flush(ctx context.Context) error {
	r.mu.Lock()
	want := r.seq
	r.mu.Unlock()
	for {
		r.mu.Lock()
		done, left, change := r.accepted >= want || len(r.queue) == 0, len(r.queue), r.change
		r.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-change:
		case <-ctx.Done():
			return fmt.Errorf("%w: %d wait (%w)", ErrUnsent, left, context.Cause(ctx))
		}
	}
}
