// Package feed is the account of what changes on a server, from which watching one session, one machine or everything
// is a filter.
//
// Every change has a number, and a reader goes on from any number, so that it may lose its connection. What a session,
// a part or a machine has become is kept as a mark, the newest for each, and never as a copy: a reader that comes late
// is told once, and of the newest state. Events are kept themselves, as many as the bounds allow. A reader that asks
// for events which were dropped is told so with ErrLost, and must begin anew with the state that is.
package feed

import (
	"container/list"
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"sync"

	"github.com/diskcast/diskcast/server/doc"
)

// Bounds on what is kept, beside a mark for each thing that exists.
const (
	maxEvents = 16384   // events
	maxBytes  = 8 << 20 // of the words in them
	maxGone   = 4096    // marks of things that exist no more
)

// ErrLost is wrapped by errors about a cursor from which nobody can go on.
var ErrLost = errors.New("this cursor is too old")

// ErrCursor is wrapped by errors about what is not a cursor at all.
var ErrCursor = errors.New("not a cursor of this API")

// Key names what changed: a session, a node, with both a node's part in a session, a machine, a job, or an entry:
// kind/name of a group, a profile or a rule.
type Key struct{ Session, Node, Machine, Job, Entry string }

// Change is one change. Event is nil where the state of what Key names has changed, or its existence.
type Change struct {
	N     uint64
	Key   Key
	Event *doc.Event
}

// mark is the newest change of a thing's state.
type mark struct {
	n    uint64
	key  Key
	gone *list.Element // in Feed.gone, nil for what exists
}

// Feed is an account. All methods may be called from several goroutines.
type Feed struct {
	epoch string

	mu      sync.Mutex
	last    uint64 // number of the newest change
	lost    uint64 // number of the newest change that was dropped
	events  []Change
	bytes   int                   // of words in events
	marks   map[Key]*list.Element // of mark
	order   *list.List            // of mark, oldest first
	gone    *list.List            // of Key, oldest first
	changed chan struct{}         // closed at the next change
}

// New returns an empty account. epoch, which has no dash, tells its cursors from those of other accounts.
func New(epoch string) *Feed {
	return &Feed{epoch: epoch, marks: map[Key]*list.Element{}, order: list.New(), gone: list.New(),
		changed: make(chan struct{})}
}

// next gives a change its number and wakes the readers. The caller holds the lock.
func (f *Feed) next() uint64 {
	f.last++
	close(f.changed)
	f.changed = make(chan struct{})
	return f.last
}

// Touch notes that the state of a thing has changed, or that it has come to be.
func (f *Feed) Touch(k Key) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.touch(k)
}

func (f *Feed) touch(k Key) *mark {
	n := f.next()
	if el := f.marks[k]; el != nil {
		m := el.Value.(*mark)
		if m.gone != nil {
			f.gone.Remove(m.gone)
		}
		m.n, m.gone = n, nil
		f.order.MoveToBack(el)
		return m
	}
	m := &mark{n: n, key: k}
	f.marks[k] = f.order.PushBack(m)
	return m
}

// Gone notes that a thing exists no more.
func (f *Feed) Gone(k Key) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.touch(k).gone = f.gone.PushBack(k)
	if f.gone.Len() <= maxGone {
		return
	}
	old := f.gone.Remove(f.gone.Front()).(Key)
	el := f.marks[old]
	delete(f.marks, old)
	f.lost = max(f.lost, f.order.Remove(el).(*mark).n)
}

// Event adds an event.
func (f *Feed) Event(ev doc.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events = append(f.events, Change{N: f.next(), Key: Key{Session: ev.Event.Session, Node: ev.Node}, Event: &ev})
	f.bytes += words(&ev)
	drop := 0
	for ; len(f.events)-drop > maxEvents || f.bytes > maxBytes; drop++ {
		f.bytes -= words(f.events[drop].Event)
		f.lost = max(f.lost, f.events[drop].N)
	}
	if drop > 0 {
		clear(f.events[:drop]) // the array behind lives until it is grown
		f.events = f.events[drop:]
	}
}

func words(ev *doc.Event) int { return len(ev.Event.Message) + len(ev.Event.Step) + len(ev.Boot) }

// Cursor is the place after the change with number n, as a reader keeps it.
func (f *Feed) Cursor(n uint64) string { return f.epoch + "-" + strconv.FormatUint(n, 10) }

// Last is the number of the newest change.
func (f *Feed) Last() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last
}

// Number reads a cursor. One of another account is ErrLost: the changes between were not seen here.
func (f *Feed) Number(cursor string) (uint64, error) {
	epoch, digits, ok := strings.Cut(cursor, "-")
	n, err := strconv.ParseUint(digits, 10, 64)
	if !ok || epoch == "" || err != nil {
		return 0, fmt.Errorf("%.80q: %w", cursor, ErrCursor)
	}
	if epoch != f.epoch {
		return 0, fmt.Errorf("%w: the server was started anew since it was given", ErrLost)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if n > f.last {
		return 0, fmt.Errorf("%.80q is beyond the newest change: %w", cursor, ErrCursor)
	}
	return n, f.whole(n)
}

// whole says that changes after n were dropped. The caller holds the lock.
func (f *Feed) whole(n uint64) error {
	if n < f.lost {
		return fmt.Errorf("%w: of the %d changes since then only the last ones are kept", ErrLost, f.last-n)
	}
	return nil
}

// now is closed: there is more already.
var now = func() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// After returns the changes after number n that match, in order, at most so many, and the number to go on from. more is
// closed when there is another change, wanted or not; it is closed already where these are not all.
func (f *Feed) After(n uint64, match func(Key) bool, most int) (changes []Change, last uint64, more <-chan struct{},
	err error) {
	return f.Append(nil, n, match, most)
}

// Append is After with the changes behind those that are there already, which count among the most.
func (f *Feed) Append(to []Change, n uint64, match func(Key) bool, most int) (changes []Change, last uint64,
	more <-chan struct{}, err error) {
	changes = to
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.whole(n); err != nil {
		return nil, 0, nil, err
	}
	events := f.events[sort.Search(len(f.events), func(i int) bool { return f.events[i].N > n }):]
	el := f.order.Back()
	for el != nil && el.Value.(*mark).n > n {
		el = el.Prev()
	}
	if el == nil {
		el = f.order.Front()
	} else {
		el = el.Next()
	}
	for el != nil || len(events) > 0 { // both are in order
		var c Change
		if el != nil && (len(events) == 0 || el.Value.(*mark).n < events[0].N) {
			m := el.Value.(*mark)
			c, el = Change{N: m.n, Key: m.key}, el.Next()
		} else {
			c, events = events[0], events[1:]
		}
		if !match(c.Key) {
			continue
		}
		if len(changes) == most {
			return changes, changes[most-1].N, now, nil
		}
		changes = append(changes, c)
	}
	return changes, f.last, f.changed, nil
}

// Newest is the number of the newest change of a thing's state; 0 where there was none.
func (f *Feed) Newest(k Key) uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	if el := f.marks[k]; el != nil {
		return el.Value.(*mark).n
	}
	return 0
}
