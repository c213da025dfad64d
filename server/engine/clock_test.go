package engine_test

import (
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
)

// TestClockStepsInASession sets the server's clock back by days, and then to years later, while a machine is imaged:
// max-wait is as long as it was, the machine is not silent, and its timeline has neither a negative step nor one of
// days, also after a restart.
func TestClockStepsInASession(t *testing.T) {
	h := newHouse(t)
	var up time.Duration
	h.up = func() time.Duration {
		h.mu.Lock()
		defer h.mu.Unlock()
		return up
	}
	h.restart()
	pass := func(d time.Duration) {
		h.mu.Lock()
		up += d
		h.mu.Unlock()
		h.pass(d)
		h.pass(0) // begins when the engine has looked at both clocks
	}
	set := func(d time.Duration) { // the wall clock alone
		h.pass(d)
		h.pass(0)
	}
	pass(time.Second)
	a := h.machine(1)
	a.powerOn()
	waiting := h.create(doc.Spec{Nodes: []string{"52:54:00:00:00:77"}, MaxWait: 600})
	s := h.create(doc.Spec{Nodes: []string{a.mac}, GiveUp: 600})
	a.say(s.ID, session.StepPlan)
	set(-239 * time.Hour)
	pass(30 * time.Second)
	a.say(s.ID, session.StepTable)
	h.restart()
	pass(time.Second)
	set(3 * 365 * 24 * time.Hour)
	pass(29 * time.Second)
	a.say(s.ID, session.StepFirstByte)
	h.expect(waiting.ID, "waiting waiting")
	p := h.session(s.ID).Parts[0]
	for _, c := range []struct{ from, to string }{{session.StepPlan, session.StepTable},
		{session.StepTable, session.StepFirstByte}} {
		if d := p.Steps[c.to].Time.Sub(p.Steps[c.from].Time); d < 0 || d > time.Minute {
			t.Errorf("from %s to %s is %v", c.from, c.to, d)
		}
	}
	n, err := h.e.Node(a.mac)
	if err != nil || n.Where != doc.Ready {
		t.Errorf("the node is %q, %v", n.Where, err)
	}
	pass(541 * time.Second)
	if v := h.session(waiting.ID); v.State != doc.Failed || !strings.Contains(v.Reason, "10m0s") {
		t.Errorf("after max-wait: %s: %s", v.State, v.Reason)
	}
}

// TestPhaseAndTimeToGo has a node tell how far it is: what it does, how fast and how long that takes, and nothing of it
// when it has said nothing for a while.
func TestPhaseAndTimeToGo(t *testing.T) {
	h := newHouse(t)
	a := h.machine(1)
	a.powerOn()
	s := h.create(doc.Spec{Nodes: []string{a.mac}})
	a.say(s.ID, session.StepPlan, session.StepTable, session.StepFirstByte)
	for i := range int64(5) {
		a.report(session.Event{Session: s.ID, Step: session.StepProgress,
			Progress: &session.Progress{Written: 100e6 * i, ToWrite: 1000e6, Needed: 1, Received: 1}})
		h.pass(time.Second)
	}
	v := h.session(s.ID)
	p := v.Parts[0]
	if p.Phase != "receiving" || p.Rate != 100e6 || p.ETA != 6 || v.ETA != 6 {
		t.Errorf("it is %q at %v bytes/s, %v s to go, and the session %v s", p.Phase, p.Rate, p.ETA, v.ETA)
	}
	h.pass(21 * time.Second)
	if p := h.session(s.ID).Parts[0]; p.Rate != 0 || p.ETA != 0 || p.Phase != "receiving" {
		t.Errorf("silent for a while: %q at %v bytes/s, %v s to go", p.Phase, p.Rate, p.ETA)
	}
}

// TestAddressRequestIsASign has the restored system ask for an address.
func TestAddressRequestIsASign(t *testing.T) {
	h := newHouse(t)
	a := h.machine(1)
	a.powerOn()
	s := h.create(doc.Spec{Nodes: []string{a.mac}, ExpectAlive: 300})
	h.e.AsksForAddress(a.mac, a.addr)
	a.say(s.ID, goodRestore...)
	h.e.AsksForAddress(a.mac, a.addr) // the agent's own, which was on its way
	h.expect(s.ID, "casting starting")
	h.restart()
	h.pass(40 * time.Second)
	if got := h.session(s.ID).Parts[0].Alive; got != "no sign of life for 40s" {
		t.Errorf("before a sign: %q", got)
	}
	h.e.AsksForAddress(a.mac, a.addr)
	h.expect(s.ID, "done done")
	if got := h.session(s.ID).Parts[0].Alive; !strings.HasPrefix(got, "alive: it asked for an address by DHCP") ||
		!strings.HasSuffix(got, ", 40s after it left") {
		t.Errorf("after a sign: %q", got)
	}
}
