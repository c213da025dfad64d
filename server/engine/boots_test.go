package engine_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/engine"
	"github.com/diskcast/diskcast/server/netboot"
)

// forger is a stranger who says hello in a machine's name.
func (m *machine) forger(n int) *machine {
	f := *m
	f.boot, f.seq, f.addr = fmt.Sprintf("forged-%d", n), 0, netip.MustParseAddr("10.0.0.66")
	f.hello()
	return &f
}

// asks has the machine's agent ask with its token, as it does all the time; told that it is void, it says hello again.
func (m *machine) asks() {
	m.h.t.Helper()
	_, err := m.h.e.Authorize(m.token)
	if errors.Is(err, engine.ErrToken) {
		m.hello()
		return
	}
	if err != nil {
		m.h.t.Fatal(err)
	}
}

func started(t *testing.T) (*house, *doc.Session, *machine) {
	h := newHouse(t)
	s := h.create(doc.Spec{Count: 1})
	a := h.machine(1)
	a.addr = netip.MustParseAddr("10.0.0.5")
	a.powerOn()
	a.say(s.ID, session.StepPlan, session.StepTable, session.StepFirstByte)
	return h, s, a
}

const twoMachines = "two machines speak as this node: 10.0.0.5 (boot 4c22d221a12d10d0) " +
	"and 10.0.0.66 (boot bfa4d77ecbd05b61)"

// A stranger who tells a whole restore in a machine's name does not end its session as done: the machine is alive, and
// is heard.
func TestForgedDone(t *testing.T) {
	h, s, a := started(t)
	f := a.forger(1)
	says(t, "another machine may speak in its name", h.node(a.id).Warnings...)
	f.say(s.ID, goodRestore...)
	h.expect(s.ID, "casting running")
	a.asks()
	h.expect(s.ID, "failed failed")
	v, _ := h.e.Session(s.ID)
	says(t, twoMachines, v.Reason)
	says(t, twoMachines, h.node(a.id).Warnings...)
	says(t, twoMachines, v.Parts[0].Identity)
	if h.e.Boots(a.mac) != netboot.Agent {
		t.Error("the machine would boot a disk that is not complete")
	}
}

// The forger also has the machine's boot script fetched, says hello once more, changes boots so often that the first is
// forgotten, and waits for a restart of the server.
func TestForgedDoneByOtherWays(t *testing.T) {
	allButBoot := goodRestore[:len(goodRestore)-1]
	for name, attack := range map[string]func(h *house, s *doc.Session, a *machine){
		"boot script": func(h *house, s *doc.Session, a *machine) {
			a.forger(1).say(s.ID, allButBoot...)
			h.e.Boots(a.mac)
		},
		"another hello": func(h *house, s *doc.Session, a *machine) {
			a.forger(1).say(s.ID, allButBoot...)
			a.forger(2)
		},
		"many boots": func(h *house, s *doc.Session, a *machine) {
			for i := range 30 {
				a.forger(i)
			}
			a.forger(40).say(s.ID, goodRestore...)
		},
		"restart": func(h *house, s *doc.Session, a *machine) {
			a.forger(1).say(s.ID, goodRestore...)
			h.restart()
			h.pass(30 * time.Second)
		},
		"restart after a while": func(h *house, s *doc.Session, a *machine) {
			a.forger(1).say(s.ID, goodRestore...)
			h.pass(50 * time.Second)
			h.restart() // nobody could be heard meanwhile
			h.pass(50 * time.Second)
		},
	} {
		t.Run(name, func(t *testing.T) {
			h, s, a := started(t)
			attack(h, s, a)
			h.expect(s.ID, "casting running")
			a.asks()
			h.expect(s.ID, "failed failed")
			v, _ := h.e.Session(s.ID)
			says(t, "two machines speak as this node", v.Reason)
		})
	}
}

// A stranger who tells that the machine failed ends its part; who comes back to a part that is over is told of there.
func TestForgedEndIsToldLater(t *testing.T) {
	for name, end := range map[string]func(h *house, s *doc.Session, f *machine){
		"failed": func(h *house, s *doc.Session, f *machine) {
			f.say(s.ID, session.StepFailed+": no disk")
			h.expect(s.ID, "failed failed")
		},
		"done, while the machine was cut off": func(h *house, s *doc.Session, f *machine) {
			f.say(s.ID, goodRestore...)
			h.pass(2 * time.Minute)
			h.expect(s.ID, "done done")
		},
	} {
		t.Run(name, func(t *testing.T) {
			h, s, a := started(t)
			end(h, s, a.forger(1))
			a.asks()
			v, _ := h.e.Session(s.ID)
			says(t, twoMachines, v.Parts[0].Identity)
			says(t, twoMachines, h.node(a.id).Warnings...)
			if a.told() != "idle" {
				t.Errorf("the machine is told %q", a.told())
			}
		})
	}
}

// A stranger's hello alone holds nothing up: the machine goes on with what it had, and the operator hears of it.
func TestForgedHello(t *testing.T) {
	h, s, a := started(t)
	serial := a.descriptor(0).Serial
	a.forger(1)
	a.asks()
	v, _ := h.e.Session(s.ID)
	says(t, a.id+": it says hello from 10.0.0.66", v.Warnings...)
	says(t, twoMachines, v.Warnings...)
	if _, ok := v.Parts[0].Steps[session.StepFirstByte]; !ok || v.Parts[0].Step != session.StepFirstByte {
		t.Errorf("what the machine told is gone: %+v", v.Parts[0])
	}
	if d := a.descriptor(0); d.Serial != serial {
		t.Errorf("another descriptor: %+v", d)
	}
	if len(v.Parts[0].Reboots) != 2 {
		t.Errorf("reboots: %+v", v.Parts[0].Reboots)
	}
	a.say(s.ID, session.StepLastByte, session.StepWritten, session.StepEntry, session.StepBoot)
	h.expect(s.ID, "casting running") // the other one may be the machine
	h.pass(59 * time.Second)
	h.expect(s.ID, "casting running")
	h.pass(time.Second)
	h.expect(s.ID, "done done")
	v, _ = h.e.Session(s.ID)
	says(t, twoMachines, v.Parts[0].Identity)
}

// A machine that waits for its descriptor learns at once that another boot took its place, and says hello again.
func TestPollOfABootThatWasReplaced(t *testing.T) {
	h, s, a := started(t)
	got := make(chan error)
	after := a.descriptor(0).Serial
	go func() {
		_, err := h.e.Descriptor(context.Background(), a.id, after, time.Hour)
		got <- err
	}()
	// The forger's hello comes when the poll is there, or before it: both end it.
	f := *a
	for i := 0; ; i++ {
		f = *a.forger(i)
		select {
		case err := <-got:
			if !errors.Is(err, engine.ErrToken) {
				t.Fatalf("poll: %v", err)
			}
		case <-time.After(10 * time.Millisecond):
			continue
		}
		break
	}
	f.say(s.ID, session.StepPlan)
	a.asks()
	says(t, "two machines", h.node(a.id).Warnings...)
}

// A reboot is one when the boot before is silent: what the new one tells counts, its end when that is known.
func TestTrueReboot(t *testing.T) {
	h, s, a := started(t)
	h.pass(20 * time.Second)
	a.boot, a.seq = "boot-2", 0
	a.hello()
	a.say(s.ID, goodRestore...)
	h.expect(s.ID, "casting running")
	h.restart()
	h.pass(time.Minute)
	h.expect(s.ID, "done done")
	if w := h.node(a.id).Warnings; len(w) != 0 {
		t.Errorf("warnings: %q", w)
	}
	v, _ := h.e.Session(s.ID)
	if r := v.Parts[0].Reboots; len(r) != 1 {
		t.Errorf("reboots: %+v", r)
	} else {
		says(t, `boot b0139e73c78c0c8e from 10.0.0.5; the boot before was at step "first-byte"`, r[0].Message)
	}
}

// A capture that two machines may have sent is none.
func TestForgedCapture(t *testing.T) {
	h, _ := captureHouse(t, 1<<40)
	a := h.machine(1)
	a.powerOn()
	s := h.capture(a)
	a.say(s.ID, session.StepPlan)
	if err := h.e.MayFinish(a.id); err != nil {
		t.Errorf("an honest capture: %v", err)
	}
	a.forger(1)
	if err := h.e.MayFinish(a.id); !errors.Is(err, engine.ErrUnsettled) {
		t.Errorf("a capture that a stranger took over: %v", err)
	}
	a.asks()
	h.expect(s.ID, "failed failed")
	v, _ := h.e.Session(s.ID)
	says(t, "two machines", v.Reason)
}

func TestCaptureAfterAReboot(t *testing.T) {
	h, _ := captureHouse(t, 1<<40)
	a := h.machine(1)
	a.powerOn()
	s := h.capture(a)
	a.say(s.ID, session.StepPlan)
	a.boot, a.seq = "boot-2", 0
	a.hello()
	h.expect(s.ID, "capturing offered")
	h.pass(time.Minute)
	if err := h.e.MayFinish(a.id); err != nil {
		t.Errorf("a capture after a reboot: %v", err)
	}
}
