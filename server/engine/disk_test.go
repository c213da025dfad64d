package engine_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
)

// The first plan's disk is the session's on that node: after a reboot of the node, a restart of the server, another
// plan.
func TestFirstPlanCounts(t *testing.T) {
	h := newHouse(t)
	a := h.machine(1)
	a.disks = []session.Disk{{Path: "/dev/sda", Size: 1 << 30, Serial: "one"},
		{Path: "/dev/sdb", Size: 1 << 30, Serial: "two"}}
	a.powerOn()
	s := h.create(doc.Spec{Nodes: []string{a.mac}, Target: session.Target{Path: "/dev/sda"}})
	if len(s.Warnings) != 1 || !strings.Contains(s.Warnings[0], "/dev/sda is a name that the kernel gives anew") {
		t.Errorf("warnings at create: %q", s.Warnings)
	}
	before := a.descriptor(0)
	if before.Disk != nil {
		t.Fatalf("a disk before the first plan: %+v", before.Disk)
	}
	one := session.DiskID{Serial: "one", Size: 1 << 30, Path: "/dev/sda"}
	two := session.DiskID{Serial: "two", Size: 1 << 30, Path: "/dev/sda"}
	choose := func(d session.DiskID, want string) {
		t.Helper()
		got, err := h.e.ChooseDisk(t.Context(), a.id, &session.DiskChoice{V: 1, Session: s.ID, Disk: d})
		if err != nil || got.Serial != want {
			t.Errorf("got %+v, %v; want %s", got, err, want)
		}
	}
	choose(one, "one")
	choose(two, "one")
	if after := a.descriptor(0); after.Serial != before.Serial || after.Disk == nil || after.Disk.Serial != "one" {
		t.Errorf("the descriptor of the same work: serial %d after %d, disk %+v", after.Serial, before.Serial,
			after.Disk)
	}
	h.restart()
	a.powerOn()
	if d := a.descriptor(0); d == nil || d.Disk == nil || d.Disk.Serial != "one" {
		t.Errorf("after restarts: %+v", d)
	}
	choose(two, "one")
	v, err := h.e.Session(s.ID)
	if err != nil || v.Parts[0].Disk == nil || v.Parts[0].Disk.Serial != "one" {
		t.Errorf("shown: %+v, %v", v.Parts[0].Disk, err)
	}
	// A node that failed and tries again is still held to it; another session begins anew.
	a.say(s.ID, session.StepFailed+": no such disk")
	if _, err := h.e.ChooseDisk(t.Context(), a.id, &session.DiskChoice{V: 1, Session: s.ID, Disk: two}); err == nil {
		t.Error("a session that is over took a disk")
	}
	s = h.create(doc.Spec{Nodes: []string{a.mac}, Target: session.Target{Serial: "two"}})
	if d := a.descriptor(0); d.Session != s.ID || d.Disk != nil {
		t.Errorf("a new session: %+v", d)
	}
	choose(two, "two")
}

// Whoever speaks in a node's name cannot choose a disk that the node has not, or that the session's rule does not mean.
func TestClaimIsHeldToTheRule(t *testing.T) {
	small := session.Disk{Path: "/dev/sda", Size: 1 << 30, Serial: "S-A", BusPath: "pci-1"}
	large := session.Disk{Path: "/dev/sdb", Size: 2 << 30, Serial: "S-B", BusPath: "pci-2"}
	stick := session.Disk{Path: "/dev/sdc", Size: 1 << 20, Serial: "S-C", BusPath: "usb-1", Bus: session.BusUSB,
		Removable: true}
	for name, c := range map[string]struct {
		rule session.Target
		disk session.DiskID
		want string // of the error; empty: it is taken
	}{
		"its serial":                 {session.Target{Serial: "S-A"}, small.ID(), ""},
		"another's serial":           {session.Target{Serial: "S-A"}, large.ID(), "means /dev/sda"},
		"not the smallest":           {session.Target{Smallest: true}, large.ID(), "means /dev/sda"},
		"the stick for the smallest": {session.Target{Smallest: true}, stick.ID(), "means /dev/sda"},
		"a disk that is not there": {session.Target{Smallest: true}, session.DiskID{Size: 1 << 30, Serial: "S-X"},
			"is not among the disks"},
		"a size and nothing else": {session.Target{Smallest: true}, session.DiskID{Size: 1},
			"is not among the disks"},
		"a name, whoever has it now": {session.Target{Path: "/dev/sda"}, large.ID(), ""},
		"a name and a size":          {session.Target{Path: "/dev/sda", MaxSize: 1 << 30}, large.ID(), "larger than"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			a := h.machine(1)
			a.disks = []session.Disk{small, large, stick}
			a.powerOn()
			s := h.create(doc.Spec{Nodes: []string{a.mac}, Target: c.rule})
			got, err := h.e.ChooseDisk(t.Context(), a.id, &session.DiskChoice{V: 1, Session: s.ID, Disk: c.disk})
			v, verr := h.e.Session(s.ID)
			if verr != nil {
				t.Fatal(verr)
			}
			if c.want == "" {
				if err != nil || got != c.disk || v.Parts[0].Disk == nil {
					t.Errorf("%+v, %v", got, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || v.Parts[0].Disk != nil {
				t.Errorf("%v, want %q; kept: %+v", err, c.want, v.Parts[0].Disk)
			}
			if all := strings.Join(v.Warnings, " "); !strings.Contains(all, "refused") ||
				!strings.Contains(all, c.want) {
				t.Errorf("the operator hears nothing of it: %q", v.Warnings)
			}
		})
	}
}

func TestNodeWithoutDisk(t *testing.T) {
	h := newHouse(t)
	for name, c := range map[string]struct {
		disks []session.Disk
		want  string
	}{
		"none":    {nil, "no disk"},
		"a stick": {[]session.Disk{{Path: "/dev/sda", Size: 1, Removable: true}}, "driver may be missing"},
		"a USB disk": {[]session.Disk{{Path: "/dev/sda", Size: 1, Bus: session.BusUSB}},
			"only removable or USB disks"},
		"a disk": {[]session.Disk{{Path: "/dev/sda", Size: 1}}, ""},
		"a stick and disk": {[]session.Disk{{Path: "/dev/sda", Size: 1, Removable: true}, {Path: "/dev/vda", Size: 1}},
			""},
	} {
		hello := &session.Hello{V: 1, Boot: name, Agent: "1",
			Inventory: session.Inventory{NICs: []session.NIC{{MAC: "52:54:00:00:00:42", Boot: true}}, Disks: c.disks}}
		r, err := h.e.Hello(t.Context(), hello, netip.Addr{})
		if err != nil {
			t.Fatal(err)
		}
		n, err := h.e.Node(r.Node)
		if err != nil || (n.Problem == "") != (c.want == "") || !strings.Contains(n.Problem, c.want) {
			t.Errorf("%s: problem %q, %v", name, n.Problem, err)
		}
		// A disk that comes late is told with another hello of the same boot, and ends the problem.
		hello.Inventory.Disks = []session.Disk{{Path: "/dev/vda", Size: 1}}
		if _, err := h.e.Hello(t.Context(), hello, netip.Addr{}); err != nil {
			t.Fatal(err)
		}
		if n, err := h.e.Node(r.Node); err != nil || n.Problem != "" || len(n.Inventory.Disks) != 1 {
			t.Errorf("%s: after a disk came: %q, %+v, %v", name, n.Problem, n.Inventory.Disks, err)
		}
	}
}
