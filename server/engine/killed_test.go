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

// TestKilledWhilePersonalizing kills server and node at any step of 100 runs: no machine that lacks any of its identity
// is done or sent to its own disk, and each is done in the end.
func TestKilledWhilePersonalizing(t *testing.T) {
	const ask = "ask" // beside the steps that the node tells
	script := append(append([]string{}, wholeDisk...), ask, session.StepPersonalized, session.StepEntry, session.StepBoot)
	kills := 0
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 16))
		h := sealing(t)
		m := h.seated(1)
		s := h.create(doc.Spec{Nodes: []string{m.mac}, Personalize: json.RawMessage(ownSettings)})
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
	if kills < 200 {
		t.Errorf("only %d kills", kills)
	}
}
