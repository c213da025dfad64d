package feed

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
)

func all(Key) bool { return true }

func event(sess, node, words string) doc.Event {
	return doc.Event{Node: node, Event: session.Event{Session: sess, Step: "log", Message: words}}
}

// tell writes changes as one line.
func tell(changes []Change) string {
	var out []string
	for _, c := range changes {
		s := fmt.Sprintf("%d:%s/%s", c.N, c.Key.Session, c.Key.Node)
		if c.Event != nil {
			s += "=" + c.Event.Event.Message
		}
		out = append(out, s)
	}
	return strings.Join(out, " ")
}

func TestAfter(t *testing.T) {
	f := New("e")
	f.Touch(Key{Session: "s1"})             // 1
	f.Touch(Key{Node: "n1"})                // 2
	f.Event(event("s1", "n1", "first"))     // 3
	f.Touch(Key{Session: "s1", Node: "n1"}) // 4
	f.Touch(Key{Session: "s1"})             // 5, in place of 1
	f.Event(event("", "n2", "stranger"))    // 6
	f.Gone(Key{Node: "n1"})                 // 7, in place of 2
	session := func(k Key) bool { return k.Session == "s1" }
	machine := func(k Key) bool { return k.Node == "n1" }
	for _, c := range []struct {
		name  string
		after uint64
		match func(Key) bool
		want  string
	}{
		{"everything", 0, all, "3:s1/n1=first 4:s1/n1 5:s1/ 6:/n2=stranger 7:/n1"},
		{"a session", 0, session, "3:s1/n1=first 4:s1/n1 5:s1/"},
		{"a machine", 0, machine, "3:s1/n1=first 4:s1/n1 7:/n1"},
		{"from the middle", 4, all, "5:s1/ 6:/n2=stranger 7:/n1"},
		{"from the end", 7, all, ""},
	} {
		got, last, more, err := f.After(c.after, c.match, 1<<30)
		if err != nil || tell(got) != c.want || last != 7 {
			t.Errorf("%s: %q up to %d, %v; want %q", c.name, tell(got), last, err, c.want)
		}
		select {
		case <-more:
			t.Errorf("%s: there is more, and nothing has changed", c.name)
		default:
		}
	}
	_, _, more, _ := f.After(7, all, 1<<30)
	f.Touch(Key{Node: "n1"}) // 8: it has come back
	<-more
	if got, _, _, _ := f.After(7, all, 1<<30); tell(got) != "8:/n1" {
		t.Errorf("after it came back: %q", tell(got))
	}
}

func TestCursors(t *testing.T) {
	f := New("e")
	f.Touch(Key{Session: "s1"})
	for cursor, want := range map[string]error{
		"e-0": nil, "e-1": nil, "other-1": ErrLost, "e-2": ErrCursor, "": ErrCursor, "e": ErrCursor, "-1": ErrCursor,
		"e-": ErrCursor, "e--1": ErrCursor,
		"e-18446744073709551616": ErrCursor,
	} {
		if _, err := f.Number(cursor); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", cursor, err, want)
		}
	}
	if n, err := f.Number(f.Cursor(1)); n != 1 || err != nil {
		t.Errorf("its own cursor: %d, %v", n, err)
	}
}

// What is dropped is told to who would have needed it, and to nobody else.
func TestBounds(t *testing.T) {
	for _, c := range []struct {
		name string
		add  func(f *Feed)
	}{
		{"events", func(f *Feed) {
			for range maxEvents + 1 {
				f.Event(event("s", "n", "x"))
			}
		}},
		{"long events", func(f *Feed) {
			long := strings.Repeat("x", 4096-len("log"))
			for range maxBytes/4096 + 1 {
				f.Event(event("s", "n", long))
			}
		}},
		{"machines that went", func(f *Feed) {
			for i := range maxGone + 1 {
				f.Gone(Key{Node: fmt.Sprint(i)})
			}
		}},
	} {
		f := New("e")
		f.Touch(Key{Session: "s1"})
		before := f.Cursor(f.Last())
		c.add(f)
		if _, err := f.Number(before); !errors.Is(err, ErrLost) {
			t.Errorf("%s: a reader that lacks some is told %v", c.name, err)
		}
		if _, _, _, err := f.After(1, all, 1<<30); !errors.Is(err, ErrLost) {
			t.Errorf("%s: a reader that fell behind is told %v", c.name, err)
		}
		if got, _, _, err := f.After(2, all, 1<<30); err != nil || len(got) == 0 {
			t.Errorf("%s: who has the dropped one is told %d changes, %v", c.name, len(got), err)
		}
		if len(f.events) > maxEvents || f.bytes > maxBytes || f.gone.Len() > maxGone || len(f.marks) > maxGone+1 ||
			f.order.Len() != len(f.marks) {
			t.Errorf("%s: %d events of %d bytes, %d marks, %d gone", c.name, len(f.events), f.bytes, len(f.marks),
				f.gone.Len())
		}
	}
	f := New("e")
	f.Touch(Key{Session: "s1"})
	for range 10 * maxEvents {
		f.Touch(Key{Session: "s1", Node: "n1"}) // progress, ten times a second
	}
	want := fmt.Sprintf("1:s1/ %d:s1/n1", 10*maxEvents+1)
	if got, _, _, err := f.After(0, all, 1<<30); err != nil || tell(got) != want {
		t.Errorf("states are never lost: %q, %v", tell(got), err)
	}
}

// A reader that breaks off anywhere, many times, and goes on from its cursor knows in the end what one knows that never
// did.
func TestReconnects(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		f := New("e")
		truth, seen := map[Key]uint64{}, map[Key]uint64{}
		said, heard := 0, 0
		cursor := f.Cursor(0)
		read := func() {
			n, err := f.Number(cursor)
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			changes, last, _, err := f.After(n, all, 1+r.IntN(9))
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			whole := true
			for _, c := range changes {
				if c.N <= n {
					t.Fatalf("seed %d: change %d was told after %d", seed, c.N, n)
				}
				n = c.N
				cursor = f.Cursor(c.N)
				if c.Event != nil {
					heard++
				} else {
					seen[c.Key] = c.N
				}
				if whole = r.IntN(10) > 0; !whole {
					break // the connection is gone
				}
			}
			if whole {
				cursor = f.Cursor(last)
			}
		}
		for range 300 {
			k := Key{Session: []string{"", "s1", "s2"}[r.IntN(3)], Node: []string{"n1", "n2"}[r.IntN(2)]}
			switch r.IntN(5) {
			case 0:
				f.Event(event(k.Session, k.Node, "x"))
				said++
			case 1:
				f.Gone(k)
				truth[k] = f.Last()
			case 2, 3:
				f.Touch(k)
				truth[k] = f.Last()
			case 4:
				read()
			}
		}
		for range 400 {
			read()
		}
		if heard != said || fmt.Sprint(seen) != fmt.Sprint(truth) {
			t.Fatalf("seed %d: %d events of %d; %v, want %v", seed, heard, said, seen, truth)
		}
	}
}

func FuzzNumber(f *testing.F) {
	f.Add("e-1")
	f.Add("e-18446744073709551615")
	f.Add("other-7")
	f.Fuzz(func(t *testing.T, cursor string) {
		a := New("e")
		a.Touch(Key{Session: "s1"})
		if n, err := a.Number(cursor); err == nil && n > a.Last() {
			t.Errorf("%q is change %d of %d", cursor, n, a.Last())
		}
	})
}
