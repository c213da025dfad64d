package engine_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/engine"
)

// powered is a house whose server switches machines.
func powered(t *testing.T) *house {
	h := newHouse(t)
	h.crash()
	h.powered = true
	h.start()
	return h
}

// written has machines written down that never came: m1, m2, ...
func (h *house) written(n int) []string {
	h.t.Helper()
	var change doc.LabChange
	var macs []string
	for i := range n {
		macs = append(macs, h.machine(i+1).mac)
		change.Machines = append(change.Machines, doc.MachineEntry{MACs: macs[i : i+1]})
	}
	change.V = 1
	if _, err := h.e.ChangeLab(h.t.Context(), change); err != nil {
		h.t.Fatal(err)
	}
	return macs
}

func (h *house) asks(want ...string) {
	h.t.Helper()
	if got := h.power.Asked(); !slices.Equal(got, want) {
		h.t.Errorf("asked for are %q, want %q", got, want)
	}
}

var isOn = doc.PowerRow{State: doc.Done, Power: "on", Boot: "network"}

// TestPower follows sessions that bring their machines: from their start time on, one whose BMC lies, one that is on, a
// restart of the server in between, and those that failed switched off in the end.
func TestPower(t *testing.T) {
	h := powered(t)
	macs := h.written(3)
	s := h.create(doc.Spec{Nodes: macs, MinNodes: 3, Power: doc.PowerOn, PowerOffFailed: true,
		At: h.now.Add(time.Hour)})
	h.asks()
	h.pass(time.Hour)
	h.asks("m1 on", "m2 on", "m3 on")
	h.power.Answer(isOn)
	h.power.Answer(doc.PowerRow{State: doc.Failed, Word: "accepted and nothing happened",
		Words: "redfish 10.0.0.5: accepted and nothing happened: it took the request"})
	h.expect(s.ID, "waiting waiting failed waiting")
	h.restart()
	h.asks("m3 on")
	h.power.Answer(doc.PowerRow{State: doc.Done, Power: "on", Boot: "network",
		Words: "it was on, and what it runs was left alone"})
	v, err := h.e.Session(s.ID)
	if err != nil {
		t.Fatal(err)
	}
	want := "power: redfish 10.0.0.5: accepted and nothing happened: it took the request; next: " +
		"`diskcast machine power state m2` asks again; switched on by hand, it still joins"
	if p := v.Parts[1]; p.Reason != want || !strings.Contains(p.Left, "not touched") {
		t.Errorf("the one whose BMC lies: %q, %q", p.Reason, p.Left)
	}
	if p := v.Parts[2]; p.Power.Asked != 2 || !strings.Contains(p.Waits, "what it runs was left alone") {
		t.Errorf("the one that was on: %+v, waits %q", p.Power, p.Waits)
	}
	m1, m2, m3 := h.machine(1), h.machine(2), h.machine(3)
	m1.powerOn()
	h.expect(s.ID, "waiting waiting failed waiting")
	m3.powerOn() // by the operator; the third is not waited for
	h.expect(s.ID, "casting offered failed offered")
	m2.powerOn() // by hand
	h.expect(s.ID, "casting offered offered offered")
	m1.say(s.ID, goodRestore...)
	m2.say(s.ID, goodRestore...)
	m3.say(s.ID, session.StepPlan, session.StepFailed+": no disk")
	h.asks("m3 off")
	h.restart()
	h.asks("m3 off")
	if err := h.e.Remove(t.Context(), s.ID); !errors.Is(err, engine.ErrSpec) {
		t.Errorf("a session whose machine is being switched off is forgotten: %v", err)
	}
	h.power.Answer(doc.PowerRow{State: doc.Done, Power: "off"})
	if p := h.lastPart(s.ID); p.Power.State != doc.Done || p.Power.Power != "off" {
		t.Errorf("switched off: %+v", p.Power)
	}
	lines, err := h.e.Log(t.Context(), m3.mac, 100, true)
	if err != nil || !slices.ContainsFunc(lines, func(l doc.Event) bool {
		return l.Event.Step == doc.StepPower && l.Event.Session == s.ID &&
			strings.Contains(l.Event.Message, "it is off")
	}) {
		t.Errorf("events of the machine: %+v, %v", lines, err)
	}
}

func (h *house) lastPart(id string) doc.Part {
	h.t.Helper()
	s, err := h.e.Session(id)
	if err != nil {
		h.t.Fatal(err)
	}
	return s.Parts[len(s.Parts)-1]
}

// TestPowerOfAll has no machine be reached: the session does not wait for any.
func TestPowerOfAll(t *testing.T) {
	h := powered(t)
	s := h.create(doc.Spec{Nodes: h.written(2), Power: doc.PowerCycle})
	h.asks("m1 cycle", "m2 cycle")
	for range 2 {
		h.power.Answer(doc.PowerRow{State: doc.Failed, Words: "ipmi 10.0.0.5: does not answer: no answer within 20s"})
	}
	h.expect(s.ID, "failed failed failed")
	v, err := h.e.Session(s.ID)
	if err != nil || !strings.Contains(v.Reason, "0 of 2 nodes have the image; 2 nodes") ||
		!strings.Contains(v.Reason, "power: ipmi 10.0.0.5: does not answer") {
		t.Errorf("%q, %v", v.Reason, err)
	}
	again, err := h.e.Retry(t.Context(), s.ID)
	if err != nil {
		t.Fatal(err)
	}
	h.asks("m1 cycle", "m2 cycle")
	if _, err := h.e.Cancel(t.Context(), again.ID); err != nil {
		t.Fatal(err)
	}
	h.asks()
	if p := h.lastPart(again.ID); p.Power.State != doc.Cancelled {
		t.Errorf("of the session that was cancelled: %+v", p.Power)
	}
}

// TestPowerSpares takes no power from machines that are at work or on their way.
func TestPowerSpares(t *testing.T) {
	h := powered(t)
	macs := h.written(2)
	m := h.machine(1)
	m.powerOn()
	first := h.create(doc.Spec{Nodes: macs[:1]})
	second := h.create(doc.Spec{Nodes: macs, Power: doc.PowerCycle})
	h.asks("m2 cycle")
	n := h.machine(2)
	h.e.Saw(n.mac, n.addr, doc.StepDHCP, "test") // somebody pressed its button
	h.power.Answer(isOn)
	if p := h.lastPart(second.ID); !strings.Contains(p.Power.Words, "left alone, for it fetches its boot files") {
		t.Errorf("a machine on its way: %+v", p.Power)
	}
	m.say(first.ID, goodRestore...)
	h.expect(first.ID, "done done")
	h.pass(time.Second)
	h.asks("m1 cycle") // it runs what the first session gave it, and that was said plainly
	for _, c := range []struct {
		spec doc.Spec
		want string
	}{
		{doc.Spec{All: true, Power: doc.PowerOn}, "machines that are named"},
		{doc.Spec{Nodes: []string{"52:54:00:00:00:77"}, Power: doc.PowerOn}, "nothing is known of the machines"},
		{doc.Spec{Nodes: macs, Power: "up"}, "none of on"},
	} {
		c.spec.V, c.spec.Image = 1, "debian"
		if _, err := h.e.Create(t.Context(), c.spec); !errors.Is(err, engine.ErrSpec) ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.spec, err, c.want)
		}
	}
	h.power.Unset = []string{"m2"}
	unset := doc.Spec{V: 1, Image: "debian", Nodes: macs, Power: doc.PowerOn}
	if _, err := h.e.Create(t.Context(), unset); err == nil ||
		!strings.Contains(err.Error(), "power of 1 of its machines is not set up (m2)") {
		t.Errorf("a machine whose power is not set up: %v", err)
	}
}
