package engine_test

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
)

// TestKilledWhilePersonalizing kills server and node at any step of 100 runs, from the machine's power on: no machine
// that lacks any of its identity is done or sent to its own disk, and each is done in the end.
func TestKilledWhilePersonalizing(t *testing.T) {
	const ask = "ask" // beside the steps that the node tells
	script := append(append([]string{}, wholeDisk...), ask, session.StepPersonalized, session.StepEntry,
		session.StepBoot)
	kills := 0
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 16))
		h := sealing(t)
		h.powered = true
		h.restart()
		m := h.seated(1)
		h.pass(10 * time.Minute) // and it is switched off
		s, more := h.brought(r, doc.Spec{Nodes: []string{m.mac}, Personalize: json.RawMessage(ownSettings),
			Power: doc.PowerCycle}, m)
		kills += more
		own := false // the disk has all of it
		for at := 0; at < len(script); {
			switch r.IntN(6) {
			case 0:
				h.restart()
				m.hello()
				kills++
				continue
			case 1:
				kills++
				if !m.powerOn() { // to its own disk
					if !own {
						t.Fatalf("seed %d: a machine without identity starts its own disk", seed)
					}
					at = len(script)
					continue
				}
				at, own = 0, false
				continue
			}
			if script[at] == ask {
				h.pass(2 * time.Minute)
				d, err := m.ask(s.ID, string("0123456789abcdef"[r.IntN(16)]))
				if err != nil || d.Things.Hostname != "pc-1" {
					t.Fatalf("seed %d: %v", seed, err)
				}
			} else {
				m.say(s.ID, script[at])
				own = own || script[at] == session.StepPersonalized
			}
			at++
			if got := h.state(s.ID); strings.Contains(got, doc.Done) && !own {
				t.Fatalf("seed %d: %s after %s, without its identity", seed, got, script[at-1])
			}
		}
		h.pass(2 * time.Minute)
		if got := h.state(s.ID); got != "done done" || !own {
			t.Fatalf("seed %d: in the end %s, with its identity %v", seed, got, own)
		}
	}
	if kills < 300 {
		t.Errorf("only %d kills", kills)
	}
}

// brought makes the session, and has its machine be switched on, by a BMC that lies at times, while the server is
// killed at others. It returns the session that brought it, and how often the server was killed.
func (h *house) brought(r *rand.Rand, spec doc.Spec, m *machine) (*doc.Session, int) {
	h.t.Helper()
	kills, asked, s := 0, 1, h.create(spec)
	for {
		if got := h.power.Asked(); len(got) != 1 || got[0] != "m1 cycle" {
			h.t.Fatalf("after %d kills asked for are %q", kills, got)
		}
		p := h.lastPart(s.ID)
		if h.state(s.ID) != "waiting waiting" || p.Power.State != doc.Waiting || p.Power.Asked != asked {
			h.t.Fatalf("after %d kills the session is %s, and its power %+v; it was asked for %d times", kills,
				h.state(s.ID), p.Power, asked)
		}
		switch r.IntN(4) {
		case 0, 1: // the machine may have done it, and nobody heard
			h.restart()
			kills++
			asked++
		case 2:
			h.power.Answer(doc.PowerRow{State: doc.Failed,
				Words: "redfish 10.0.0.5: reverted: power was on, and then off"})
			if got := h.state(s.ID); got != "failed failed" {
				h.t.Fatalf("a BMC lied, and the session is %s", got)
			}
			s, asked = h.create(spec), 1
			h.pass(2 * time.Minute) // a server that was just started cannot tell whether its agent still runs
		default:
			h.power.Answer(isOn)
			if !m.powerOn() {
				h.t.Fatal("a machine that was switched on for a session starts its own disk")
			}
			return s, kills
		}
	}
}
