package engine_test

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/rescue"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/jobs"
)

// shellAt is where a machine says that its shell is.
const shellAt = `{"consoles":["ttyS0"]}`

// toTheShell are the steps of a machine up to its open shell, and shellRestore those of one that leaves it.
var (
	toTheShell   = append(goodRestore[:len(goodRestore)-1:len(goodRestore)-1], rescue.StepOpen)
	shellRestore = append(toTheShell[:len(toTheShell):len(toTheShell)], rescue.StepClosed, session.StepBoot)
)

// inShell brings the machine into the open shell of a session.
func (m *machine) inShell(id string) {
	m.h.t.Helper()
	m.say(id, toTheShell[:len(toTheShell)-1]...)
	m.report(session.Event{Session: id, Step: rescue.StepOpen, Result: json.RawMessage(shellAt)})
}

func shellSpec(m *machine) doc.Spec {
	return doc.Spec{Nodes: []string{m.mac}, GiveUp: 600, Boot: &session.Boot{Method: session.BootShell}}
}

// TestShellAtTheEnd: a part with an open shell goes on, for as long as its node asks and over a restart of the server,
// and is done once the machine says that it starts.
func TestShellAtTheEnd(t *testing.T) {
	h := newHouse(t)
	m := h.machine(1)
	s := h.create(shellSpec(m))
	m.powerOn()
	d := m.descriptor(0)
	if d.Boot.Method != session.BootShell || string(d.Boot.Shell) != `{"seconds":14400}` {
		t.Errorf("told: %+v", d.Boot)
	}
	m.inShell(s.ID)
	for range 8 {
		h.pass(5 * time.Minute)
		m.asks()
	}
	h.expect(s.ID, "open running")
	h.restart()
	m.asks()
	h.expect(s.ID, "open running")
	if p := h.part(s.ID); !strings.Contains(string(p.Shell), "ttyS0") || p.Phase != "a shell is open" {
		t.Errorf("the part: %s, %s", p.Shell, p.Phase)
	}
	if again := m.descriptor(0); again == nil || !jobs.SameWork(d, again) {
		t.Errorf("told after the restart: %+v", again)
	}
	m.say(s.ID, rescue.StepClosed+": exit")
	h.expect(s.ID, "open running")
	m.say(s.ID, session.StepBoot)
	h.expect(s.ID, "done done")
	if m.powerOn() {
		t.Error("the machine that has its image boots the agent")
	}
}

// TestShellEnds has the open shell end in other ways.
func TestShellEnds(t *testing.T) {
	for name, c := range map[string]struct {
		do         func(h *house, m *machine, id string)
		want, left string
	}{
		"it boots again, and nothing is written anew": {
			func(_ *house, m *machine, _ string) { m.powerOn() }, "done done", ""},
		"cancelled": {func(h *house, _ *machine, id string) {
			if _, err := h.e.Cancel(h.t.Context(), id); err != nil {
				h.t.Error(err)
			}
		}, "cancelled cancelled", "whole image and its boot entry"},
		"silent": {func(h *house, _ *machine, _ string) { h.pass(21 * time.Minute) }, "failed failed",
			"a shell was open"},
		"it starts without a word of the shell's end": {func(_ *house, m *machine, id string) {
			m.say(id, session.StepBoot)
		}, "failed failed", "a shell was open"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			m := h.machine(1)
			s := h.create(shellSpec(m))
			m.powerOn()
			m.inShell(s.ID)
			h.pass(2 * time.Minute)
			c.do(h, m, s.ID)
			h.expect(s.ID, c.want)
			if p := h.part(s.ID); !strings.Contains(p.Left, c.left) {
				t.Errorf("left: %q", p.Left)
			}
		})
	}
}

// TestShellRestarts: what a machine said before it restarted in its shell is not shown from its first request on.
func TestShellRestarts(t *testing.T) {
	for name, spec := range map[string]func(m *machine) doc.Spec{"then shell": shellSpec,
		"rescue": func(m *machine) doc.Spec {
			return doc.Spec{Kind: rescue.Action, Nodes: []string{m.mac}, Job: json.RawMessage(`{}`), Image: "none"}
		}} {
		h := newHouse(t)
		m := h.machine(1)
		ask := spec(m)
		if ask.Image == "none" {
			ask.Image, ask.V = "", 1
			if _, err := h.e.Create(t.Context(), ask); err != nil {
				t.Fatal(err)
			}
		} else {
			h.create(ask)
		}
		m.powerOn()
		if ask.Kind == "" {
			m.inShell("s1")
		} else {
			m.report(session.Event{Session: "s1", Step: rescue.StepOpen, Result: json.RawMessage(shellAt)})
		}
		h.pass(10 * time.Second)
		if p := h.part("s1"); len(p.Shell)+len(p.Result) == 0 || p.Waits != "" {
			t.Errorf("%s: open, and the part is %+v", name, p)
		}
		m.asks() // a moment before it restarts, so that its boot is not silent
		if ask.Kind == "" {
			m.boot = "again" // and its agent speaks
			m.hello()
		} else {
			h.e.Saw(m.mac, netip.MustParseAddr("10.0.0.9"), doc.StepDHCP, "test")
		}
		if p := h.part("s1"); len(p.Shell)+len(p.Result) > 0 || p.Waits == "" || p.Phase != "" {
			t.Errorf("%s: it restarted, and the part is %+v", name, p)
		}
	}
}

// TestShellNeverOpened: a machine that boots again before its shell was open begins anew, so that nobody waits for a
// shell in vain.
func TestShellNeverOpened(t *testing.T) {
	h := newHouse(t)
	m := h.machine(1)
	s := h.create(shellSpec(m))
	m.powerOn()
	m.say(s.ID, toTheShell[:len(toTheShell)-1]...)
	h.pass(2 * time.Minute)
	m.powerOn()
	h.expect(s.ID, "casting offered")
	if d := m.descriptor(0); d == nil || d.Boot.Method != session.BootShell {
		t.Errorf("told: %+v", d)
	}
}

// TestShellOfAProfile: what a profile says of its shell goes with its way of leaving, and is not of another one.
func TestShellOfAProfile(t *testing.T) {
	h := newHouse(t)
	h.change(doc.LabChange{Profiles: []doc.Profile{{Name: "lab", Spec: json.RawMessage(
		`{"image":"debian","boot":{"method":"shell","append":"quiet","shell":{"seconds":600}}}`)}}})
	for boot, want := range map[string]string{
		``:                              `{"seconds":600}`,
		`,"boot":{"append":"debug"}`:    `{"seconds":600}`,
		`,"boot":{"method":"shell"}`:    `{"seconds":600}`,
		`,"boot":{"method":"reboot"}`:   ``,
		`,"boot":{"shell":{"keys":[]}}`: `{"seconds":14400}`,
		`,"boot":{"shell":null}`:        `{"seconds":14400}`,
		`,"boot":{"method":"poweroff"}`: ``,
	} {
		s, err := h.asked(`{"v":1,"profile":"lab","count":1` + boot + `}`)
		if err != nil || string(s.Spec.Boot.Shell) != want {
			t.Errorf("%s: %+v, %v; want %s", boot, s, err, want)
		}
	}
}
