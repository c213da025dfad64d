package jobs_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/jobs"
	"github.com/diskcast/diskcast/server/jobs/restore"
)

// hall is a state machine without a shell: what it says is to be done is not looked at.
type hall struct {
	t   *testing.T
	st  *jobs.State
	now time.Time
}

func newHall(t *testing.T, casts int) *hall {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	h := &hall{t: t, st: jobs.New(jobs.Kinds{restore.Kind{}}, now), now: now}
	h.st.Bound(casts)
	return h
}

// create makes a session of the nodes with these numbers.
func (h *hall) create(id string, spec doc.Spec, nodes ...int) *jobs.Session {
	h.t.Helper()
	if spec.Image = "debian"; spec.GiveUp == 0 {
		spec.GiveUp = doc.DefaultGiveUp
	}
	s := &jobs.Session{Kind: restore.Kind{}, Parts: map[string]*doc.Part{}}
	for _, n := range nodes {
		spec.Nodes = append(spec.Nodes, nodeName(n))
	}
	s.ID, s.Spec, s.State, s.Created, s.Params = id, spec, doc.Waiting, h.now, &session.Cast{ID: 1}
	for _, n := range spec.Nodes {
		s.Add(&doc.Part{Session: id, Node: n, State: doc.Waiting})
	}
	h.st.Step(jobs.Created{Session: s}, h.now)
	return s
}

func (h *hall) come(n int) {
	h.st.Step(jobs.Seen{Node: nodeName(n), Facts: jobs.Facts{Here: true, Heard: h.now, Boot: "b"}}, h.now)
	h.st.Step(jobs.Ready{Node: nodeName(n)}, h.now)
}

func (h *hall) say(s *jobs.Session, n int, steps ...string) {
	if slices.Contains(steps, session.StepBoot) { // which a whole restore ends with
		steps = append([]string{session.StepPlan, session.StepWritten}, steps...)
	}
	for _, step := range steps {
		if step == session.StepPlan {
			h.st.Step(jobs.ChoseDisk{Node: nodeName(n), Disk: session.DiskID{Size: 1 << 30}}, h.now)
		}
		h.st.Step(jobs.Reported{Node: nodeName(n),
			Event: &session.Event{Session: s.ID, Step: step, Level: session.Info, Message: "word", Time: h.now}}, h.now)
	}
}

func (h *hall) pass(d time.Duration) {
	h.now = h.now.Add(d)
	h.st.Step(jobs.Tick{}, h.now)
}

func (h *hall) want(s *jobs.Session, state string) {
	h.t.Helper()
	if s.State != state {
		h.t.Errorf("session %s is %q (%s), want %q", s.ID, s.State, s.Reason, state)
	}
}

// TestTurns has three sessions of which one may cast at a time: the highest priority is next, then the oldest.
func TestTurns(t *testing.T) {
	h := newHall(t, 1)
	a, b, c := h.create("s1", doc.Spec{}, 1), h.create("s2", doc.Spec{}, 2), h.create("s3", doc.Spec{Priority: 1}, 3)
	for n := 1; n <= 3; n++ {
		h.come(n)
	}
	h.want(a, doc.Casting)
	h.want(b, doc.Waiting)
	h.want(c, doc.Waiting)
	for s, want := range map[*jobs.Session]int{b: 2, c: 1} {
		if place, casting := h.st.Turn(s, h.now); place != want || fmt.Sprint(casting) != "[s1]" {
			t.Errorf("session %s is at place %d behind %v, want %d behind s1", s.ID, place, casting, want)
		}
	}
	h.say(a, 1, session.StepBoot)
	h.pass(time.Second)
	h.want(a, doc.Done)
	h.want(c, doc.Casting)
	h.want(b, doc.Waiting)
	h.st.Step(jobs.Cancel{Session: "s3"}, h.now)
	h.pass(time.Second)
	h.want(b, doc.Casting)
}

// TestStartTime holds a session until its time, or the operator's word; the time to wait for nodes begins then.
func TestStartTime(t *testing.T) {
	h := newHall(t, 0)
	at := h.now.Add(time.Hour)
	a := h.create("s1", doc.Spec{At: at, MaxWait: 60}, 1)
	b := h.create("s2", doc.Spec{At: at}, 2)
	c := h.create("s3", doc.Spec{At: at, MaxWait: 60}, 3)
	h.come(1)
	h.come(2)
	h.pass(30 * time.Minute)
	h.want(a, doc.Waiting)
	h.st.Step(jobs.Go{Session: "s2"}, h.now)
	h.want(b, doc.Casting)
	h.pass(30*time.Minute + 30*time.Second)
	h.want(a, doc.Casting)
	h.want(c, doc.Waiting)
	h.pass(31 * time.Second)
	h.want(c, doc.Failed)
}

// TestGo starts a session with those who are there; the others are absent, and the session ends without them.
func TestGo(t *testing.T) {
	h := newHall(t, 0)
	s := h.create("s1", doc.Spec{MinNodes: 3}, 1, 2, 3)
	h.st.Step(jobs.Go{Session: "s1"}, h.now)
	h.want(s, doc.Waiting) // nobody is there
	h.come(1)
	h.want(s, doc.Waiting)
	h.st.Step(jobs.Go{Session: "s1"}, h.now)
	h.want(s, doc.Casting)
	h.pass(time.Second)
	if p := s.Parts[nodeName(2)]; p.State != doc.Absent || !strings.Contains(p.Reason, "operator") {
		t.Errorf("a node that was not there is %q: %s", p.State, p.Reason)
	}
	h.say(s, 1, session.StepBoot)
	h.pass(time.Second)
	h.want(s, doc.Failed)
	if want := "1 of 3 nodes have the image; 2 nodes ("; !strings.HasPrefix(s.Reason, want) {
		t.Errorf("reason %q does not begin with %q", s.Reason, want)
	}
}

// TestLoadingCounts has a session go on waiting for a machine that fetches its boot files when its time is over.
func TestLoadingCounts(t *testing.T) {
	h := newHall(t, 0)
	s, gone := h.create("s1", doc.Spec{MaxWait: 60}, 1), h.create("s2", doc.Spec{MaxWait: 60}, 2)
	h.now = h.now.Add(50 * time.Second)
	h.st.Step(jobs.Seen{Node: nodeName(1), Facts: jobs.Facts{Loading: true, Heard: h.now}}, h.now)
	h.pass(20 * time.Second)
	h.want(s, doc.Waiting)
	h.want(gone, doc.Failed)
	h.come(1)
	h.want(s, doc.Casting)

	h = newHall(t, 0) // one that restarts for ever is not waited for for ever
	s = h.create("s1", doc.Spec{MaxWait: 60}, 1)
	for range 20 {
		h.st.Step(jobs.Seen{Node: nodeName(1), Facts: jobs.Facts{Loading: true, Heard: h.now}}, h.now)
		h.pass(30 * time.Second)
	}
	h.want(s, doc.Failed)
}

// TestEdit changes what is not settled, and nothing else.
func TestEdit(t *testing.T) {
	h := newHall(t, 0)
	s := h.create("s1", doc.Spec{MinNodes: 2}, 1, 2)
	h.come(1)
	one, wait, rate, notes := 1, 60.0, int64(1e6), "for room 5"
	h.st.Step(jobs.Edited{Session: "s1", Change: doc.SessionChange{MinNodes: &one, Notes: &notes}}, h.now)
	h.want(s, doc.Casting)
	if s.Spec.Notes != notes {
		t.Errorf("notes are %q", s.Spec.Notes)
	}
	for _, c := range []doc.SessionChange{{MinNodes: &one}, {Rate: &rate}, {Priority: &one}, {At: &h.now}} {
		if s.MayEdit(&c) == nil {
			t.Errorf("%+v can be changed of a session that casts", c)
		}
	}
	if err := s.MayEdit(&doc.SessionChange{MaxWait: &wait, Notes: &notes}); err != nil {
		t.Error(err)
	}
	h.st.Step(jobs.Cancel{Session: "s1"}, h.now)
	if s.MayEdit(&doc.SessionChange{MaxWait: &wait}) == nil || s.MayEdit(&doc.SessionChange{Notes: &notes}) != nil {
		t.Error("a session that is over: max-wait, or no notes")
	}
}

// TestCancelSaysWhatIsOnTheDisk goes through a restore and cancels after each step.
func TestCancelSaysWhatIsOnTheDisk(t *testing.T) {
	steps := []string{session.StepPlan, session.StepTable, session.StepFirstByte, session.StepLastByte,
		session.StepWritten, session.StepEntry}
	for n, want := range []string{"not touched", "do not count on", "half-written", "half-written", "half-written",
		"no boot entry", "it starts"} {
		h := newHall(t, 0)
		s := h.create("s1", doc.Spec{}, 1, 2)
		h.come(1)
		h.say(s, 1, steps[:n]...)
		h.st.Step(jobs.Cancel{Session: "s1"}, h.now)
		if p := s.Parts[nodeName(1)]; p.State != doc.Cancelled || !strings.Contains(p.Left, want) {
			t.Errorf("cancelled after %v: %q, want %q", steps[:n], p.Left, want)
		}
		if p := s.Parts[nodeName(2)]; !strings.Contains(p.Left, "not touched") {
			t.Errorf("a node that never came: %q", p.Left)
		}
	}
}

// TestOneCause has nodes that fail for one cause, with other numbers each, told once.
func TestOneCause(t *testing.T) {
	h := newHall(t, 0)
	s := h.create("s1", doc.Spec{}, 1, 2, 3, 4)
	for n := 1; n <= 4; n++ {
		h.come(n)
		words := fmt.Sprintf("the disk has %d00 MB, which is too small", n)
		if n == 4 {
			words = "no disk"
		}
		h.st.Step(jobs.Reported{Node: nodeName(n), Event: &session.Event{Session: "s1", Step: session.StepFailed,
			Level: session.Error, Message: words, Time: h.now}}, h.now)
	}
	want := fmt.Sprintf("0 of 4 nodes have the image; 3 nodes (%s, %s, %s): the disk has 100 MB, which is too small; "+
		"%s: no disk", nodeName(1), nodeName(2), nodeName(3), nodeName(4))
	if s.Reason != want {
		t.Errorf("got  %s\nwant %s", s.Reason, want)
	}
}

// TestClockSetBack restarts a server whose clock was set back by days: max-wait and give-up take as long as they say.
func TestClockSetBack(t *testing.T) {
	h := newHall(t, 0)
	s := h.create("s1", doc.Spec{MaxWait: 60}, 1)
	working := h.create("s2", doc.Spec{GiveUp: 600}, 2)
	h.come(2)
	h.want(working, doc.Casting)
	part := *working.Parts[nodeName(2)]
	back := h.now.Add(-239 * time.Hour)
	st := jobs.New(jobs.Kinds{restore.Kind{}}, back)
	err := st.Load([]jobs.Record{s.Record, working.Record}, []*doc.Part{s.Parts[nodeName(1)], &part},
		map[string]jobs.Assignment{nodeName(2): {Session: "s2"}})
	if err != nil {
		t.Fatal(err)
	}
	st.Step(jobs.Resumed{}, back)
	for _, c := range []struct {
		after    time.Duration
		id, want string
	}{{59 * time.Second, "s1", doc.Waiting}, {61 * time.Second, "s1", doc.Failed},
		{599 * time.Second, "s2", doc.Casting}, {601 * time.Second, "s2", doc.Failed}} {
		st.Step(jobs.Tick{}, back.Add(c.after))
		if got := st.Session(c.id); got.State != c.want {
			t.Errorf("session %s is %q %v after the start, want %q: %s", c.id, got.State, c.after, c.want, got.Reason)
		}
	}
}

// TestSignOfLife asks for one: the part is done when it came, and failed when none does; the node is free meanwhile.
// Where the session asks for none, what is seen is shown and decides nothing.
func TestSignOfLife(t *testing.T) {
	h := newHall(t, 0)
	s := h.create("s1", doc.Spec{ExpectAlive: 300}, 1, 2)
	plain := h.create("s2", doc.Spec{}, 3)
	for n := 1; n <= 3; n++ {
		h.come(n)
	}
	h.st.Step(jobs.Lives{Node: nodeName(1), Sign: "too early"}, h.now)
	h.say(s, 1, session.StepEntry, session.StepBoot)
	h.say(s, 2, session.StepEntry, session.StepBoot)
	h.say(plain, 3, session.StepEntry, session.StepBoot)
	h.want(s, doc.Casting)
	h.want(plain, doc.Done)
	a, b := s.Parts[nodeName(1)], s.Parts[nodeName(2)]
	if a.State != doc.Starting || h.st.Node(nodeName(1)).Session != "" || !h.st.Node(nodeName(1)).Imaged {
		t.Errorf("the node that left is %q, and %+v", a.State, h.st.Node(nodeName(1)))
	}
	h.pass(time.Minute)
	for _, n := range []int{1, 1, 3} {
		h.st.Step(jobs.Lives{Node: nodeName(n), Sign: fmt.Sprint("sign ", h.now.Minute())}, h.now)
		h.pass(time.Minute)
	}
	if a.State != doc.Done || a.Life.Sign != "sign 1" || a.Life.Time.Sub(a.Life.Since) != time.Minute {
		t.Errorf("after a sign: %q, %+v", a.State, a.Life)
	}
	if p := plain.Parts[nodeName(3)]; p.State != doc.Done || p.Life.Sign != "sign 3" {
		t.Errorf("a part that is done anyway: %q, %+v", p.State, p.Life)
	}
	h.want(s, doc.Casting)
	h.pass(time.Minute)
	h.want(s, doc.Failed)
	if b.State != doc.Failed || !strings.Contains(b.Reason, "no sign of life within 5m0s") {
		t.Errorf("without a sign: %q: %s", b.State, b.Reason)
	}
	h.st.Step(jobs.Lives{Node: nodeName(2), Sign: "too late"}, h.now)
	if b.State != doc.Failed || b.Life.Sign != "" {
		t.Errorf("after its end: %q, %+v", b.State, b.Life)
	}
}

// TestClockSet sets the clock in the middle of a session: what waits waits as long as it said, and no step is told to
// have taken days or less than nothing.
func TestClockSet(t *testing.T) {
	for _, by := range []time.Duration{-239 * time.Hour, 700 * 24 * time.Hour} {
		h := newHall(t, 0)
		s := h.create("s1", doc.Spec{MaxWait: 60, MinNodes: 2}, 1, 2)
		h.come(1)
		h.pass(30 * time.Second)
		h.now = h.now.Add(by)
		h.st.Step(jobs.ClockSet{By: by}, h.now)
		h.pass(29 * time.Second)
		h.want(s, doc.Waiting)
		h.pass(2 * time.Second)
		h.want(s, doc.Casting)
		h.say(s, 1, session.StepPlan)
		h.now = h.now.Add(by)
		h.st.Step(jobs.ClockSet{By: by}, h.now)
		h.pass(10 * time.Second)
		h.say(s, 1, session.StepTable)
		p := s.Parts[nodeName(1)]
		if d := p.Steps[session.StepTable].Time.Sub(p.Steps[session.StepPlan].Time); d != 10*time.Second {
			t.Errorf("set by %v: a step of 10 s took %v", by, d)
		}
		if d := s.Started.Sub(s.Created); d < time.Minute || d > 2*time.Minute {
			t.Errorf("set by %v: the session waited for %v", by, d)
		}
	}
}
