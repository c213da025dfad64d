package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/diskcast/diskcast/internal/receipt"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/feed"
	"github.com/diskcast/diskcast/server/fleet"
	"github.com/diskcast/diskcast/server/fleet/selector"
)

// Bounds is the engine as somebody has it who is held to the machines that a selector fits: other machines are not
// there, nor is a session of which one machine is another.
type Bounds struct {
	e  *Engine
	on string // a selector; empty: all machines
}

// Within is the engine for somebody who is held to the machines that the selector fits, whenever they are asked for;
// empty: to none.
func (e *Engine) Within(on string) Bounds { return Bounds{e, on} }

// All reports whether nobody is held to anything.
func (b Bounds) All() bool { return b.on == "" }

// heldTo is whether a machine is one that the selector fits now, which it may for nothing. The caller holds the lock as
// long as it asks.
func (e *Engine) heldTo(on string) func(*fleet.Machine) bool {
	if on == "" {
		return func(*fleet.Machine) bool { return true }
	}
	s, err := selector.Parse(on)
	if err != nil {
		e.log.Error("a token is held to a selector that cannot be read, and so to nothing", "selector", on, "err", err)
		return func(*fleet.Machine) bool { return false }
	}
	return s.Fits(e.book.Selectors(), e.pluggedInto)
}

// HoldTo brings the selector of a token into its one form, and returns how many machines it fits now; nil of a token
// that has none. It refuses what cannot be read, and groups that are not there.
func (e *Engine) HoldTo(in *doc.TokenSpec) (*int, error) {
	if in.On == "" {
		return nil, nil
	}
	s, err := selector.Parse(in.On)
	if err != nil {
		return nil, refuse("%w", err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := s.Check(e.book.Selectors()); err != nil {
		return nil, refuse("%w", err)
	}
	in.On = s.String()
	n, fits := 0, e.heldTo(in.On)
	for _, m := range e.fleet.All() {
		if fits(m) {
			n++
		}
	}
	return &n, nil
}

// inside answers for one moment what is within the bounds; the lock is held while it is asked.
type inside struct {
	e    *Engine
	all  bool
	fits func(*fleet.Machine) bool
}

func (b Bounds) now() inside { return inside{b.e, b.All(), b.e.heldTo(b.on)} }

// node reports whether all machines that a node of that name may be are within.
func (w inside) node(id string) bool {
	if w.all {
		return true
	}
	if m := w.e.fleet.Of(id); m != nil {
		return w.fits(m)
	}
	if m := w.e.fleet.Get(id); m != nil { // one that did not come yet, of which only the board is known
		return w.fits(m)
	}
	owners := w.e.fleet.Booted(macOf(id))
	return len(owners) > 0 && !slices.ContainsFunc(owners, func(m *fleet.Machine) bool { return !w.fits(m) })
}

// session reports whether all machines that the session may ever have are within.
func (w inside) session(s *sess) bool {
	if w.all {
		return s != nil
	}
	if s == nil || s.Spec.All || s.Spec.Count > 0 || len(s.Order) == 0 {
		return false
	}
	other := func(id string) bool { return !w.node(id) }
	return !slices.ContainsFunc(s.Order, other) && !slices.ContainsFunc(s.Spec.Nodes, other)
}

// repeat reports whether all machines that its next session would have are within.
func (w inside) repeat(r *repeat) bool {
	if w.all {
		return r != nil
	}
	var spec doc.Spec
	if r == nil || json.Unmarshal(r.Spec, &spec) != nil || spec.All || spec.Count > 0 {
		return false
	}
	if spec.On != "" {
		ms, err := w.e.pick(spec.On, spec.Within)
		return err == nil && !slices.ContainsFunc(ms, func(m *fleet.Machine) bool { return !w.fits(m) })
	}
	return len(spec.Nodes) > 0 && !slices.ContainsFunc(spec.Nodes, func(word string) bool {
		m, err := w.e.findMachine(word)
		return err != nil || !w.fits(m)
	})
}

// key reports whether the state of what the key names is within.
func (w inside) key(k feed.Key) bool {
	kind, name, _ := strings.Cut(k.Entry, "/")
	switch {
	case k.Job != "":
		return false
	case kind == doc.LineRepeat:
		return w.repeat(w.e.repeats[name])
	case k.Entry != "":
		return kind == doc.LineProfile
	case k.Machine != "":
		m := w.e.fleet.Get(k.Machine)
		return m != nil && w.fits(m)
	case k.Session != "":
		s := w.e.jobs.Session(k.Session)
		return w.session(s) && (k.Node == "" || s.Parts[k.Node] != nil)
	}
	return w.e.nodes[k.Node] != nil && w.node(k.Node)
}

// tells reports whether a change is told to somebody who is held to machines.
func (u *Sub) tells(in inside, c *feed.Change) bool {
	if c.Event != nil {
		return (c.Key.Node == "" || in.node(c.Key.Node)) &&
			(c.Key.Session == "" && c.Key.Node != "" || in.session(u.e.jobs.Session(c.Key.Session)))
	}
	if in.key(c.Key) {
		u.seen[c.Key] = true
		return true
	}
	return false
}

// moved tells somebody who is held to machines what came within since it was asked last, and what is not there any
// more, be it because labels, groups or machines are others now. The lines end with one that has a cursor.
func (u *Sub) moved(changes []feed.Change) (lines []doc.Line) {
	in := u.bounds.now()
	moves := func(c feed.Change) bool {
		kind, _, _ := strings.Cut(c.Key.Entry, "/")
		return kind == doc.LineGroup || c.Event == nil && u.seen[c.Key] != in.key(c.Key)
	}
	if u.seen == nil || !slices.ContainsFunc(changes, moves) {
		return nil
	}
	for k := range u.seen {
		if !in.key(k) {
			delete(u.seen, k)
			lines = append(lines, goneLine(k))
		}
	}
	lines = u.state(lines, in, u.present())
	if len(lines) > 0 {
		lines = append(lines, u.Live())
	}
	return lines
}

// goneLine tells that something exists no more for the reader.
func goneLine(k feed.Key) doc.Line {
	kind, name, _ := strings.Cut(k.Entry, "/")
	switch {
	case k.Entry != "":
		return doc.Line{Type: kind, Gone: name}
	case k.Machine != "":
		return doc.Line{Type: doc.LineMachine, Gone: k.Machine}
	case k.Session == "":
		return doc.Line{Type: doc.LineSighting, Gone: k.Node}
	case k.Node == "":
		return doc.Line{Type: doc.LineSession, Gone: k.Session}
	}
	return doc.Line{Type: doc.LinePart, Gone: k.Session + "/" + k.Node}
}

// none is the one answer about what is not there and about what is not within.
func (b Bounds) none(what, word string) error {
	return fmt.Errorf("%s %.80q: %w, or it is not of the machines that the token is held to (%s)", what, word,
		ErrNotFound, b.on)
}

// Machines is Engine.Machines of those within.
func (b Bounds) Machines() []doc.Machine {
	e := b.e
	e.mu.Lock()
	defer e.mu.Unlock()
	w, out := b.now(), []doc.Machine{}
	for _, m := range e.fleet.All() {
		if w.fits(m) {
			out = append(out, e.machineView(m))
		}
	}
	return out
}

// Machine is Engine.Machine of those within.
func (b Bounds) Machine(word string) (*doc.Machine, error) {
	if b.All() {
		return b.e.Machine(word)
	}
	b.e.mu.Lock()
	defer b.e.mu.Unlock()
	m, err := b.e.findMachine(word)
	if err != nil || !b.now().fits(m) {
		return nil, b.none("machine", word)
	}
	v := b.e.machineView(m)
	return &v, nil
}

// Nodes is Engine.Nodes of those within.
func (b Bounds) Nodes() []doc.Node {
	e := b.e
	e.mu.Lock()
	defer e.mu.Unlock()
	w, out := b.now(), []doc.Node{}
	for id, n := range e.nodes {
		if w.node(id) {
			out = append(out, e.nodeView(n))
		}
	}
	slices.SortFunc(out, func(a, b doc.Node) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// Node is Engine.Node of those within.
func (b Bounds) Node(word string) (*doc.Node, error) {
	if b.All() {
		return b.e.Node(word)
	}
	b.e.mu.Lock()
	defer b.e.mu.Unlock()
	n, err := b.e.find(word)
	if err != nil || !b.now().node(n.ID) {
		return nil, b.none("node", word)
	}
	v := b.e.nodeView(n)
	return &v, nil
}

// Sessions is Engine.Sessions of those within.
func (b Bounds) Sessions() []*doc.Session {
	e := b.e
	e.mu.Lock()
	defer e.mu.Unlock()
	w, out := b.now(), []*doc.Session{}
	for _, id := range e.jobs.Order() {
		if s := e.jobs.Session(id); w.session(s) {
			out = append(out, e.view(s, true))
		}
	}
	return out
}

// Session is Engine.Session of those within.
func (b Bounds) Session(id string) (*doc.Session, error) {
	if b.All() {
		return b.e.Session(id)
	}
	b.e.mu.Lock()
	defer b.e.mu.Unlock()
	s := b.e.jobs.Session(id)
	if !b.now().session(s) {
		return nil, b.none("session", id)
	}
	return b.e.view(s, true), nil
}

// Repeats is Engine.Repeats of those within.
func (b Bounds) Repeats() []doc.Repeat {
	e := b.e
	e.mu.Lock()
	defer e.mu.Unlock()
	w, out := b.now(), []doc.Repeat{}
	for _, r := range e.sortedRepeats() {
		if w.repeat(r) {
			out = append(out, *e.repeatView(r))
		}
	}
	return out
}

// Repeat is Engine.Repeat of those within.
func (b Bounds) Repeat(id string) (*doc.Repeat, error) {
	if b.All() {
		return b.e.Repeat(id)
	}
	b.e.mu.Lock()
	defer b.e.mu.Unlock()
	r := b.e.repeats[id]
	if !b.now().repeat(r) {
		return nil, b.none("repeating session", id)
	}
	return b.e.repeatView(r), nil
}

// CreateRepeat is Engine.CreateRepeat: its sessions, too, are made of machines within.
func (b Bounds) CreateRepeat(ctx context.Context, in doc.RepeatSpec) (*doc.Repeat, error) {
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(in.Spec, &fields); err != nil {
		return nil, refuse("the spec of a repeating session: %w", err)
	}
	delete(fields, "within")
	if !b.All() {
		on, err := json.Marshal(b.on)
		if err != nil {
			return nil, err
		}
		fields["within"] = on
	}
	var err error
	if in.Spec, err = json.Marshal(fields); err != nil {
		return nil, err
	}
	return b.e.CreateRepeat(ctx, in)
}

// Spec is Engine.Spec: what is made of it has machines within, whatever it says itself.
func (b Bounds) Spec(text []byte, read *doc.Spec) (doc.Spec, error) {
	read.Within = b.on
	spec, err := b.e.Spec(text, read)
	spec.Within = b.on
	return spec, err
}

// Lab is Engine.Lab for somebody who is held to machines: profiles, which name none.
func (b Bounds) Lab() doc.Lab {
	l := b.e.Lab()
	if !b.All() {
		l.Groups, l.Rules, l.Menus = []doc.Group{}, []doc.Rule{}, []doc.Menu{}
	}
	return l
}

// Receipts is Engine.Receipts of machines within.
func (b Bounds) Receipts(ctx context.Context, session string) ([]json.RawMessage, error) {
	all, err := b.e.Receipts(ctx, session)
	if err != nil || b.All() {
		return all, err
	}
	b.e.mu.Lock()
	defer b.e.mu.Unlock()
	w, out := b.now(), []json.RawMessage{}
	for _, raw := range all {
		if w.receipt(raw) {
			out = append(out, raw)
		}
	}
	return out, nil
}

func (w inside) receipt(raw json.RawMessage) bool {
	env, err := receipt.Parse(bytes.NewReader(raw))
	if err != nil {
		return false
	}
	r, err := env.Unverified()
	if err != nil {
		return false
	}
	if r.Machine.Machine != "" {
		m := w.e.fleet.Get(r.Machine.Machine)
		return m != nil && w.fits(m)
	}
	return w.node(r.Machine.ID)
}

// nameWithin puts nodes in the place of the names of machines, all of which are within the bounds of the spec.
func (e *Engine) nameWithin(spec *doc.Spec) error {
	b := e.Within(spec.Within)
	if spec.All || spec.Count > 0 {
		return refuse("the token is held to the machines %s, and a session for machines that come could be of others: "+
			"`--on '*'` means all that it is held to, as they are now", spec.Within)
	}
	w := b.now()
	for i, word := range spec.Nodes {
		m, err := e.findMachine(word)
		if err != nil || !w.fits(m) {
			return refuse("%w", b.none("machine", word))
		}
		node, err := doc.NodeID(word)
		if err != nil {
			if node, err = e.nodeFor(m); err != nil {
				return err
			}
		} else if !e.its(m, macOf(node), map[string]bool{m.ID: true}) {
			return refuse("the NIC %s is shared by machine %s and others, and who boots from it next could be one of "+
				"those: name the machine", macOf(node), m.Title())
		}
		spec.Nodes[i] = node
	}
	return nil
}
