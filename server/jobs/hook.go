package jobs

import (
	"fmt"
	"slices"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/server/doc"
)

// A hook is a command of the server's owner that runs before a session does anything, or when it is over. Nothing of
// the session begins before its hook has ended well. A shell that is killed while one runs is asked to run it again.

func (s *Session) hook(when string) *doc.HookRun {
	for i := range s.Hooks {
		if s.Hooks[i].When == when {
			return &s.Hooks[i]
		}
	}
	return nil
}

// Hooking reports whether a hook of the session runs.
func (s *Session) Hooking() bool {
	return slices.ContainsFunc(s.Hooks, func(h doc.HookRun) bool { return h.State == doc.Running })
}

func (st *State) hooking(id, when string) bool {
	s := st.sessions[id]
	if s == nil {
		return false
	}
	h := s.hook(when)
	return h != nil && h.State == doc.Running
}

// Prepared reports whether nothing has to run before the session begins.
func (s *Session) Prepared() bool {
	h := s.hook(doc.HookBefore)
	return s.Spec.Before == "" || h != nil && h.State == doc.Done
}

// prepare has the hook before the session run when its time has come, and reports whether that has ended well.
func (r *run) prepare(s *Session) bool {
	if s.Prepared() {
		return true
	}
	if s.hook(doc.HookBefore) == nil && !s.Early(r.now) {
		r.addHook(s, doc.HookBefore, s.Spec.Before)
		r.do(SaveSession{s.ID})
		r.do(RunHook{s.ID, doc.HookBefore})
	}
	return false
}

// addHook notes that a hook is to run. The session is stored by who calls, before it does.
func (r *run) addHook(s *Session, when, name string) {
	s.Hooks = append(slices.Clone(s.Hooks), doc.HookRun{When: when, Name: name, State: doc.Running, Asked: 1,
		Since: r.now})
}

// setHook changes what is known of a hook. Views may hold the list that was.
func (s *Session) setHook(when string, f func(*doc.HookRun)) {
	s.Hooks = slices.Clone(s.Hooks)
	f(s.hook(when))
}

// afterwards notes that the hook after a session that ends is to run, and reports whether there is one. One whose hook
// before did not end well never began.
func (r *run) afterwards(s *Session) bool {
	if r.hooking(s.ID, doc.HookBefore) {
		s.setHook(doc.HookBefore, func(h *doc.HookRun) {
			h.State, h.Time, h.Words = doc.Cancelled, r.now, "the session ended first"
		})
		r.do(NoHook{s.ID, doc.HookBefore})
	}
	if s.Spec.After == "" || !s.Prepared() || s.hook(doc.HookAfter) != nil {
		return false
	}
	r.addHook(s, doc.HookAfter, s.Spec.After)
	return true
}

// hookAgain has hooks run of which a shell that was killed did not hear the end.
func (r *run) hookAgain(s *Session) {
	for _, when := range []string{doc.HookBefore, doc.HookAfter} {
		if !r.hooking(s.ID, when) {
			continue
		}
		s.setHook(when, func(h *doc.HookRun) { h.Asked++ })
		r.do(SaveSession{s.ID})
		r.do(RunHook{s.ID, when})
	}
}

func (in HookEnded) step(r *run) {
	s := r.sessions[in.Session]
	if s == nil || !r.hooking(in.Session, in.When) {
		return
	}
	s.setHook(in.When, func(h *doc.HookRun) {
		h.State, h.Time = in.State, r.now
		h.Words, h.Output = plain.Line(in.Words, maxWords), plain.Text(in.Output)
	})
	h := s.hook(in.When)
	r.do(SaveSession{s.ID})
	r.log("hook has ended", "session", s.ID, "when", h.When, "hook", h.Name, "state", h.State, "words", h.Words)
	switch {
	case in.When == doc.HookAfter || s.Over():
	case h.State == doc.Done:
		r.advance(s, Trouble{})
	default:
		r.end(s, doc.Failed, fmt.Sprintf("hook %s, which runs before it, failed: %s; nothing of the session was "+
			"begun: mend that, and `diskcast session retry %s`", h.Name, h.Words, s.ID))
	}
}
