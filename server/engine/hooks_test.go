package engine_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/engine"
)

func (h *house) hooking(want ...string) {
	h.t.Helper()
	if got := h.hooks.Running(); !slices.Equal(got, want) {
		h.t.Errorf("hooks that run: %q, want %q", got, want)
	}
}

// TestHooks has nothing of a session begin before its hook has ended well, through restarts, and the one after it be
// seen when it fails.
func TestHooks(t *testing.T) {
	h := powered(t)
	macs := h.written(1)
	m := h.machine(1)
	s := h.create(doc.Spec{Nodes: macs, Power: doc.PowerOn, Before: "dns", After: "mail", At: h.now.Add(time.Hour)})
	h.hooking()
	h.pass(time.Hour)
	h.hooking("s1/before dns")
	h.asks()
	h.restart()
	h.hooking("s1/before dns")
	m.powerOn()
	h.expect(s.ID, "waiting waiting")
	if v, err := h.e.Session(s.ID); err != nil || !strings.HasPrefix(v.Waits, "hook dns, which runs before it") ||
		v.Hooks[0].Asked != 2 {
		t.Errorf("while its hook runs it waits for %q: %+v, %v", v.Waits, v.Hooks, err)
	}
	h.hooks.End(doc.HookRun{State: doc.Done, Output: "zone lab: 1 name\n"})
	h.expect(s.ID, "casting offered")
	h.hooking()
	sub, err := h.e.Watch(s.ID)
	if err != nil {
		t.Fatal(err)
	}
	m.say(s.ID, goodRestore...)
	h.expect(s.ID, "done done")
	h.hooking("s1/after mail")
	if err := h.e.Remove(t.Context(), s.ID); !errors.Is(err, engine.ErrSpec) {
		t.Errorf("a session whose hook runs is forgotten: %v", err)
	}
	h.hooks.End(doc.HookRun{State: doc.Failed, Words: "exit status 1: no mail", Output: "no mail\n"})
	h.expect(s.ID, "done done")
	var last *doc.Session
	var said []string
	for end := false; !end; {
		var lines []doc.Line
		if lines, end, err = sub.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, l := range lines {
			if l.Session != nil {
				last = l.Session
			}
			if l.Event != nil && l.Event.Event.Step == doc.StepHook {
				said = append(said, l.Event.Event.Level+" "+l.Event.Event.Message)
			}
		}
	}
	if len(last.Warnings) != 1 ||
		last.Warnings[0] != "Hook mail, which runs after the session, failed: exit status 1: no mail" {
		t.Errorf("warnings that who follows is told: %q", last.Warnings)
	}
	want := []string{"info mail (after the session): no mail",
		"error mail (after the session): exit status 1: no mail"}
	if !slices.Equal(said, want) {
		t.Errorf("events: %q, want %q", said, want)
	}
	h.restart()
	h.hooking()
}

// TestHookFails has a session fail by its hook, and be cancelled while that runs.
func TestHookFails(t *testing.T) {
	h := powered(t)
	m := h.machine(1)
	m.powerOn()
	s := h.create(doc.Spec{Nodes: []string{m.mac}, Before: "dns", After: "mail"})
	h.hooks.End(doc.HookRun{State: doc.Failed, Words: "exit status 3: no zone lab", Output: "no zone lab\n"})
	h.expect(s.ID, "failed failed")
	v, err := h.e.Session(s.ID)
	want := "hook dns, which runs before it, failed: exit status 3: no zone lab; nothing"
	if err != nil || !strings.HasPrefix(v.Reason, want) ||
		v.Hooks[0].Output != "no zone lab\n" {
		t.Errorf("%q, %+v, %v", v.Reason, v.Hooks, err)
	}
	h.hooking()
	again, err := h.e.Retry(t.Context(), s.ID)
	if err != nil {
		t.Fatal(err)
	}
	h.hooking("s2/before dns")
	if _, err := h.e.Cancel(t.Context(), again.ID); err != nil {
		t.Fatal(err)
	}
	h.hooking()
	if _, err := h.e.Create(t.Context(), doc.Spec{V: 1, Image: "debian", All: true, Before: "dsn"}); err == nil ||
		!strings.Contains(err.Error(), "no hook dsn: did you mean dns?") {
		t.Errorf("a hook that is not there: %v", err)
	}
	if _, err := h.e.Create(t.Context(), doc.Spec{V: 1, Image: "debian", All: true, After: "/bin/sh"}); err == nil ||
		!strings.Contains(err.Error(), "small letters") {
		t.Errorf("a program in the place of a hook: %v", err)
	}
}
