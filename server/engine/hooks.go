package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/diskcast/diskcast/internal/nearest"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/internal/waiting"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/jobs"
)

// Hooks is what the engine needs of the commands that the server's owner named.
type Hooks interface {
	// Names lists those that there are.
	Names() []string
	// Start has one run for a session, once ready says so, and calls done with State, Words and Output of its end, from
	// outside. What runs under the same key already is left alone.
	Start(key, name string, s *doc.Session, ready func(context.Context) error, done func(doc.HookRun))
	// Stop ends one, of which nobody is told.
	Stop(key string)
}

// mayHook refuses a session whose hooks this server does not have.
func (e *Engine) mayHook(spec *doc.Spec) error {
	var names []string
	if e.cfg.Hooks != nil {
		names = e.cfg.Hooks.Names()
	}
	for _, name := range []string{spec.Before, spec.After} {
		if name == "" || slices.Contains(names, name) {
			continue
		}
		if len(names) == 0 {
			return refuse("this server has no hook %s, nor any other: who runs it names them in its settings (hooks "+
				"of diskcast.toml)", name)
		}
		return refuse("this server has no hook %s%s (it has %s; who runs it names them in its settings)", name,
			nearest.Hint(name, names), strings.Join(names, ", "))
	}
	return nil
}

func hookKey(id, when string) string { return id + "/" + when }

// runHook has the session's hook run: one before it when it is stored that it runs, one after it when its end is.
func (e *Engine) runHook(x jobs.RunHook) {
	s := e.jobs.Session(x.Session)
	name := s.Spec.Before
	if x.When == doc.HookAfter {
		name = s.Spec.After
	}
	if e.cfg.Hooks == nil {
		e.hookEnded(x, name, doc.HookRun{State: doc.Failed, Words: "this server has no hooks"})
		return
	}
	e.cfg.Hooks.Start(hookKey(x.Session, x.When), name, e.view(s, true), e.w.Wait, func(row doc.HookRun) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.hookEnded(x, name, row)
	})
}

// hookEnded takes in what came of a hook, and tells what it printed as events of the session.
func (e *Engine) hookEnded(x jobs.RunHook, name string, row doc.HookRun) {
	tell := func(level, words string) {
		e.feed.Event(doc.Event{Event: session.Event{Session: x.Session, Step: doc.StepHook, Level: level,
			Message: fmt.Sprintf("%s (%s the session): %s", name, x.When, words), Time: e.now()}})
	}
	for line := range strings.Lines(row.Output) {
		tell(session.Info, strings.TrimSpace(line))
	}
	level, words := session.Info, "it ended well"
	if row.State != doc.Done {
		level, words = session.Error, row.Words
	}
	tell(level, words)
	e.step(jobs.HookEnded{Session: x.Session, When: x.When, State: row.State, Words: row.Words, Output: row.Output})
}

// hookWarnings say which hook after the session failed.
func hookWarnings(s *sess) (out []string) {
	for _, h := range s.Hooks {
		if h.When == doc.HookAfter && h.State == doc.Failed {
			out = append(out, fmt.Sprintf("Hook %s, which runs after the session, failed: %s", h.Name, h.Words))
		}
	}
	return out
}

// hookFor is the hook that a session waits for; nil when it does not.
func (e *Engine) hookFor(s *sess) *waiting.For {
	if s.Prepared() || s.Early(e.now()) {
		return nil
	}
	return &waiting.For{Cause: waiting.Hook, Session: s.ID, Why: s.Spec.Before}
}
