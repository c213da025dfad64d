package grub

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// worlds are the ways that a run can go where files do not tell: the order of names in a directory, whether a command
// of GRUB's would succeed, whether a search would find something that is not read here. A run asks, and the first
// answer is the likely one; then it is done again with the others, until each combination was had. What is started must
// be the same in all.
type worlds struct {
	path []choice // the answers of this run, in order
	at   int      // of the next question in path
}

// choice is an answer: one of several.
type choice struct {
	taken, of int
	what      string
}

// choose answers a question with a number below of.
func (w *worlds) choose(of int, what string) int {
	if of < 2 {
		return 0
	}
	if w.at == len(w.path) {
		w.path = append(w.path, choice{of: of, what: what})
	}
	c := w.path[w.at]
	w.at++
	return c.taken
}

// next turns to the next combination and tells which question has another answer in it. It is false when all were had.
func (w *worlds) next() (what string, more bool) {
	for n := len(w.path) - 1; n >= 0; n-- {
		if c := &w.path[n]; c.taken+1 < c.of {
			c.taken++
			w.path, w.at = w.path[:n+1], 0
			return c.what, true
		}
	}
	return "", false
}

// inAll runs in every world and returns what all of them come to. Where one differs it is a restart that names what it
// went by.
func (w *worlds) inAll(run func() (*Entry, error)) (*Entry, error) {
	first, err := run()
	if err != nil {
		return nil, err // whatever the others come to
	}
	for n := 1; ; n++ {
		what, more := w.next()
		if !more {
			return first, nil
		}
		if n == maxWorlds {
			return nil, &Restart{Why: fmt.Sprintf("its configuration goes by more than can be tried here, as %s, "+
				"which only GRUB sees", what)}
		}
		other, err := run()
		switch {
		case errors.Is(err, ErrLimit):
			return nil, err
		case err != nil:
			return nil, &Restart{Why: fmt.Sprintf("its configuration goes by %s, which only GRUB sees: it comes to "+
				"%v, or to this: %v", what, first, err), Err: err}
		case !first.startsAs(other):
			return nil, &Restart{Why: fmt.Sprintf("its configuration goes by %s, which only GRUB sees: it comes to "+
				"%v, or to %v", what, first, other)}
		}
	}
}

// startsAs tells whether two entries start the same.
func (e *Entry) startsAs(o *Entry) bool {
	return e.Kernel == o.Kernel && slices.Equal(e.Initrds, o.Initrds) && e.Args == o.Args
}

// question is a status that only GRUB has. It is asked for when something goes by it: most are not looked at.
type question struct {
	what   string // "whether background_image succeeds"
	failed int    // the status of the answer no
	no     func() // what the answer no means besides; nil for nothing
}

// ask leaves a status open.
func (s *shell) ask(q question) (int, error) {
	s.pending = &q
	return q.failed, nil
}

// settle answers what the last command left open, and returns its status.
func (s *shell) settle(status int) (int, error) {
	q := s.pending
	if q == nil {
		return status, nil
	}
	s.pending = nil
	yes, had := s.answers[q.what]
	if !had {
		yes = s.choose(2, q.what) == 1
		s.answers[q.what] = yes
	}
	if status = q.failed; yes {
		status = ok
	} else if q.no != nil {
		q.no()
	}
	return status, s.setStatus(status)
}

// inOrder puts names that fit a wildcard into the order of their directory: GRUB does not sort them.
func (s *shell) inOrder(where string, names []string) []string {
	slices.Sort(names)
	if len(names) < 2 || s.anyOrder {
		return names
	}
	key := where + "\x00" + strings.Join(names, "\x00")
	if had, is := s.orders[key]; is {
		return had
	}
	left, out := slices.Clone(names), make([]string, 0, len(names))
	for len(left) > 0 {
		i := s.choose(len(left), fmt.Sprintf("the order of files on the disk (%s)", where))
		out = append(out, left[i])
		left = slices.Delete(left, i, i+1)
	}
	s.orders[key] = out
	return out
}
