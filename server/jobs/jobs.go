// Package jobs is what sessions do, as a pure state machine: Step takes one input and the time and returns effects. It
// has neither lock, goroutine, log, clock nor store. A shell (server/engine) owns those: it turns what happens into
// inputs, one at a time, and runs the effects.
//
// A session is one piece of work for a set of nodes; each node has one part in it. A session waits until enough of its
// nodes came, then goes until all its parts are over, and ends. What differs between restoring, capturing and what
// comes later is a Kind, a folder beside this file.
//
// What holds, whatever the order of the inputs (held by TestRandomSchedules):
//
//  1. A session that is over stays so: its state, its reason and the state of each of its parts change no more. What
//     may still be added are the last figures of its cast, words on who spoke as a node, that a receipt could not be
//     made, what became of its machines' power, and of the hook after it.
//  2. A part that is done, or was cancelled, is never anything else again. One that failed or is absent may be offered
//     once more while its session goes.
//  3. The parts of a session that is over are over.
//  4. A node works for one session at most, that session is not over, and the node's part in it is not over.
//  5. Only a node with such a part of a session that goes has a descriptor of it; all others have none, or are told to
//     be idle.
//  6. A cast runs only for a session that goes, and an image is held only for one that is not over; what has come of an
//     upload is thrown away when its session ends.
//  7. A session of the first so many nodes has at most so many parts.
//  8. A part is done only by its node's word, or when what the node sent is stored, and only when no other boot of the
//     node was heard for a minute.
//  9. Effects can be repeated, and run late: each says that something is to be as the state says now, not what
//     changed.
//  10. A shell that is killed after any effect goes on from what it stored, by Load and the input Resumed, and all of
//     this holds again: what is over stays over, and what is not ends.
//  11. No session starts to cast while as many do as are allowed at once, nor before its start time, but by the
//     operator's word. One whose nodes have an open shell, and nothing to receive any more, does not cast.
//  12. A part whose node had a plan ends with exactly one receipt, each time that it ends, if its kind gives any;
//     another part has none.
//  13. What is asked of a machine's power is with the shell until it is known what came of it, and nothing else is: a
//     shell that was killed is asked again. Nothing is asked before the session's start time, nor to bring a machine
//     that came already.
//  14. A hook that runs is with the shell until its end is known. No session starts, and no machine of it is switched,
//     before its hook has ended well; the hook after it runs when it is over, once for each time that a shell is asked.
//  15. A part of a session of several disks is done only when all of them are written, by its node's word.
package jobs

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/diskcast/diskcast/server/doc"
)

// Presence is how long after its last word an agent counts as being there; it asks at least every 30 s.
const Presence = 90 * time.Second

// Quiet is how long the other boots of a node must be silent: an agent asks every 30 s, and after a failure every 10 s.
const Quiet = time.Minute

// MaxHistory is how many sessions are kept, those that are not over not counted.
const MaxHistory = 200

// State is all sessions, and what they have to do with nodes. The zero value is not usable: see New.
type State struct {
	kinds    Kinds
	began    time.Time
	casts    int // at once, at most; 0: any number
	sessions map[string]*Session
	order    []string // of session ids, oldest first
	nodes    map[string]*Node
}

// New makes a state without sessions. Nobody was heard before the time began.
func New(kinds Kinds, began time.Time) *State {
	return &State{kinds: kinds, began: began, sessions: map[string]*Session{}, nodes: map[string]*Node{}}
}

// Bound has at most so many sessions cast at once; 0 means any number.
func (st *State) Bound(casts int) { st.casts = casts }

// Input is one thing that happened: one of the types in input.go.
type Input interface{ step(*run) }

// Step takes one input in and returns what is to be done about it, in this order.
func (st *State) Step(in Input, now time.Time) []Effect {
	r := &run{State: st, now: now}
	in.step(r)
	return r.out
}

// run is one step under way.
type run struct {
	*State
	now time.Time
	out []Effect
}

func (r *run) do(e Effect) { r.out = append(r.out, e) }

func (r *run) log(words string, attrs ...any) { r.do(Log{words, attrs}) }

// Session returns the session, nil when there is none. Callers read it, between steps.
func (st *State) Session(id string) *Session { return st.sessions[id] }

// Order lists the ids of all sessions, oldest first. Callers do not change it.
func (st *State) Order() []string { return st.order }

// Node returns what sessions have to do with the node; nil when nothing was told of it.
func (st *State) Node(id string) *Node { return st.nodes[id] }

// Current is the session that the node works for, nil when there is none.
func (st *State) Current(node string) *Session {
	n := st.nodes[node]
	if n == nil {
		return nil
	}
	s := st.sessions[n.Session]
	if s == nil || s.Over() {
		return nil
	}
	if p := s.Parts[n.ID]; p == nil || p.Over() || p.State == doc.Starting {
		return nil
	}
	return s
}

// Claimed reports whether the node has said that its present part is done, and that does not count yet.
func (st *State) Claimed(node string) bool {
	n := st.nodes[node]
	return n != nil && n.Claim != nil && n.Claim.Session == n.Session && st.Current(node) != nil
}

// Settled reports whether all other boots of the node were silent for long enough. While the server was away it heard
// nobody.
func (st *State) Settled(node string, now time.Time) bool {
	n := st.nodes[node]
	return n == nil || n.Rival.IsZero() || now.Sub(st.past(n.Rival, now)) >= Quiet
}

// Wants reports whether the session would take the node.
func (st *State) Wants(s *Session, node string, now time.Time) bool {
	n := st.nodes[node]
	if n == nil {
		n = &Node{ID: node}
	}
	return (&run{State: st, now: now}).wants(s, n)
}

// number is the number in a session's id: sessions are s1, s2, ...
func number(id string) uint64 {
	n, err := strconv.ParseUint(strings.TrimPrefix(id, "s"), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// Load puts in what was stored. It comes before all steps but Seen; the step Resumed then goes on with it.
func (st *State) Load(sessions []Record, parts []*doc.Part, nodes map[string]Assignment) error {
	for _, r := range sessions {
		kind := st.kinds.Of(&r.Spec)
		if kind == nil {
			return fmt.Errorf("session %s is of the kind %q, which this server does not know: a newer one made it, "+
				"so start that one", r.ID, r.Spec.Kind)
		}
		s := &Session{Record: r, Kind: kind, Parts: map[string]*doc.Part{}, waited: r.Created}
		if st.began.Before(s.waited) { // the clock was set back since
			s.waited = st.began
		}
		st.sessions[r.ID] = s
		st.order = append(st.order, r.ID)
	}
	slices.SortFunc(st.order, func(a, b string) int { return cmp.Compare(number(a), number(b)) })
	parts = slices.Clone(parts)
	slices.SortStableFunc(parts, func(a, b *doc.Part) int { return a.Joined.Compare(b.Joined) })
	for _, p := range parts {
		if s := st.sessions[p.Session]; s != nil {
			if _, ok := s.Kind.(Accountant); ok {
				p.Planned = began(p)
			}
			s.Add(p)
		}
	}
	for id, a := range nodes {
		st.node(id).Assignment = a
	}
	return nil
}

// node finds or makes a node.
func (st *State) node(id string) *Node {
	n := st.nodes[id]
	if n == nil {
		n = &Node{ID: id}
		st.nodes[id] = n
	}
	return n
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// past is when something was heard, but not before this program began: until then nobody was. A time that has not come
// is one of before the clock was set back.
func (st *State) past(t, now time.Time) time.Time {
	if t.Before(st.began) || t.After(now) {
		return st.began
	}
	return t
}

func seconds(f float64) time.Duration { return time.Duration(f * float64(time.Second)) }
