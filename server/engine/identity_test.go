package engine_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/engine"
)

const dongle = "00:e0:4c:68:00:01"

// laptop is a machine with a genuine UUID and serial.
func (h *house) laptop(n int) *machine {
	m := h.machine(n)
	m.uuid, m.serial = fmt.Sprintf("4c4c4544-0035-4b10-8052-b4c04f4d33%02x", n), fmt.Sprintf("LAPTOP-%d", n)
	return m
}

// over is the machine, booted from another NIC than its own.
func (m *machine) over(mac string) *machine {
	o := *m
	o.mac, o.others, o.boots = mac, []string{m.mac}, 100
	return &o
}

func (h *house) node(name string) *doc.Node {
	h.t.Helper()
	n, err := h.e.Node(name)
	if err != nil {
		h.t.Fatal(err)
	}
	return n
}

func (h *house) partOf(id, node string) *doc.Part {
	h.t.Helper()
	s, err := h.e.Session(id)
	if err != nil {
		h.t.Fatal(err)
	}
	for i := range s.Parts {
		if s.Parts[i].Node == node {
			return &s.Parts[i]
		}
	}
	h.t.Fatalf("session %s has no part of %s: %+v", id, node, s.Parts)
	return nil
}

// says fails the test unless one of the lines has the words.
func says(t *testing.T, words string, lines ...string) {
	t.Helper()
	for _, l := range lines {
		if strings.Contains(l, words) {
			return
		}
	}
	t.Errorf("nothing says %q: %q", words, lines)
}

// A dongle that one machine had does not make the next machine that boots from it the first one.
func TestDongleThatChangesHands(t *testing.T) {
	h := newHouse(t)
	a := h.laptop(1)
	a.others = []string{dongle}
	a.powerOn()
	s := h.create(doc.Spec{Nodes: []string{a.mac}})
	b := h.laptop(2).over(dongle)
	b.powerOn()
	if b.id == a.id || b.told() != "nothing" || a.told() != "restore "+s.ID {
		t.Errorf("a machine over another's dongle is %s, told %q", b.id, b.told())
	}
	says(t, "dongle", h.node(a.id).Warnings...)
	says(t, "dongle", h.node(b.id).Warnings...)
	v, _ := h.e.Session(s.ID)
	says(t, "dongle", v.Warnings...)
	h.restart()
	if n := h.node(dongle); n.ID != b.id || len(h.node(a.id).MACs) != 1 {
		t.Errorf("after a restart the dongle is of %s", n.ID)
	}
}

// The machine itself, over its own dongle, is itself where its firmware can prove it.
func TestOwnDongle(t *testing.T) {
	for name, c := range map[string]struct {
		uuid, serial string
		same         bool
	}{
		"genuine":         {"4c4c4544-0035-4b10-8052-b4c04f4d3332", "5K5RM32", true},
		"no serial":       {"4c4c4544-0035-4b10-8052-b4c04f4d3332", "", false},
		"no UUID":         {"", "5K5RM32", false},
		"UUID of zeros":   {"00000000-0000-0000-0000-000000000000", "5K5RM32", false},
		"UUID of Fs":      {"FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF", "5K5RM32", false},
		"maker's UUID":    {"03000200-0400-0500-0006-000700080009", "5K5RM32", false},
		"default serial":  {"4c4c4544-0035-4b10-8052-b4c04f4d3332", "Default string", false},
		"filler serial":   {"4c4c4544-0035-4b10-8052-b4c04f4d3332", "To Be Filled By O.E.M.", false},
		"serial of zeros": {"4c4c4544-0035-4b10-8052-b4c04f4d3332", "0000000", false},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			a := h.machine(1)
			a.uuid, a.serial, a.others = c.uuid, c.serial, []string{dongle}
			a.powerOn()
			again := a.over(dongle)
			again.powerOn()
			if (again.id == a.id) != c.same {
				t.Errorf("over its own dongle, %s is %s", a.id, again.id)
			}
		})
	}
}

// A hello that lists the NICs of others takes neither their names nor their sessions.
func TestHelloThatListsOthers(t *testing.T) {
	h := newHouse(t)
	a, b, c := h.machine(1), h.machine(2), h.machine(3)
	a.powerOn()
	s := h.create(doc.Spec{Nodes: []string{a.mac, b.mac, c.mac}, MinNodes: 3})
	x := h.machine(99)
	x.others = []string{a.mac, b.mac, c.mac}
	x.powerOn()
	h.expect(s.ID, "waiting waiting waiting waiting")
	says(t, "is a NIC of node "+x.id, h.partOf(s.ID, x.id).Identity)
	b.powerOn()
	c.powerOn()
	if a.id == x.id || b.id == x.id || c.id == x.id {
		t.Errorf("%s, %s and %s are the machine that listed them", a.id, b.id, c.id)
	}
	for _, m := range []*machine{a, b, c} {
		if m.told() != "restore "+s.ID {
			t.Errorf("%s is told %q", m.id, m.told())
		}
	}
}

// Two names of one node are said, when the session is made.
func TestTwoNamesOfOneNode(t *testing.T) {
	h := newHouse(t)
	x := h.machine(99)
	x.others = []string{"52:54:00:00:00:01", "52:54:00:00:00:02"}
	x.powerOn()
	s := h.create(doc.Spec{Nodes: []string{x.mac, x.others[0], x.others[1]}})
	if len(s.Parts) != 1 {
		t.Fatalf("parts: %+v", s.Parts)
	}
	says(t, "52-54-00-00-00-63 and 52-54-00-00-00-01 are names of one node", s.Warnings...)
	says(t, "a machine that boots from that NIC is another one", s.Warnings...)
	// It comes, and has a part of its own.
	a := h.machine(1)
	a.powerOn()
	h.expect(s.ID, "casting offered offered")
	if a.id == x.id || a.told() != "restore "+s.ID {
		t.Error("a machine is the one that listed its NIC")
	}
}

// A session that names a machine by a NIC that another one lists is that machine's when it comes.
func TestNamedByAnothersSecondNIC(t *testing.T) {
	h := newHouse(t)
	x := h.machine(99)
	x.others = []string{"52:54:00:00:00:01"}
	x.powerOn()
	s := h.create(doc.Spec{Nodes: []string{x.others[0]}})
	if x.told() != "restore "+s.ID {
		t.Errorf("told %q", x.told())
	}
	a := h.machine(1)
	a.powerOn()
	if a.told() != "restore "+s.ID {
		t.Errorf("the machine that was named is told %q", a.told())
	}
	says(t, "had the part", h.partOf(s.ID, x.id).Identity)
	says(t, "had the part", h.partOf(s.ID, a.id).Identity)
}

func TestMACsThatAreNoMachines(t *testing.T) {
	h := newHouse(t)
	for _, mac := range []string{"ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01", "33:33:00:00:00:01", "00:00:00:00:00:00"} {
		_, err := h.e.Hello(t.Context(),
			&session.Hello{V: 1, Boot: "b",
				Inventory: session.Inventory{NICs: []session.NIC{{MAC: mac, Boot: true}, {MAC: "52:54:00:00:00:01"}}}},
			netip.Addr{})
		if !errors.Is(err, engine.ErrSpec) {
			t.Errorf("%s: %v", mac, err)
		}
		h.e.Saw(mac, netip.Addr{}, doc.StepDHCP, "")
		if _, err := h.e.Create(t.Context(), doc.Spec{V: 1, Image: "debian", Nodes: []string{mac}}); !errors.Is(err,
			engine.ErrSpec) {
			t.Errorf("session for %s: %v", mac, err)
		}
	}
	if n := h.e.Nodes(); len(n) != 0 {
		t.Errorf("nodes: %+v", n)
	}
}

// A NIC that a node reports no more is not its own any more.
func TestNICThatIsGone(t *testing.T) {
	h := newHouse(t)
	a := h.laptop(1)
	a.others = []string{dongle}
	a.powerOn()
	a.others = nil
	a.powerOn()
	if _, err := h.e.Node(dongle); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("a dongle that was pulled out: %v", err)
	}
	b := h.laptop(2).over(dongle)
	b.powerOn()
	if b.id == a.id || len(h.node(b.id).Warnings) != 0 {
		t.Errorf("the next machine over it is %s: %q", b.id, h.node(b.id).Warnings)
	}
}

// A node that was named after a dongle keeps its name, and the next machine over the dongle gets another.
func TestNameThatIsTaken(t *testing.T) {
	h := newHouse(t)
	a := h.laptop(1)
	first := a.over(dongle)
	first.powerOn()
	a.boots = 200
	a.powerOn() // from its own NIC, without the dongle
	if a.id != first.id {
		t.Fatalf("a machine that was seen over a dongle is %s, was %s", a.id, first.id)
	}
	b := h.laptop(2).over(dongle)
	b.powerOn()
	if b.id == a.id || b.id != "52-54-00-00-00-02" {
		t.Errorf("the next one is %s", b.id)
	}
	s := h.create(doc.Spec{Nodes: []string{dongle}})
	says(t, "the node of that name is meant", s.Warnings...)
}

// Another UUID or serial is told, on the node and its session, and nothing is captured from it.
func TestAnotherMachineOverOneNIC(t *testing.T) {
	h, _ := captureHouse(t, 1<<40)
	a := h.laptop(1)
	a.powerOn()
	s := h.create(doc.Spec{Nodes: []string{a.mac}})
	b := h.laptop(2)
	b.mac, b.boots = a.mac, 100
	b.powerOn()
	says(t, "serial LAPTOP-1 before and says", h.node(a.id).Warnings...)
	says(t, "serial LAPTOP-1 before and says", h.partOf(s.ID, a.id).Identity)
	if _, err := h.e.Cancel(t.Context(), s.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := h.e.Create(t.Context(), doc.Spec{V: 1, Capture: "golden", Nodes: []string{a.mac}}); !errors.Is(err,
		engine.ErrSpec) || !strings.Contains(err.Error(), "node forget") {
		t.Errorf("capture: %v", err)
	}
	c, err := h.e.Create(t.Context(), doc.Spec{V: 1, Capture: "golden", Count: 1})
	if err != nil {
		t.Fatal(err)
	}
	h.expect(c.ID, "failed failed")
	if err := h.e.Forget(t.Context(), a.mac, false); err != nil {
		t.Fatal(err)
	}
	b.powerOn()
	if w := h.node(b.id).Warnings; len(w) != 0 {
		t.Errorf("after it was forgotten: %q", w)
	}
}
