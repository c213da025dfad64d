package engine_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/receipt"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/engine"
	"github.com/diskcast/diskcast/server/engine/enginetest"
)

// pair are two disks of a node.
var pair = []session.Disk{{Path: "/dev/sda", Size: 1 << 30, Serial: "A", BusPath: "ata-1"},
	{Path: "/dev/sdb", Size: 2 << 30, Serial: "B", BusPath: "ata-2"}}

// both is a spec for them.
func both(m *machine) doc.Spec {
	return doc.Spec{V: 1, Image: "debian", Nodes: []string{m.mac}, Verify: true, Target: session.Target{Smallest: true},
		MoreDisks: []doc.DiskImage{{Image: "ubuntu", Target: session.Target{Serial: "B"}}}}
}

// settles tells which disk the machine's plan chose.
func (m *machine) settles(id string, of int, d session.Disk) error {
	_, err := m.h.e.ChooseDisk(m.h.t.Context(), m.id, &session.DiskChoice{V: 1, Session: id, Disk: d.ID(), Of: of})
	return err
}

// of tells steps of one of the session's disks.
func (m *machine) of(disk int, id string, steps ...string) {
	m.h.t.Helper()
	var evs []session.Event
	for _, s := range steps {
		m.seq++
		evs = append(evs, session.Event{Seq: m.seq, Session: id, Step: s, Level: session.Info, Disk: disk,
			Since: float64(m.seq)})
	}
	if err := m.h.e.Events(m.h.t.Context(), m.id, &session.Events{V: 1, Boot: m.boot, Events: evs}); err != nil {
		m.h.t.Fatal(err)
	}
}

// TestSeveralDisks brings two images to two disks of a machine, over a restart of the server.
func TestSeveralDisks(t *testing.T) {
	h := newHouse(t)
	var papers []*receipt.Receipt
	h.sign = func(r *receipt.Receipt) (*receipt.Envelope, error) {
		papers = append(papers, r)
		return &receipt.Envelope{}, nil
	}
	h.restart()
	m := h.machine(1)
	m.disks = pair
	m.powerOn()
	s := h.create(both(m))
	if s.Spec.Kind != session.RestoreDisks || len(s.MoreDisks) != 1 || s.MoreDisks[0].Image.Name != "ubuntu" ||
		s.MoreDisks[0].Cast.Group == s.Cast.Group || s.MoreDisks[0].Cast.Feedback == s.Cast.Feedback {
		t.Errorf("the session is %+v", s)
	}
	d := m.descriptor(0)
	if d.Action != session.RestoreDisks || d.Validate() != nil || d.Image.Name != "debian" || !d.Verify ||
		d.OfDisk(1).Image.Name != "ubuntu" || d.OfDisk(1).Target.Serial != "B" || d.OfDisk(1).Cast == nil {
		t.Fatalf("the node is told %+v, %v", d, d.Validate())
	}
	casts := func() {
		t.Helper()
		if err := h.casts.Wait(t.Context(), func(run map[uint32]session.Cast) bool {
			return len(run) == 2 && run[d.Cast.ID].Group == d.Cast.Group && run[d.OfDisk(1).Cast.ID].ID != 0
		}); err != nil {
			t.Fatal(err)
		}
	}
	casts()
	for _, im := range []string{"debian", "ubuntu"} {
		if uses := h.e.Uses(enginetest.Digest(im, "manifest")); len(uses) != 1 ||
			!h.e.MayRead(m.id, enginetest.Digest(im, "index")) || h.images.Open(im) == 0 {
			t.Errorf("%s is used by %v, may be read: %v, is held: %d", im, uses,
				h.e.MayRead(m.id, enginetest.Digest(im, "index")), h.images.Open(im))
		}
	}
	if err := m.settles(s.ID, 1, pair[0]); !errors.Is(err, engine.ErrSpec) {
		t.Errorf("a disk that the second rule does not mean: %v", err)
	}
	if err := m.settles(s.ID, 2, pair[1]); !errors.Is(err, engine.ErrSpec) {
		t.Errorf("a third disk: %v", err)
	}
	for i := range pair {
		if err := m.settles(s.ID, i, pair[i]); err != nil {
			t.Fatal(err)
		}
	}
	first := []string{session.StepPlan, session.StepTable, session.StepFirstByte, session.StepWritten,
		session.StepVerified}
	m.of(0, s.ID, first...)
	h.restart()
	casts()
	again := m.descriptor(0)
	if again.Disk.Serial != "A" || again.OfDisk(1).Disk.Serial != "B" || again.Serial != d.Serial {
		t.Errorf("after a restart the node is told %+v", again)
	}
	m.of(1, s.ID, first...)
	m.of(0, s.ID, session.StepEntry, session.StepBoot)
	h.expect(s.ID, "done done")
	if len(papers) != 1 {
		t.Fatalf("%d receipts", len(papers))
	}
	var details struct {
		Disks []struct {
			Disk              receipt.Disk
			Image             string
			Written, Verified bool
		}
	}
	if err := json.Unmarshal(papers[0].Details, &details); err != nil {
		t.Fatal(err)
	}
	if x := details.Disks; len(x) != 2 || x[0].Disk.Serial != "A" || x[1].Disk.Serial != "B" ||
		x[1].Image != "ubuntu" ||
		!x[0].Verified || !x[1].Verified || papers[0].Disk.Serial != "A" {
		t.Errorf("the receipt has %s", papers[0].Details)
	}
	h.crash() // which waits for the casts
	if h.images.Open("ubuntu") != 0 {
		t.Error("the second image is still held")
	}
}

// TestSeveralDisksDoneByHalf has a node that tells its end without all of the second disk.
func TestSeveralDisksDoneByHalf(t *testing.T) {
	for step, want := range map[string]string{session.StepPlan: "2/plan", session.StepWritten: "2/written",
		session.StepVerified: "2/verified"} {
		h := newHouse(t)
		m := h.machine(1)
		m.disks = pair
		m.powerOn()
		s := h.create(both(m))
		for i := range pair {
			if err := m.settles(s.ID, i, pair[i]); err != nil {
				t.Fatal(err)
			}
			for _, x := range []string{session.StepPlan, session.StepWritten, session.StepVerified} {
				if i == 0 || x != step {
					m.of(i, s.ID, x)
				}
			}
		}
		m.of(0, s.ID, session.StepEntry, session.StepBoot)
		got, err := h.e.Session(s.ID)
		if err != nil {
			t.Fatal(err)
		}
		p := got.Parts[0]
		if p.State != doc.Failed || !strings.Contains(p.Reason, want) || !strings.Contains(p.Left,
			"disk 2 (serial B)") {
			t.Errorf("without %s the part is %s: %s; left: %s", want, p.State, p.Reason, p.Left)
		}
	}
}

// TestNoSuchDisk has a node that tells of a disk which the session does not have.
func TestNoSuchDisk(t *testing.T) {
	h := newHouse(t)
	m := h.machine(1)
	m.powerOn()
	s := h.create(doc.Spec{Nodes: []string{m.mac}})
	m.of(1, s.ID, session.StepWritten)
	h.expect(s.ID, "failed failed")
}

func TestPlanOfSeveralDisks(t *testing.T) {
	h := newHouse(t)
	m := h.machine(1)
	m.disks = pair
	m.powerOn()
	plan := func(change func(*doc.Spec)) *doc.Plan {
		t.Helper()
		spec := both(m)
		change(&spec)
		p, err := h.e.Plan(t.Context(), spec)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := plan(func(*doc.Spec) {})
	x := p.Machines[0]
	if x.Verdict != doc.PlanGoes || x.Disk.Serial != "A" || len(x.MoreDisks) != 1 ||
		x.MoreDisks[0].Disk.Serial != "B" ||
		x.MoreDisks[0].Bytes != 1000 || p.MoreDisks[0].Image.Name != "ubuntu" || p.MoreDisks[0].Rule != "serial B" {
		t.Errorf("the plan is %+v", p)
	}
	for want, change := range map[string]func(*doc.Spec){
		"rules for disk 1 and disk 2 both mean /dev/sda": func(s *doc.Spec) { s.MoreDisks[0].Target.Serial = "A" },
		"disk 2: no disk fits the rule (serial C)":       func(s *doc.Spec) { s.MoreDisks[0].Target.Serial = "C" },
		"image big cannot go to /dev/sda": func(s *doc.Spec) {
			s.Image, s.MoreDisks[0].Image = "ubuntu", "big"
			s.Target, s.MoreDisks[0].Target = session.Target{Serial: "B"}, session.Target{Smallest: true}
		},
	} {
		x := plan(change).Machines[0]
		if x.Verdict != doc.PlanRefused || !strings.Contains(strings.Join(x.Refused, "\n"), want) {
			t.Errorf("%s %q, want %q", x.Verdict, x.Refused, want)
		}
	}
	if p := plan(func(s *doc.Spec) { s.MoreDisks[0].Image = "none" }); !p.Hopeless() ||
		!strings.Contains(p.Refused[0], "disk 2: ") {
		t.Errorf("an image that is not there: %+v", p)
	}
}

// TestSeveralDisksRefused has specs of which no session is made.
func TestSeveralDisksRefused(t *testing.T) {
	h := newHouse(t)
	m := h.machine(1)
	for want, change := range map[string]func(*doc.Spec){
		"disk 1 and disk 2 have the same rule": func(s *doc.Spec) { s.MoreDisks[0].Target = s.Target },
		"disk 2 has no image":                  func(s *doc.Spec) { s.MoreDisks[0].Image = "" },
		"of the other kind":                    func(s *doc.Spec) { s.MoreDisks[0].Image = "slice" },
		"16 disks of a machine at most":        func(s *doc.Spec) { s.MoreDisks = make([]doc.DiskImage, 16) },
		"size class 2-1 is empty": func(s *doc.Spec) {
			s.MoreDisks[0].Target = session.Target{MinSize: 2, MaxSize: 1}
		},
		"only a session that restores whole disks has more_disks": func(s *doc.Spec) {
			s.Kind, s.Job = session.RestorePartition, json.RawMessage(`{"v":1,"number":2}`)
		},
		"has more_disks; without": func(s *doc.Spec) { s.Kind, s.MoreDisks = session.RestoreDisks, nil },
	} {
		spec := both(m)
		change(&spec)
		if _, err := h.e.Create(t.Context(), spec); !errors.Is(err, engine.ErrSpec) ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
