package engine_test

import (
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/netboot"
)

// withMenu is a house whose machines have a menu.
func withMenu(t *testing.T, m doc.Menu) *house {
	h := newHouse(t)
	m.Name = "hall"
	h.change(doc.LabChange{Menus: []doc.Menu{m},
		Rules: []doc.Rule{{Name: "all", MACs: []string{"52:54:00"}, WhenIdle: "menu:hall"}}})
	return h
}

// shows is the menu that the node is told to show.
func (m *machine) shows() *session.Menu {
	m.h.t.Helper()
	d := m.descriptor(0)
	if d == nil || d.Action != session.Idle || d.Menu == nil {
		m.h.t.Fatalf("the node has %+v, and no menu", d)
	}
	return d.Menu
}

// chooses is somebody at the console.
func (m *machine) chooses(entry string, disk *session.DiskID) (*session.MenuReply, error) {
	m.h.t.Helper()
	return m.h.e.Choose(m.h.t.Context(), m.id, &session.MenuChoice{V: 1, Menu: m.shows().ID, Entry: entry, Disk: disk})
}

// chose is chooses that works.
func (m *machine) chose(entry string, disk *session.DiskID) *session.MenuReply {
	m.h.t.Helper()
	r, err := m.chooses(entry, disk)
	if err != nil {
		m.h.t.Fatal(err)
	}
	return r
}

func (m *machine) refused(entry string, disk *session.DiskID, want string) {
	m.h.t.Helper()
	if r, err := m.chooses(entry, disk); err == nil || !strings.Contains(err.Error(), want) {
		m.h.t.Errorf("%s: %+v, %v; want a refusal with %q", entry, r, err, want)
	}
}

// TestMenuImage: what is chosen is asked about with the disk, becomes a session by the menu's word with the machine's
// profile, and whoever chooses the same meanwhile joins it; no other disk than the one agreed to is taken.
func TestMenuImage(t *testing.T) {
	h := withMenu(t, doc.Menu{Entries: []string{"wait", "image=debian", "image=nothere", "rescue"}})
	a, b := h.machine(1), h.machine(2)
	for i, m := range []*machine{a, b} {
		m.disks = []session.Disk{ssd("/dev/sda", "S"+string(rune('1'+i)), 4*gib)}
		m.powerOn()
	}
	h.change(doc.LabChange{Profiles: []doc.Profile{{Name: "lab", Spec: []byte(`{"verify": true}`)}},
		Machines: []doc.MachineEntry{{ID: "m1", Profile: ptr("lab")}, {ID: "m2", Profile: ptr("lab")}}})
	h.pass(time.Second)
	a.refused("image=nothere", nil, "image \"nothere\"")
	a.refused("memtest", nil, "nothing to be done")
	ask := a.chose("image=debian", nil).Ask
	if ask == nil || ask.Disk.Serial != "S1" || !strings.Contains(ask.Words, "debian over /dev/sda") {
		t.Fatalf("the question is %+v", ask)
	}
	if all := h.e.Sessions(); len(all) != 0 {
		t.Fatalf("a session before anybody agreed: %+v", all[0])
	}
	other := ask.Disk
	other.Serial = "S9"
	a.refused("image=debian", &other, "was agreed to, and")
	if r := a.chose("image=debian", &ask.Disk); r.Session != "s1" {
		t.Fatalf("the answer is %+v", r)
	}
	s, err := h.e.Session("s1")
	if err != nil || s.Spec.Menu != "hall" || s.Spec.Profile != "lab" || !s.Spec.Verify || len(s.Parts) != 1 ||
		!strings.Contains(s.Spec.Notes, "chosen at the console") {
		t.Errorf("the session is %+v, %v", s, err)
	}
	if got := a.told(); got != "restore s1" {
		t.Errorf("the node is told %s", got)
	}
	// Another disk than the one that was agreed to, which the rule means since the first one is gone.
	a.disks = []session.Disk{ssd("/dev/sda", "S8", 4*gib)}
	a.hello()
	_, err = h.e.ChooseDisk(t.Context(), a.id, &session.DiskChoice{V: 1, Session: "s1", Disk: a.disks[0].ID()})
	if err == nil || !strings.Contains(err.Error(), "was agreed to at this machine's console") {
		t.Errorf("another disk than the one that was agreed to: %v", err)
	}
	a.disks = []session.Disk{ssd("/dev/sdb", "S1", 4*gib)} // the kernel calls it otherwise
	ask.Disk.BusPath = "pci-/dev/sda"
	a.disks[0].BusPath = ask.Disk.BusPath
	a.hello()
	if _, err := h.e.ChooseDisk(t.Context(), a.id, &session.DiskChoice{V: 1, Session: "s1",
		Disk: a.disks[0].ID()}); err != nil {
		t.Errorf("the disk that was agreed to: %v", err)
	}

	ask = b.chose("image=debian", nil).Ask
	if r := b.chose("image=debian", &ask.Disk); r.Session != "s1" || b.told() != "restore s1" {
		t.Errorf("the second one gets %+v, and is told %s", r, b.told())
	}
	log, err := h.e.Log(t.Context(), b.id, 100, true)
	if err != nil || !strings.Contains(logText(log), "somebody at the console of m2") {
		t.Errorf("the node's log: %v, %v", log, err)
	}
	h.restart()
	if s, err := h.e.Session("s1"); err != nil || len(s.Parts) != 2 || s.Parts[1].Confirmed == nil ||
		s.Parts[1].Confirmed.Serial != "S2" {
		t.Errorf("after a restart: %+v, %v", s, err)
	}
}

func logText(events []doc.Event) string {
	var b strings.Builder
	for _, ev := range events {
		b.WriteString(ev.Event.Message + "\n")
	}
	return b.String()
}

// TestMenuNextStart: own disk and a memory test are for one start of the machine.
func TestMenuNextStart(t *testing.T) {
	h := newHouse(t)
	h.tests = func(uefi bool) (string, bool) { return "memtest.bin", !uefi }
	h.restart()
	h.change(doc.LabChange{Menus: []doc.Menu{{Name: "hall", Entries: []string{"wait", "own-disk", "memtest"}}},
		Rules: []doc.Rule{{Name: "all", MACs: []string{"52:54:00"}, WhenIdle: "menu:hall"}}})
	m := h.machine(1)
	if !m.powerOn() {
		t.Fatal("a menu that waits is the agent's, and the machine was not sent there")
	}
	h.pass(time.Second)
	if r := m.chose("own-disk", nil); !r.Restart {
		t.Fatalf("own disk: %+v", r)
	}
	h.restart()
	if m.powerOn() {
		t.Error("its own disk was chosen, and it is sent to the agent")
	}
	if !m.powerOn() {
		t.Error("its own disk was chosen for one start, and it is sent there again")
	}
	h.pass(time.Second)
	if r := m.chose("memtest", nil); !r.Restart {
		t.Fatalf("memtest: %+v", r)
	}
	h.pass(time.Minute)
	h.e.Saw(m.mac, m.addr, doc.StepDHCP, "test")
	for range 2 { // firmware and loader ask several times
		if got := h.e.Boots(m.mac); got != netboot.Memtest {
			t.Errorf("a memory test was chosen, and it boots %s", got)
		}
		h.e.Saw(m.mac, m.addr, doc.StepScript, "test")
	}
	h.pass(time.Second)
	h.e.Saw(m.mac, m.addr, doc.StepDHCP, "test")
	if got := h.e.Boots(m.mac); got != netboot.Agent {
		t.Errorf("a second after the memory test was left it boots %s", got)
	}
	m.powerOn()
	h.pass(time.Second)
	m.chose("memtest", nil)
	h.pass(time.Second)
	h.e.Saw(m.mac, m.addr, doc.StepDHCP, "test")
	h.e.Saw(m.mac, m.addr, doc.StepScript, "test")
	h.pass(time.Minute)
	if got := h.e.Boots(m.mac); got != netboot.Agent {
		t.Errorf("a minute after the memory test began it boots %s", got)
	}
	m.powerOn()
	h.pass(time.Second)
	m.chose("memtest", nil)
	h.pass(time.Hour)
	if got := h.e.Boots(m.mac); got != netboot.Agent {
		t.Errorf("an hour after a choice it boots %s", got)
	}
	m.firmware = session.UEFI
	m.powerOn()
	h.pass(time.Second)
	m.refused("memtest", nil, "has no memtest.bin")
}

// TestMenuComesAndGoes: a menu is there while nothing is asked of the machine, and its default is nothing that cannot
// be done.
func TestMenuComesAndGoes(t *testing.T) {
	h := withMenu(t, doc.Menu{Entries: []string{"own-disk", "image=debian", "rescue"}, Timeout: 20})
	m := h.machine(1)
	if got := h.e.Boots(m.mac); got != netboot.Menu {
		t.Errorf("with its own disk as the default it boots %s, and not the loader's menu", got)
	}
	if c := h.e.Choices(m.mac); c.Seconds != 20 || c.Memtest || c.Agent != "More: the menu hall" {
		t.Errorf("the loader's menu has %+v", c)
	}
	if c := h.e.Choices("02:00:00:00:00:01"); c != netboot.DefaultChoices() {
		t.Errorf("of another machine it has %+v", c)
	}
	m.powerOn()
	h.pass(time.Second)
	first := m.shows()
	if first.Default != "own-disk" || first.Seconds != 20 || len(first.Entries) != 3 {
		t.Errorf("the menu is %+v", first)
	}
	if r := m.chose("rescue", nil); r.Session != "s1" || m.told() != "rescue s1" {
		t.Errorf("a rescue: %+v, and the node is told %s", r, m.told())
	}
	late := session.MenuChoice{V: 1, Menu: first.ID, Entry: "own-disk"}
	if _, err := h.e.Choose(t.Context(), m.id, &late); err == nil {
		t.Error("a machine that works is restarted by its menu")
	}
	if _, err := h.e.Cancel(t.Context(), "s1"); err != nil {
		t.Fatal(err)
	}
	h.pass(time.Second)
	if again := m.shows(); again.ID != first.ID {
		t.Errorf("the menu is another one: %+v", again)
	}
	// A part that is done, and whose node stays, leaves the menu to come back.
	stays := h.create(doc.Spec{Nodes: []string{m.mac}, Boot: &session.Boot{Method: session.BootStay}})
	m.say(stays.ID, goodRestore...)
	h.expect(stays.ID, "done done")
	h.pass(time.Second)
	m.shows()
	// Its disk is half-written.
	ask := m.chose("image=debian", nil).Ask
	id := m.chose("image=debian", &ask.Disk).Session
	m.say(id, session.StepPlan, session.StepTable)
	if _, err := h.e.Cancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	h.pass(time.Second)
	if got := m.shows(); got.Default != session.MenuWait || got.Entry("own-disk").Refused == "" {
		t.Errorf("its disk is half-written, and the menu is %+v", got)
	}
	m.refused("own-disk", nil, "ended while its disk was written")
	// The menu is used, and stays while it is.
	for what, c := range map[string]doc.LabChange{
		"rule all: when_idle": {Remove: []doc.LabName{{Kind: doc.KindMenu, Name: "hall"}}},
		"no profile \"gone\"": {Menus: []doc.Menu{{Name: "other", Entries: []string{"wait", "profile=gone"}}}},
		"no menu \"gone\"":    {Machines: []doc.MachineEntry{{ID: "m1", WhenIdle: ptr("menu:gone")}}},
		"nobody needs to": {Menus: []doc.Menu{{Name: "x", Entries: []string{"wait", "image=a"},
			Default: "image=a"}}},
		"no entry of a menu": {Menus: []doc.Menu{{Name: "x", Entries: []string{"wait", "format"}}}},
		"add own-disk or":    {Menus: []doc.Menu{{Name: "x", Entries: []string{"rescue"}}}},
		"twice":              {Menus: []doc.Menu{{Name: "x", Entries: []string{"wait", "wait"}}}},
	} {
		c.V = 1
		if _, err := h.e.ChangeLab(t.Context(), c); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
	h.change(doc.LabChange{Remove: []doc.LabName{{Kind: doc.KindMenu, Name: "hall"},
		{Kind: doc.KindRule, Name: "all"}}})
	h.pass(time.Second)
	if d := m.descriptor(0); d == nil || d.Menu != nil {
		t.Errorf("the menu is gone, and the node has %+v", d)
	}
}

// TestAskedTwice: a DHCP request that was sent again, read when the machine has its script, begins no other boot. What
// its timeline says stays, and so does what was chosen.
func TestAskedTwice(t *testing.T) {
	h := newHouse(t)
	h.tests = func(uefi bool) (string, bool) { return "memtest.bin", !uefi }
	h.restart()
	h.change(doc.LabChange{Menus: []doc.Menu{{Name: "hall", Entries: []string{"wait", "memtest"}}},
		Rules: []doc.Rule{{Name: "all", MACs: []string{"52:54:00"}, WhenIdle: "menu:hall"}}})
	m := h.machine(1)
	m.powerOn()
	h.pass(time.Second)
	m.chose("memtest", nil)
	h.pass(time.Minute)
	const first, second = 7, 8
	h.e.Asked(m.mac, m.addr, first, "sent to a script")
	h.e.Saw(m.mac, m.addr, doc.StepScript, "script")
	for _, tt := range []struct {
		after       time.Duration
		transaction uint32
		boots       netboot.What
		script      bool
	}{
		{0, first, netboot.Memtest, true},
		{9 * time.Second, first, netboot.Memtest, true},
		{0, second, netboot.Agent, false},
	} {
		h.pass(tt.after)
		h.e.Asked(m.mac, m.addr, tt.transaction, "sent to a script")
		if got := h.e.Boots(m.mac); got != tt.boots {
			t.Errorf("transaction %d, %v later: it boots %s, want %s", tt.transaction, tt.after, got, tt.boots)
		}
		if _, ok := h.node(m.id).Trace[doc.StepScript]; ok != tt.script {
			t.Errorf("transaction %d, %v later: its script is in the timeline: %t", tt.transaction, tt.after, ok)
		}
	}
	h.e.Saw(m.mac, m.addr, doc.StepScript, "script")
	h.pass(10 * time.Second)
	h.e.Asked(m.mac, m.addr, second, "firmware that knows one number only")
	if _, ok := h.node(m.id).Trace[doc.StepScript]; ok {
		t.Error("a start 10 s later with the same number is taken for the one before")
	}
}
