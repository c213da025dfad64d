package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/feed"
	"github.com/diskcast/diskcast/server/fleet/book"
	"github.com/diskcast/diskcast/server/store/keeper"
	"github.com/diskcast/diskcast/server/store/record"
)

// Sub follows changes. What changed is told as it is now, so that a slow reader costs no memory and sees the newest
// state; events are told one by one.
type Sub struct {
	e       *Engine
	bounds  Bounds
	seen    map[feed.Key]bool // what was told to somebody who is held to machines; nil: to one who is not
	session string            // empty: of all
	node    string            // name of a node; empty: all, or those of the machine
	machine string            // id of a machine, all of whose nodes are followed; empty: all, or the node
	n       uint64            // number of the last change that was told
	begun   bool              // there is nothing to tell of the state that was at the beginning, or it is in first
	first   []feed.Key        // of that state, what is not told yet
	behind  bool              // there is more than was told
	more    <-chan struct{}
	unsaved *keeper.Batch // what must be durable before a session that is over is called so; nil: nothing found
	warned  bool          // that it cannot be written
	// What was told last, for the room that it has.
	lines   []doc.Line
	changes []feed.Change
}

// Watch follows a session from its present state on.
func (e *Engine) Watch(id string) (*Sub, error) { return e.Follow(id, "", "") }

// Watch is Engine.Watch of a session within.
func (b Bounds) Watch(id string) (*Sub, error) { return b.Follow(id, "", "") }

// Follow follows a session, a machine, what a machine does in a session, or, with neither, everything. It begins with
// the state that is, or with the changes after a cursor; feed.ErrLost says that it must begin anew.
func (e *Engine) Follow(session, node, after string) (*Sub, error) {
	return e.Within("").Follow(session, node, after)
}

// Follow is Engine.Follow of what is within. It begins with the state that is: what comes within the bounds, or leaves
// them, is told as if it came or went, and nothing says later what was within at a cursor.
func (b Bounds) Follow(session, node, after string) (*Sub, error) {
	e := b.e
	e.mu.Lock()
	defer e.mu.Unlock()
	u := &Sub{e: e, bounds: b, session: session, n: e.feed.Last()}
	if !b.All() {
		u.seen = map[feed.Key]bool{}
	}
	if s := e.jobs.Session(session); session != "" && !b.now().session(s) {
		if b.All() {
			return nil, e.noSession(session)
		}
		return nil, b.none("session", session)
	}
	if node != "" {
		err := u.of(node)
		if !b.All() && (err != nil || !u.mine()) {
			err = b.none("machine", node)
		}
		if err != nil {
			return nil, err
		}
	}
	if after != "" && !b.All() {
		return nil, fmt.Errorf("%w: the token is held to machines, and what those were then is not kept", feed.ErrLost)
	}
	if after == "" {
		return u, nil
	}
	var err error
	u.n, err = e.feed.Number(after)
	u.begun = true
	return u, err
}

// of has the Sub follow one machine, by its name or id, or by a MAC address of any of its NICs, which may not have come
// yet.
func (u *Sub) of(word string) error {
	m := u.e.fleet.Find(word)
	if m == nil {
		id, err := doc.NodeID(word)
		if err != nil {
			return refuse("no machine has the name or the id %.40q, and it is no MAC address such as "+
				"52:54:00:12:34:56 (`diskcast machine list` lists them)", word)
		}
		if n, err := u.e.findNode(word); err == nil {
			id = n.ID
		}
		u.node, m = id, u.e.fleet.Of(id)
	}
	if m != nil {
		u.machine = m.ID
	}
	return nil
}

// mine reports whether the machine that is followed is within the bounds.
func (u *Sub) mine() bool {
	in := u.bounds.now()
	if m := u.e.fleet.Get(u.machine); m != nil {
		return in.fits(m)
	}
	return in.node(u.node)
}

// Background is long work that is followed beside sessions and machines.
type Background interface {
	// Job shows a job, or says that there is none.
	Job(id string) (*doc.Job, bool)
	List() []doc.Job
}

// FollowJobs has those who follow everything follow these jobs too. It is called before anybody does; JobChanged says
// that one of them has changed.
func (e *Engine) FollowJobs(j Background) { e.long = j }

// JobChanged tells those who follow everything that a job has changed, or come to be.
func (e *Engine) JobChanged(id string) { e.feed.Touch(feed.Key{Job: id}) }

func (u *Sub) match(k feed.Key) bool {
	if u.session != "" && k.Session != u.session {
		return false
	}
	if u.node == "" && u.machine == "" || k.Node != "" && k.Node == u.node {
		return true
	}
	if m := u.e.fleet.Of(k.Node); k.Node != "" && m != nil && m.ID == u.machine {
		return true
	}
	return k.Machine != "" && k.Machine == u.machine
}

// Next waits for changes and returns them; last is true when the session is over and nothing more will come. The lines
// are the caller's until the next call.
func (u *Sub) Next(ctx context.Context) (lines []doc.Line, last bool, err error) {
	for {
		if u.more != nil {
			select {
			case <-u.more:
			case <-u.unsaved.Done():
			case <-ctx.Done():
				return nil, false, ctx.Err()
			}
		}
		if lines, last, err = u.read(u.lines[:0]); lines != nil {
			u.lines = lines
		}
		if len(lines) > 0 || last || err != nil {
			return lines, last, err
		}
	}
}

// Live is a line with the cursor up to which all was told.
func (u *Sub) Live() doc.Line {
	return doc.Line{Type: doc.LineLive, Cursor: u.e.feed.Cursor(u.n)}
}

// read appends what has changed since the last call, perhaps nothing.
func (u *Sub) read(lines []doc.Line) (_ []doc.Line, last bool, err error) {
	e := u.e
	e.mu.Lock() // before the account is read: what it says has changed is then to be seen
	defer e.mu.Unlock()
	s := e.jobs.Session(u.session)
	if u.session != "" && !u.bounds.now().session(s) {
		return nil, true, nil // forgotten, with all others that old; or not within any more
	}
	if u.seen != nil && (u.node != "" || u.machine != "") && !u.mine() {
		return nil, true, nil
	}
	if !u.begun {
		u.begun, u.first = true, u.present()
		if len(u.first) == 0 {
			lines = append(lines, u.Live())
		}
	}
	in := u.bounds.now()
	if len(u.first) > 0 {
		part := u.first[:min(atOnce, len(u.first))]
		u.first = u.first[len(part):]
		lines = u.state(lines, in, part)
		if u.behind = len(u.first) > 0; u.behind {
			u.more = more
			return lines, false, nil
		}
		u.first = nil
		lines = append(lines, u.Live())
	}
	changes, n, next, err := e.feed.Append(u.changes[:0], u.n, u.match, atOnce)
	if err != nil {
		return nil, false, err
	}
	u.changes = changes
	defer clear(changes) // what they are about is not kept by who waits
	lines = append(lines, u.moved(changes)...)
	for i := range changes {
		if u.seen != nil && !u.tells(in, &changes[i]) {
			continue
		}
		l := e.sharedLine(&changes[i])
		l.Cursor = e.feed.Cursor(changes[i].N)
		lines = append(lines, l)
	}
	u.n, u.more = n, next
	select {
	case <-next:
		u.behind = true
		return lines, false, nil
	default:
		u.behind = false
	}
	if s == nil || !s.Over() || len(e.run(s.ID).casts) > 0 || s.BeingSwitched() > 0 ||
		s.Hooking() {
		return lines, false, nil
	}
	failed := u.unsaved.Failed() // before it is waited for the next
	if last = u.saved(); last || failed && !u.warned {
		u.warned = failed
		// Once more, behind all that came of it: whoever reads this line has read all.
		lines = append(lines, e.line(&feed.Change{Key: feed.Key{Session: u.session}}))
		lines[len(lines)-1].Cursor = e.feed.Cursor(n)
	}
	return lines, last, nil
}

// saved reports whether the session's end is durable. A server that is killed before goes on with a session that is not
// over, so that nobody is told so earlier.
func (u *Sub) saved() bool {
	if u.unsaved == nil || u.unsaved.Failed() {
		u.unsaved = u.e.w.Last()
	}
	return u.unsaved.Durable()
}

// atOnce bounds the lines that are made while the engine waits.
const atOnce = 256

// more is closed: there is more already.
var more = func() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// Behind reports whether there is more to tell than Next has.
func (u *Sub) Behind() bool { return u.behind }

// state appends lines about what is, of those of the keys that are within and were not told.
func (u *Sub) state(lines []doc.Line, in inside, keys []feed.Key) []doc.Line {
	for _, k := range keys {
		if u.seen != nil {
			if u.seen[k] || !in.key(k) {
				continue
			}
			u.seen[k] = true
		}
		lines = append(lines, u.e.sharedLine(&feed.Change{N: u.e.feed.Newest(k), Key: k}))
	}
	return lines
}

// present is of what there is something to tell, of sessions that are over only where one was asked for.
func (u *Sub) present() (keys []feed.Key) {
	e := u.e
	add := func(k feed.Key) {
		if u.match(k) {
			keys = append(keys, k)
		}
	}
	for _, m := range e.fleet.All() {
		add(feed.Key{Machine: m.ID})
	}
	puts, _ := e.bookChanges(book.New(nil, nil, nil, nil), e.book)
	for _, key := range slices.Sorted(maps.Keys(puts)) {
		add(feed.Key{Entry: key})
	}
	for _, r := range e.sortedRepeats() {
		add(feed.Key{Entry: record.RepeatPrefix + r.ID})
	}
	for id := range e.nodes {
		add(feed.Key{Node: id})
	}
	for _, id := range e.jobs.Order() {
		s := e.jobs.Session(id)
		if s.Over() && id != u.session {
			continue
		}
		for _, n := range s.Order {
			add(feed.Key{Session: id, Node: n})
		}
		add(feed.Key{Session: id})
	}
	if e.long != nil {
		for _, j := range e.long.List() {
			if !j.Over() {
				add(feed.Key{Job: j.ID})
			}
		}
	}
	return keys
}

// line tells a change, by the state that is now.
func (e *Engine) line(c *feed.Change) doc.Line {
	s, n := e.jobs.Session(c.Key.Session), e.nodes[c.Key.Node]
	switch {
	case c.Event != nil:
		return doc.Line{Type: doc.LineEvent, Event: eventView(c.Event)}
	case c.Key.Job != "":
		if j, ok := e.long.Job(c.Key.Job); ok {
			return doc.Line{Type: doc.LineJob, Job: j}
		}
		return doc.Line{Type: doc.LineJob, Gone: c.Key.Job}
	case c.Key.Entry != "":
		return e.entryLine(c.Key.Entry)
	case c.Key.Machine != "":
		if m := e.fleet.Get(c.Key.Machine); m != nil {
			v := e.machineView(m)
			return doc.Line{Type: doc.LineMachine, Machine: &v}
		}
		return doc.Line{Type: doc.LineMachine, Gone: c.Key.Machine}
	case c.Key.Session == "" && n != nil:
		v := e.nodeView(n)
		return doc.Line{Type: doc.LineSighting, Sighting: &v}
	case c.Key.Session == "":
		return doc.Line{Type: doc.LineSighting, Gone: c.Key.Node}
	case c.Key.Node != "" && s != nil && s.Parts[c.Key.Node] != nil:
		p := e.partView(s, s.Parts[c.Key.Node])
		return doc.Line{Type: doc.LinePart, Node: &p}
	case c.Key.Node == "" && s != nil:
		return doc.Line{Type: doc.LineSession, Session: e.view(s, false)}
	case c.Key.Node == "":
		return doc.Line{Type: doc.LineSession, Gone: c.Key.Session}
	}
	return doc.Line{Type: doc.LinePart, Gone: c.Key.Session + "/" + c.Key.Node}
}

// entryLine tells of a group, a profile, a rule or a menu.
func (e *Engine) entryLine(key string) doc.Line {
	kind, name, _ := strings.Cut(key, "/")
	l := doc.Line{Type: kind}
	switch kind {
	case doc.LineGroup:
		if g, ok := e.book.Group(name); ok {
			l.Group = &g
			return l
		}
	case doc.LineProfile:
		if p, ok := e.book.Profile(name); ok {
			l.Profile = &p
			return l
		}
	case doc.LineRule:
		if r, ok := e.book.Rule(name); ok {
			l.Rule = &r
			return l
		}
	case doc.LineMenu:
		if m, ok := e.book.Menu(name); ok {
			l.Menu = &m
			return l
		}
	case doc.LineRepeat:
		if r := e.repeats[name]; r != nil {
			l.Repeat = e.repeatView(r)
			return l
		}
	}
	l.Gone = name
	return l
}

func (e *Engine) touchSession(s *sess)             { e.feed.Touch(feed.Key{Session: s.ID}) }
func (e *Engine) touchPart(s *sess, id string)     { e.feed.Touch(feed.Key{Session: s.ID, Node: id}) }
func (e *Engine) tellEvent(_ string, ev doc.Event) { e.feed.Event(ev) }

// tellSilent tells of machines whose agent is not heard any more, or is again: that comes by time, and not by anything
// that is stored.
func (e *Engine) tellSilent() {
	for id, n := range e.nodes {
		if silent := e.whereabouts(n) == doc.Silent; silent != e.quiet[id] {
			e.quiet[id] = silent
			e.feed.Touch(feed.Key{Node: id})
		}
	}
	maps.DeleteFunc(e.quiet, func(id string, silent bool) bool { return !silent || e.nodes[id] == nil })
}
