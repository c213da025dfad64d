package engine_test

import (
	"testing"
	"time"
)

// A machine's last word is that of its node: the agent that waits asks again and again, and says hello once.
func TestLastWordOfAMachine(t *testing.T) {
	h := newHouse(t)
	a := h.machine(1)
	a.powerOn()
	hello := h.clock()
	for _, asked := range []bool{true, false} {
		h.pass(5 * time.Minute)
		if asked {
			a.descriptor(0)
		}
		m, err := h.e.Machine(a.id)
		if err != nil {
			t.Fatal(err)
		}
		n, err := h.e.Node(a.id)
		if err != nil {
			t.Fatal(err)
		}
		if !m.Seen.Equal(n.LastSeen) || !m.Seen.After(hello) || m.Where != n.Where {
			t.Errorf("asked %t: the machine is %s since %v, its node %s since %v; its hello was at %v", asked,
				m.Where, m.Seen, n.Where, n.LastSeen, hello)
		}
	}
}
