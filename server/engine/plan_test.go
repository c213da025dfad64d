package engine_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
)

const gib = 1 << 30

func ssd(path, serial string, size int64) session.Disk {
	return session.Disk{Path: path, Size: size, SectorSize: 512, Serial: serial, BusPath: "pci-" + path}
}

// gpt is a disk with three partitions; its table has the id that images.TableID gives the image.
func gpt(d session.Disk, image string) session.Content {
	id := strings.TrimLeft(fmt.Sprintf("%x", image+" manifest"), "0")
	return session.Content{Disk: d.ID(), Table: "gpt", TableID: id,
		Starts: []string{"debian (UEFI)"}, Partitions: []session.PartitionContent{
			{Number: 1, Start: 1 << 20, Size: 64 << 20, FS: "vfat", Label: "ESP", Name: "EFI System"},
			{Number: 2, Start: 65 << 20, Size: 200 << 20, FS: "ext4", Label: "root", Name: "root"},
			{Number: 3, Start: 300 << 20, Size: 200 << 20, FS: "ntfs", Label: "data", Name: "data"}}}
}

// surveyed has the machine say hello with what is on its disks, some seconds after it looked.
func (m *machine) surveyed(age float64, c ...session.Content) {
	m.h.t.Helper()
	inv := session.Inventory{Firmware: m.firmware, NICs: []session.NIC{{Name: "eth0", MAC: m.mac, Boot: true}},
		Disks: m.disks, Survey: &session.Survey{Age: age, Disks: c}}
	if _, err := m.h.e.Hello(m.h.t.Context(), &session.Hello{V: 1, Boot: m.boot, Agent: "test", Inventory: inv},
		m.addr); err != nil {
		m.h.t.Fatal(err)
	}
}

func (h *house) plan(spec doc.Spec) *doc.Plan {
	h.t.Helper()
	spec.V = 1
	if spec.Image == "" && spec.Capture == "" {
		spec.Image = "debian"
	}
	p, err := h.e.Plan(h.t.Context(), spec)
	if err != nil {
		h.t.Fatal(err)
	}
	return p
}

// only is the plan of a session for one machine.
func (h *house) only(m *machine, spec doc.Spec) *doc.PlanMachine {
	h.t.Helper()
	spec.Nodes = []string{m.mac}
	p := h.plan(spec)
	if len(p.Machines) != 1 {
		h.t.Fatalf("%+v", p)
	}
	return &p.Machines[0]
}

// TestPlan has one machine for each reason, and what the plan says of it.
func TestPlan(t *testing.T) {
	h := newHouse(t)
	a := h.machine(1)
	a.firmware = session.UEFI
	a.disks = []session.Disk{ssd("/dev/sda", "one", gib), ssd("/dev/sdb", "two", 2*gib)}
	a.powerOn()
	content := gpt(a.disks[0], "debian")
	used := session.Content{Disk: a.disks[1].ID(), Table: "none", Used: "sdb1 is mounted at /mnt"}
	a.surveyed(5, content, used)

	m := h.only(a, doc.Spec{Target: session.Target{Smallest: true}})
	if m.Verdict != doc.PlanGoes || m.Disk == nil || m.Disk.Serial != "one" || m.Content == nil ||
		m.Content.Partitions[1].Label != "root" || m.Bytes != 1000 ||
		!m.Surveyed.Equal(h.clock().Add(-5*time.Second)) ||
		!strings.Contains(m.Receives, "whose id it has") || m.Boot.Firmware != session.UEFI ||
		!strings.Contains(m.Boot.Words, "a boot entry that the node makes") || m.Old {
		t.Errorf("a machine that goes: %+v", m)
	}
	part := func(n string) json.RawMessage { return json.RawMessage(`{"v":1,"number":` + n + `}`) }
	big := session.Target{Serial: "one"}
	for name, c := range map[string]struct {
		spec doc.Spec
		want string
	}{
		"two disks fit": {doc.Spec{}, "fits 2 disks and must fit one"},
		"no disk fits":  {doc.Spec{Target: session.Target{Serial: "three"}}, "no disk fits the rule (serial three)"},
		"another path": {doc.Spec{Target: session.Target{Path: "/dev/sdz"}},
			"no disk of this node is called /dev/sdz"},
		"path and serial": {doc.Spec{Target: session.Target{Path: "/dev/sda", Serial: "two"}}, "does not fit the rest"},
		"too small":       {doc.Spec{Image: "big", Target: big}, "image big cannot go to /dev/sda"},
		"in use":          {doc.Spec{Target: session.Target{Largest: true}}, "in use on the node (sdb1 is mounted"},
		"no partition": {doc.Spec{Image: "slice", Kind: session.RestorePartition, Job: part("7"), Target: big},
			"does not have one partition 7; it has: 1 EFI System, 2 root, 3 data"},
		"no table": {doc.Spec{Image: "slice", Kind: session.RestorePartition, Job: part("1"),
			Target: session.Target{Serial: "two"}}, "no partition table"},
	} {
		if m := h.only(a, c.spec); m.Verdict != doc.PlanRefused ||
			!strings.Contains(strings.Join(m.Refused, "; "), c.want) ||
			strings.Contains(strings.Join(m.Refused, ""), "\n") {
			t.Errorf("%s: %s, %q, want %q", name, m.Verdict, m.Refused, c.want)
		}
	}
	m = h.only(a, doc.Spec{Image: "slice", Kind: session.RestorePartition, Job: part("2"), Target: big})
	if m.Verdict != doc.PlanGoes || m.Target == nil || m.Target.Label != "root" {
		t.Errorf("one partition: %+v", m)
	}
	if m := h.only(a, doc.Spec{Target: session.Target{Path: "/dev/sda"}}); m.Verdict != doc.PlanGoes {
		t.Errorf("by path: %+v", m)
	}
	for mode, want := range map[string]string{session.Full: "all of it, whatever",
		session.Delta: "only what differs from"} {
		if m := h.only(a, doc.Spec{Mode: mode, Target: big}); !strings.HasPrefix(m.Receives, want) {
			t.Errorf("mode %s: %q", mode, m.Receives)
		}
	}
	if m := h.only(a, doc.Spec{Image: "ubuntu", Target: big}); !strings.HasPrefix(m.Receives, "all of it: ") {
		t.Errorf("another image's table: %q", m.Receives)
	}
	if m := h.only(a, doc.Spec{Capture: "golden", Target: big}); m.Bytes != 0 {
		t.Errorf("a capture: %+v", m)
	}
	if got := h.e.Sessions(); len(got) != 0 {
		t.Errorf("a plan made sessions: %+v", got)
	}
}

// TestPlanOfAbsent says of machines that are not there what was known last, and how old that is.
func TestPlanOfAbsent(t *testing.T) {
	h := newHouse(t)
	a, b := h.machine(1), h.machine(2)
	a.firmware, a.disks = session.BIOS, []session.Disk{ssd("/dev/sda", "one", gib)}
	a.powerOn()
	a.surveyed(0, gpt(a.disks[0], "debian"))
	seen := h.clock()
	h.pass(time.Hour)
	h.restart() // it is stored
	m := h.only(a, doc.Spec{})
	if m.Verdict != doc.PlanWaits || !m.Old || m.Where != doc.Silent || !m.Surveyed.Equal(seen) || m.Content == nil ||
		len(m.Content.Partitions) != 3 || !strings.Contains(m.Waits, "silent") {
		t.Errorf("a silent machine: %+v", m)
	}
	// It comes back under another name of the disk, and has not looked yet.
	a.disks = []session.Disk{ssd("/dev/sdb", "one", gib), ssd("/dev/sda", "two", gib)}
	a.disks[0].BusPath = "pci-/dev/sda"
	a.powerOn()
	m = h.only(a, doc.Spec{Target: session.Target{Serial: "one"}})
	if m.Verdict != doc.PlanGoes || m.Old || m.Content == nil || m.Content.Partitions[1].Label != "root" ||
		!m.Surveyed.Equal(seen) {
		t.Errorf("back again: %+v", m)
	}
	if m := h.only(a, doc.Spec{Target: session.Target{Serial: "two"}}); m.Content != nil ||
		!strings.Contains(m.Receives, "not known") {
		t.Errorf("a disk that nothing was told of: %+v", m)
	}
	// A session works for it, and another one is planned.
	s := h.create(doc.Spec{Nodes: []string{a.mac}, Target: session.Target{Serial: "one"}})
	m = h.only(a, doc.Spec{Target: session.Target{Serial: "one"}})
	if m.Verdict != doc.PlanWaits || !strings.Contains(m.Waits, "session "+s.ID) {
		t.Errorf("busy: %+v", m)
	}
	if _, err := h.e.ChooseDisk(t.Context(), a.id, &session.DiskChoice{V: 1, Session: s.ID,
		Disk: a.disks[0].ID()}); err != nil {
		t.Fatal(err)
	}
	a.say(s.ID, goodRestore...)
	m = h.only(a, doc.Spec{Target: session.Target{Serial: "one"}})
	if m.Last == nil || m.Last.Session != s.ID || m.Last.Image != "debian" || !strings.Contains(m.Since, s.ID) ||
		m.Verdict != doc.PlanWaits || m.Differs == nil || *m.Differs != 0 {
		t.Errorf("after a restore: %+v", m)
	}
	for _, c := range []struct {
		spec doc.Spec
		want int64 // -1: not said
	}{{doc.Spec{Image: "ubuntu"}, -1}, {doc.Spec{Image: "ubuntu", Mode: session.Delta}, 100},
		{doc.Spec{Mode: session.Full}, -1}} {
		c.spec.Target.Serial = "one"
		m, got := h.only(a, c.spec), int64(-1)
		if m.Differs != nil {
			got = *m.Differs
		}
		if got != c.want {
			t.Errorf("image %q, mode %q: %d differ, want %d", c.spec.Image, c.spec.Mode, got, c.want)
		}
	}
	// One that nobody saw, beside one whose address is nearly the same; and one that was written down.
	far := h.machine(1)
	far.mac = "52:54:00:00:01:00"
	p := h.plan(doc.Spec{Nodes: []string{far.mac}})
	if x := p.Machines[0]; x.Verdict != doc.PlanUnknown || !strings.Contains(x.Refused[0], "never saw") ||
		!p.Hopeless() {
		t.Errorf("an unknown machine: %+v", x)
	}
	if _, err := h.e.ChangeLab(t.Context(), doc.LabChange{V: 1, Machines: []doc.MachineEntry{{Name: "lab-2",
		MACs: []string{b.mac}}}}); err != nil {
		t.Fatal(err)
	}
	if p = h.plan(doc.Spec{Nodes: []string{"lab-2"}}); p.Machines[0].Verdict != doc.PlanWaits || p.Hopeless() ||
		p.Machines[0].Name != "lab-2" {
		t.Errorf("a machine that was written down: %+v", p.Machines[0])
	}
}

// TestPlanOfFile has a file in the place of a disk, and then another one of its size: what was done to the first is not
// told of the second.
func TestPlanOfFile(t *testing.T) {
	h := newHouse(t)
	m := h.machine(1)
	m.disks = []session.Disk{{Path: "/srv/a.img", Size: gib, SectorSize: 512}}
	m.powerOn()
	s := h.create(doc.Spec{Nodes: []string{m.mac}})
	if _, err := h.e.ChooseDisk(t.Context(), m.id, &session.DiskChoice{V: 1, Session: s.ID,
		Disk: m.disks[0].ID()}); err != nil {
		t.Fatal(err)
	}
	m.say(s.ID, goodRestore...)
	if p := h.only(m, doc.Spec{}); p.Last == nil || p.Last.Session != s.ID {
		t.Errorf("the file that was restored: %+v", p)
	}
	m.disks[0].Path = "/srv/b.img"
	m.powerOn()
	m.hello()
	if p := h.only(m, doc.Spec{}); p.Disk.Path != "/srv/b.img" || p.Last != nil || p.Differs != nil ||
		strings.Contains(p.Since, s.ID) {
		t.Errorf("the file beside it: %+v", p)
	}
}

// TestPlanRefused is of sessions that would not be made, and of machines that may not be taken.
func TestPlanRefused(t *testing.T) {
	h := sealing(t)
	a := h.machine(1)
	a.powerOn()
	p := h.plan(doc.Spec{Image: "none", Nodes: []string{a.mac}})
	if len(p.Refused) != 1 || !strings.Contains(p.Refused[0], "none") || p.Machines[0].Verdict != doc.PlanRefused ||
		p.Machines[0].Disk == nil || !p.Hopeless() {
		t.Errorf("an image in no store: %+v", p)
	}
	p = h.plan(doc.Spec{Nodes: []string{a.mac}, Personalize: json.RawMessage(ownSettings)})
	if len(p.Refused) != 1 || !slices.ContainsFunc(p.Machines[0].Refused, func(s string) bool {
		return strings.Contains(s, "its personalization") && strings.Contains(s, "seat")
	}) || strings.Contains(fmt.Sprint(p), "SECRET") {
		t.Errorf("a label is missing: %+v", p)
	}
	b := h.seated(2)
	if m := h.only(b, doc.Spec{Personalize: json.RawMessage(ownSettings)}); m.Verdict != doc.PlanGoes {
		t.Errorf("all is there: %+v", m)
	}
	if p := h.plan(doc.Spec{Nodes: []string{b.mac}, Before: "dns"}); !p.Hopeless() ||
		!strings.Contains(strings.Join(p.Refused, ""), "no hook dns") {
		t.Errorf("a hook that is not there: %+v", p)
	}
	p = h.plan(doc.Spec{All: true, Personalize: json.RawMessage(
		`{"seed":{"user_data":"#cloud-config\n{{.MAC}}\n"}}`)})
	if len(p.Machines) != 2 || !p.Hopeless() ||
		!strings.Contains(strings.Join(p.Machines[1].Refused, ""), "not a map") {
		t.Errorf("a seed that cloud-init would leave out, of machines that are not named: %+v", p)
	}
	h.seal = nil
	h.restart()
	if p := h.plan(doc.Spec{Nodes: []string{b.mac}, Personalize: json.RawMessage(ownSettings)}); !p.Hopeless() ||
		!strings.Contains(p.Refused[0], "no key") {
		t.Errorf("no key: %+v", p)
	}
	h.approve = doc.ApproveHand
	h.restart()
	a.hello()
	if m := h.only(a, doc.Spec{}); m.Verdict != doc.PlanRefused ||
		!strings.Contains(m.Refused[0], "machine approve m1") {
		t.Errorf("not approved: %+v", m)
	}
	if p := h.plan(doc.Spec{Nodes: []string{b.mac}, Power: doc.PowerOn}); !p.Hopeless() ||
		!strings.Contains(strings.Join(p.Refused, ""), "switches no machines") {
		t.Errorf("power: %+v", p)
	}
	if _, err := h.e.Plan(t.Context(), doc.Spec{V: 1, Image: "debian", On: "room=7"}); err == nil {
		t.Error("a selector that fits nothing")
	}
	if _, err := h.e.Plan(t.Context(), doc.Spec{V: 1, Image: "debian", All: true, Mode: "quick"}); err == nil {
		t.Error("a mode that there is not")
	}
}

// TestPlanOfCount has as many machines as the session would take, in the order in which it takes them.
func TestPlanOfCount(t *testing.T) {
	h := newHouse(t)
	for i := range 3 {
		h.machine(i + 1).powerOn()
	}
	p := h.plan(doc.Spec{Count: 2})
	if len(p.Machines) != 2 || !strings.Contains(strings.Join(p.Warnings, ""), "1 more machines are here") {
		t.Fatalf("%+v", p)
	}
	s := h.create(doc.Spec{Count: 2})
	for i := range p.Machines {
		if p.Machines[i].Node != s.Parts[i].Node {
			t.Errorf("the plan has %s, and the session %s", p.Machines[i].Node, s.Parts[i].Node)
		}
	}
	if p = h.plan(doc.Spec{All: true}); len(p.Machines) != 3 || p.Counts()[doc.PlanWaits] != 2 ||
		p.Counts()[doc.PlanGoes] != 1 {
		t.Errorf("%+v", p.Counts())
	}
}

// TestLargeSurvey takes a stranger whose inventory is too large with what is on its disks, without that.
func TestLargeSurvey(t *testing.T) {
	h := newHouse(t)
	d := ssd("/dev/sda", "one", gib)
	c := session.Content{Disk: d.ID()}
	for i := range 4 * session.MaxSurveyPartitions {
		c.Partitions = append(c.Partitions, session.PartitionContent{Number: i + 1, Label: strings.Repeat("x", 500)})
	}
	hello := func(disks ...session.Disk) error {
		_, err := h.e.Hello(t.Context(), &session.Hello{V: 1, Boot: "b", Inventory: session.Inventory{
			NICs: []session.NIC{{MAC: "52:54:00:00:00:01", Boot: true}}, Disks: disks,
			Survey: &session.Survey{Disks: []session.Content{c}}}}, netip.MustParseAddr("10.0.0.1"))
		return err
	}
	if err := hello(d); err != nil {
		t.Fatal(err)
	}
	n, err := h.e.Node("52:54:00:00:00:01")
	if err != nil || len(n.Inventory.Disks) != 1 || n.Inventory.Survey != nil {
		t.Errorf("%+v, %v", n, err)
	}
	d.Model = strings.Repeat("x", 500)
	if err := hello(slices.Repeat([]session.Disk{d}, 60)...); err == nil {
		t.Error("an inventory that is too large without it was taken")
	}
}
