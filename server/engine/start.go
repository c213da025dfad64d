package engine

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/diskcast/diskcast/internal/nearest"
	"github.com/diskcast/diskcast/internal/personal"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/jobs"
	"github.com/diskcast/diskcast/server/store/record"
)

// noSession is the error for a session that is not there.
func (e *Engine) noSession(id string) error {
	return fmt.Errorf("session %s: %w%s", id, ErrNotFound, nearest.Hint(id, e.jobs.Order()))
}

// Go has a session start with the nodes that are there, or wait no longer for those that did not come.
func (e *Engine) Go(ctx context.Context, id string) (*doc.Session, error) {
	return e.change(ctx, id, func(s *sess) (jobs.Input, error) {
		switch {
		case s.Over():
			return nil, refuse("session %s is over: `diskcast session retry %s` does again what failed", id, id)
		case s.Joined() == 0:
			return nil, refuse("no node of session %s is there, so that there is nothing to start with: switch one "+
				"on, with network boot first in its boot order", id)
		}
		return jobs.Go{Session: id}, nil
	})
}

// maxPast is how far a start time may lie in the past: the clocks of the server and of who asks differ.
const maxPast = time.Minute

// CheckStart refuses a start time in the past, by the server's clock: a session of it would start at once. The zero
// time is none. What the server makes by itself, repeating and retried sessions, has no such time.
func (e *Engine) CheckStart(at time.Time) error {
	now := e.now()
	if at.IsZero() || !at.Before(now.Add(-maxPast)) {
		return nil
	}
	return refuse("the start time %s is in the past: it is %s on the server, and the session would start at once; "+
		"give a later one, or none to start when its nodes are there", at.UTC().Format(time.RFC3339),
		now.UTC().Format(time.RFC3339))
}

// Edit changes what may still be changed of a session.
func (e *Engine) Edit(ctx context.Context, id string, c doc.SessionChange) (*doc.Session, error) {
	if err := checkVersion("session change", c.V); err != nil {
		return nil, err
	}
	return e.change(ctx, id, func(s *sess) (jobs.Input, error) {
		if err := s.MayEdit(&c); err != nil {
			return nil, refuse("%w", err)
		}
		spec := c.Apply(s.Spec)
		spec.Nodes = slices.Clone(spec.Nodes)
		if err := spec.Check(); err != nil {
			return nil, refuse("%w", err)
		}
		if c.Rate != nil && len(s.Casts()) == 0 {
			return nil, refuse("session %s has no cast, and so no rate", id)
		}
		return jobs.Edited{Session: id, Change: c}, nil
	})
}

// change takes in what the operator wants of a session, once it is known that it can be, and waits until it is stored.
func (e *Engine) change(ctx context.Context, id string, input func(*sess) (jobs.Input, error)) (*doc.Session, error) {
	e.mu.Lock()
	s := e.jobs.Session(id)
	if s == nil {
		e.mu.Unlock()
		return nil, e.noSession(id)
	}
	in, err := input(s)
	if err != nil {
		e.mu.Unlock()
		return nil, err
	}
	e.step(in)
	view := e.view(s, true)
	e.mu.Unlock()
	if err := e.w.Wait(ctx); err != nil {
		return nil, fmt.Errorf("the change counts, and could not be written down yet, which is tried again: %w", err)
	}
	return view, nil
}

// Remove forgets a session that is over. Its receipts stay.
func (e *Engine) Remove(ctx context.Context, id string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.jobs.Session(id)
	switch {
	case s == nil:
		return e.noSession(id)
	case !s.Over():
		return refuse("session %s is not over: `diskcast session cancel %s` ends it", id, id)
	case !s.MayRemove():
		return refuse("the cast of session %s, the switching of its machines or its hook is just ending: try again in "+
			"a moment", id)
	}
	records := map[string]any{record.SessPrefix + id: nil}
	for _, node := range s.Order {
		records[record.PartKey(id, node)] = nil
	}
	if err := e.w.Write(ctx, records); err != nil {
		return fmt.Errorf("session %s was not removed: %w", id, err)
	}
	e.step(jobs.Removed{Session: id})
	return nil
}

// hasSecrets reports whether a session's spec had secrets, which are forgotten with the session.
func hasSecrets(spec *doc.Spec) bool {
	return bytes.Contains(spec.Personalize, []byte(`"`+personal.Sealed+`"`))
}

// Retry makes a session that does again what is not done of one that is over: the same spec, for those nodes only.
func (e *Engine) Retry(ctx context.Context, id string) (*doc.Session, error) {
	e.mu.Lock()
	spec, err := e.again(id)
	e.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return e.Create(ctx, spec)
}

func (e *Engine) again(id string) (doc.Spec, error) {
	s := e.jobs.Session(id)
	switch {
	case s == nil:
		return doc.Spec{}, e.noSession(id)
	case !s.Over():
		return doc.Spec{}, refuse("session %s is not over: a node of it that failed tries again when it is restarted",
			id)
	}
	spec := s.Spec
	spec.All, spec.Count, spec.Nodes, spec.On, spec.RetryOf, spec.Menu = false, 0, nil, "", id, ""
	spec.Within = "" // its machines have names
	if spec.Nodes = e.undone(s); len(spec.Nodes) == 0 {
		return doc.Spec{}, refuse("nothing of session %s is to be done again: no node of it failed", id)
	}
	if hasSecrets(&s.Spec) {
		return doc.Spec{}, refuse("session %s wrote secrets of its personalization (password hashes, seed, files), "+
			"which the "+
			"server forgot when it was over: it cannot be done again as it was. Create it anew, with the same "+
			"profile or "+
			"--personalize file: `diskcast session create ... --nodes %s`", id, strings.Join(spec.Nodes, ","))
	}
	spec.MinNodes = min(spec.MinNodes, len(spec.Nodes))
	if spec.At.Before(e.now()) {
		spec.At = time.Time{}
	}
	if now := e.retries(id); len(now) > 0 {
		last := e.jobs.Session(now[len(now)-1])
		if !last.Over() {
			return doc.Spec{}, refuse("session %s does that already: `diskcast session watch %s`", last.ID, last.ID)
		}
	}
	return spec, nil
}

// undone are the nodes of the session whose part is not done.
func (e *Engine) undone(s *sess) []string {
	var out []string
	for _, node := range s.Order {
		if s.Parts[node].State != doc.Done {
			out = append(out, node)
		}
	}
	return out
}

// retries are the sessions that do again what failed in the one.
func (e *Engine) retries(id string) []string {
	var out []string
	for _, o := range e.jobs.Order() {
		if e.jobs.Session(o).Spec.RetryOf == id {
			out = append(out, o)
		}
	}
	return out
}

// Uses says which sessions that are not over restore the image with the digest.
func (e *Engine) Uses(digest string) []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []string
	for _, id := range e.jobs.Order() {
		if s := e.jobs.Session(id); s.Brings(digest) {
			out = append(out, fmt.Sprintf("session %s (%s)", id, s.State))
		}
	}
	return out
}

// machineNames are all names by which machines can be found, but for MAC addresses.
func (e *Engine) machineNames() []string {
	var out []string
	for _, m := range e.fleet.All() {
		out = append(out, m.ID)
		if m.Name != "" {
			out = append(out, m.Name)
		}
	}
	return out
}

// firstNames names the first of the nodes, and how many there are more.
func (e *Engine) firstNames(ids []string) string {
	words := make([]string, 0, jobs.MaxReasons)
	for _, id := range ids[:min(len(ids), jobs.MaxReasons)] {
		if m := e.fleet.Of(id); m != nil && m.Name != "" {
			id += " (" + m.Name + ")"
		}
		words = append(words, id)
	}
	if more := len(ids) - jobs.MaxReasons; more > 0 {
		words = append(words, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(words, ", ")
}
