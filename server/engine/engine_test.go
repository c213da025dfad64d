package engine_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/engine"
	"github.com/diskcast/diskcast/server/engine/enginetest"
)

func TestStraightLine(t *testing.T) {
	h := newHouse(t)
	s := h.create(doc.Spec{Count: 2, MinNodes: 2})
	a, b := h.machine(1), h.machine(2)
	a.powerOn()
	h.expect(s.ID, "waiting waiting")
	if got := a.descriptor(0); got == nil || got.Action != session.Idle || !strings.Contains(got.Why, "session "+s.ID+
		" to start") {
		t.Errorf("before the session starts: %+v", got)
	}
	b.powerOn()
	h.expect(s.ID, "casting offered offered")
	da, db := a.descriptor(0), b.descriptor(0)
	if da.Cast == nil || da.Cast.ID != db.Cast.ID || da.Node == db.Node || da.Image.Name != "debian" ||
		da.Boot.Method != session.BootKexec {
		t.Errorf("descriptors: %+v, %+v", da, db)
	}
	if err := h.casts.Wait(t.Context(), running(1)); err != nil {
		t.Fatal(err)
	}
	a.say(s.ID, goodRestore...)
	h.expect(s.ID, "casting done offered")
	if got := a.told(); got != "idle" {
		t.Errorf("after the restore: %s", got)
	}
	b.say(s.ID, goodRestore...)
	h.expect(s.ID, "done done done")
	if err := h.casts.Wait(t.Context(), running(0)); err != nil {
		t.Fatal(err)
	}
	v, err := h.e.Session(s.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []string{doc.StepDHCP, doc.StepKernel, session.StepAgent, session.StepFirstByte,
		session.StepLastByte, session.StepBoot} {
		if v.Parts[0].Steps[step].Time.IsZero() {
			t.Errorf("timeline lacks %s: %v", step, v.Parts[0].Steps)
		}
	}
	if v.Parts[0].Progress == nil || v.Parts[0].Progress.Received != 500 {
		t.Errorf("progress: %+v", v.Parts[0].Progress)
	}

	// Switched on again, a finished machine boots its disk; for a new session it is the agent's again.
	if a.powerOn() {
		t.Error("a finished machine was sent to the agent")
	}
	next := h.create(doc.Spec{Nodes: []string{a.mac}, Image: "ubuntu"})
	if !a.powerOn() || a.told() != "restore "+next.ID {
		t.Errorf("in the next session: %s", a.told())
	}
	if h.machine(9).powerOn() != true {
		t.Error("an unknown machine was not sent to the agent")
	}
}

func running(n int) func(map[uint32]session.Cast) bool {
	return func(m map[uint32]session.Cast) bool { return len(m) == n }
}

func TestRestartGoesOn(t *testing.T) {
	h := newHouse(t)
	s := h.create(doc.Spec{All: true, MinNodes: 2})
	a, b := h.machine(1), h.machine(2)
	a.powerOn()
	h.restart()
	h.expect(s.ID, "waiting waiting")
	b.powerOn()
	before := a.descriptor(0)
	a.say(s.ID, session.StepPlan, session.StepFirstByte)
	h.restart()
	h.expect(s.ID, "casting running offered")
	if err := h.casts.Wait(t.Context(), running(1)); err != nil {
		t.Fatal(err)
	}
	after := a.descriptor(0)
	if before.Serial != after.Serial || !sameCast(before.Cast, after.Cast) ||
		!sameCast(&h.casts.Started()[0], before.Cast) {
		t.Errorf("descriptor before %+v and after %+v", before, after)
	}
	// The node's token and its numbers of events hold; what was told twice counts once.
	if id, err := h.e.Authorize(a.token); err != nil || id != a.id {
		t.Errorf("token after a restart: %s, %v", id, err)
	}
	a.seq = 0
	a.say(s.ID, session.StepFailed+": told before, as plan", session.StepFailed)
	h.expect(s.ID, "casting running offered")
	a.say(s.ID, goodRestore...)
	b.say(s.ID, goodRestore...)
	h.restart()
	h.expect(s.ID, "done done done")
	if a.powerOn() {
		t.Error("a finished machine was sent to the agent after a restart")
	}
	if got := len(h.casts.Started()); got != 0 {
		t.Errorf("%d casts of a session that is over", got)
	}
}

func sameCast(a, b *session.Cast) bool {
	return a.ID == b.ID && a.Group == b.Group && a.Feedback == b.Feedback && string(a.Key) == string(b.Key)
}

// TestGroupsStayApart has a restart between two sessions, after which the groups are counted from the first again.
func TestGroupsStayApart(t *testing.T) {
	h := newHouse(t)
	one := h.create(doc.Spec{Count: 1})
	h.restart()
	two := h.create(doc.Spec{Count: 1})
	if one.Cast.Group == two.Cast.Group || one.Cast.Feedback == two.Cast.Feedback {
		t.Errorf("%+v, %+v", one.Cast, two.Cast)
	}
}

// TestPortIsTaken has another program take the feedback port while the server is away.
func TestPortIsTaken(t *testing.T) {
	h := newHouse(t)
	s := h.create(doc.Spec{Count: 1})
	a := h.machine(1)
	a.powerOn()
	before := a.descriptor(0)
	h.crash()
	h.start(func(c *enginetest.Casts) {
		c.Broken = func(p session.Cast) error {
			if p.Feedback == before.Cast.Feedback {
				return fmt.Errorf("listen: %w", syscall.EADDRINUSE)
			}
			return nil
		}
	})
	if err := h.casts.Wait(t.Context(), running(1)); err != nil {
		t.Fatal(err)
	}
	after := a.descriptor(before.Serial)
	if after == nil || after.Session != s.ID || after.Cast.Feedback == before.Cast.Feedback ||
		after.Cast.Group != before.Cast.Group || string(after.Cast.Key) != string(before.Cast.Key) {
		t.Errorf("descriptor after: %+v", after)
	}
}

func TestServersAddressChanges(t *testing.T) {
	h := newHouse(t)
	s := h.create(doc.Spec{Count: 1})
	a := h.machine(1)
	a.powerOn()
	before := a.descriptor(0)
	h.addr = netip.MustParseAddr("127.0.0.2")
	h.restart()
	after := a.descriptor(before.Serial)
	if after == nil || after.Cast.Feedback.Addr() != h.addr || after.Cast.Group != before.Cast.Group ||
		after.Session != s.ID {
		t.Errorf("descriptor after: %+v", after)
	}
}

func TestRebootInTheMiddle(t *testing.T) {
	h := newHouse(t)
	s := h.create(doc.Spec{Count: 2})
	a, b := h.machine(1), h.machine(2)
	a.powerOn()
	old, oldToken := a.descriptor(0), a.token
	a.say(s.ID, session.StepPlan, session.StepTable, session.StepFirstByte, session.StepProgress)
	if !a.powerOn() {
		t.Fatal("a machine whose plug was pulled was sent to its disk")
	}
	if d := a.descriptor(0); d.Serial != old.Serial || d.Session != s.ID {
		t.Errorf("after the reboot: %+v", d)
	}
	if _, err := h.e.Authorize(oldToken); err == nil {
		t.Error("the token of the boot before still holds")
	}
	b.powerOn() // late: gets its descriptor at once
	if b.told() != "restore "+s.ID {
		t.Errorf("late node: %s", b.told())
	}
	a.say(s.ID, goodRestore...)
	b.say(s.ID, goodRestore[:len(goodRestore)-2]...)
	if !b.powerOn() || b.told() != "restore "+s.ID {
		t.Error("a machine whose file system may not have been grown was sent to its disk")
	}
	b.say(s.ID, goodRestore[:len(goodRestore)-1]...) // the last event is lost with the machine's reboot
	h.expect(s.ID, "casting done running")
	if b.powerOn() {
		t.Error("a machine that has written everything was sent to the agent")
	}
	h.expect(s.ID, "done done done")
	v, _ := h.e.Session(s.ID)
	if v.Parts[0].Boots != 2 || v.Parts[1].Boots != 2 {
		t.Errorf("boots: %d, %d", v.Parts[0].Boots, v.Parts[1].Boots)
	}
}

func TestWaiting(t *testing.T) {
	t.Run("max-wait starts with those who came", func(t *testing.T) {
		h := newHouse(t)
		s := h.create(doc.Spec{All: true, MinNodes: 3, MaxWait: 60})
		h.machine(1).powerOn()
		h.pass(59 * time.Second)
		h.expect(s.ID, "waiting waiting")
		h.pass(time.Second)
		h.expect(s.ID, "casting offered")
	})
	t.Run("nobody came", func(t *testing.T) {
		h := newHouse(t)
		s := h.create(doc.Spec{Count: 3, MaxWait: 60})
		h.pass(time.Minute)
		h.expect(s.ID, "failed")
		if v, _ := h.e.Session(s.ID); !strings.Contains(v.Reason, "node list") {
			t.Errorf("reason: %s", v.Reason)
		}
	})
	t.Run("a named node stays away", func(t *testing.T) {
		h := newHouse(t)
		a, b := h.machine(1), h.machine(2)
		s := h.create(doc.Spec{Nodes: []string{a.mac, b.mac}, MaxWait: 60})
		a.powerOn()
		h.pass(time.Minute)
		h.expect(s.ID, "casting offered absent")
		a.say(s.ID, goodRestore...)
		h.expect(s.ID, "failed done absent")
	})
	t.Run("a named node comes late", func(t *testing.T) {
		h := newHouse(t)
		a, b := h.machine(1), h.machine(2)
		s := h.create(doc.Spec{Nodes: []string{a.mac, b.mac}, MaxWait: 60})
		a.powerOn()
		h.pass(time.Minute)
		b.powerOn()
		h.expect(s.ID, "casting offered offered")
		a.say(s.ID, goodRestore...)
		b.say(s.ID, goodRestore...)
		h.expect(s.ID, "done done done")
	})
	t.Run("present nodes are taken at once", func(t *testing.T) {
		h := newHouse(t)
		a := h.machine(1)
		a.powerOn()
		s := h.create(doc.Spec{All: true})
		h.expect(s.ID, "casting offered")
	})
}

func TestSilentNodeIsGivenUp(t *testing.T) {
	h := newHouse(t)
	s := h.create(doc.Spec{Count: 1, GiveUp: 600})
	a := h.machine(1)
	a.powerOn()
	a.say(s.ID, session.StepPlan)
	h.pass(5 * time.Minute)
	a.say(s.ID, session.StepProgress)
	h.pass(9 * time.Minute)
	h.expect(s.ID, "casting running")
	h.restart() // the time that the server was away does not count
	h.pass(9 * time.Minute)
	h.expect(s.ID, "casting running")
	h.pass(2 * time.Minute)
	h.expect(s.ID, "failed failed")
	if v, _ := h.e.Session(s.ID); !strings.Contains(v.Reason, "silent for 10m") {
		t.Errorf("reason: %s", v.Reason)
	}
}

func TestFailure(t *testing.T) {
	h := newHouse(t)
	s := h.create(doc.Spec{Count: 2})
	a, b := h.machine(1), h.machine(2)
	a.powerOn()
	b.powerOn()
	a.say(s.ID, session.StepPlan, session.StepFailed+": disk too small by 12 bytes")
	h.expect(s.ID, "casting failed offered")
	if a.told() != "idle" {
		t.Errorf("failed node: %s", a.told())
	}
	// Restarted by the operator, it tries again.
	if !a.powerOn() || a.told() != "restore "+s.ID {
		t.Errorf("after a restart: %s", a.told())
	}
	a.say(s.ID, session.StepFailed+": disk too small by 12 bytes")
	b.say(s.ID, goodRestore...)
	h.expect(s.ID, "failed failed done")
	v, _ := h.e.Session(s.ID)
	if !strings.Contains(v.Reason, "1 of 2 nodes") || !strings.Contains(v.Reason, "too small by 12 bytes") {
		t.Errorf("reason: %s", v.Reason)
	}
	if !a.powerOn() {
		t.Error("a failed machine was sent to its disk")
	}
}

func TestDamageFailsItsSessionsOnly(t *testing.T) {
	h := newHouse(t)
	bad := h.create(doc.Spec{Count: 1})
	other := h.create(doc.Spec{Count: 1, Image: "ubuntu"})
	a, b := h.machine(1), h.machine(2)
	a.powerOn()
	b.powerOn()
	a.refuse(bad.ID, new(7), "image debian: a chunk is damaged")
	sub, err := h.e.Watch(bad.ID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.images.Checks(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	h.expect(bad.ID, "casting offered") // the server's copy is whole: the node is wrong
	h.images.Damage("debian", errors.New("image debian: chunk 8 at offset 4096 is damaged"))
	// One that the node cannot name, which is never a number below 0: the whole image is looked at.
	a.refuse(bad.ID, new(-5), "image debian: it is damaged")
	waitOver(t, sub)
	h.expect(bad.ID, "failed failed")
	h.expect(other.ID, "casting offered")
	v, _ := h.e.Session(bad.ID)
	if !strings.Contains(v.Reason, "chunk 8 at offset 4096") || !strings.Contains(v.Reason, "image verify debian") {
		t.Errorf("reason: %s", v.Reason)
	}
	if a.told() != "idle" || b.told() != "restore "+other.ID {
		t.Errorf("told: %s, %s", a.told(), b.told())
	}
	want := []string{enginetest.Digest("debian", "manifest") + " 7", enginetest.Digest("debian", "manifest") + " -1"}
	if got, _ := h.images.Checks(t.Context(), 2); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("checks: %v", got)
	}
}

func waitOver(t *testing.T, sub *engine.Sub) []doc.Line {
	t.Helper()
	var all []doc.Line
	for {
		lines, last, err := sub.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, lines...)
		if last {
			return all
		}
	}
}

func TestSessionsAtOnce(t *testing.T) {
	h := newHouse(t)
	a, b := h.machine(1), h.machine(2)
	one := h.create(doc.Spec{All: true})
	two := h.create(doc.Spec{Nodes: []string{b.mac}, Image: "ubuntu"})
	a.powerOn()
	b.powerOn() // a session that names it comes before one that takes all
	if a.told() != "restore "+one.ID || b.told() != "restore "+two.ID {
		t.Errorf("told: %s, %s", a.told(), b.told())
	}
	ca, cb := a.descriptor(0).Cast, b.descriptor(0).Cast
	if ca.Group.Addr() == cb.Group.Addr() || ca.Group.Port() == cb.Group.Port() || string(ca.Key) == string(cb.Key) ||
		ca.Feedback == cb.Feedback {
		t.Errorf("casts share something: %+v, %+v", ca, cb)
	}
	if _, err := h.e.Cancel(t.Context(), one.ID); err != nil {
		t.Fatal(err)
	}
	h.expect(one.ID, "cancelled cancelled")
	h.expect(two.ID, "casting offered")
	if a.told() != "idle" {
		t.Errorf("told: %s", a.told())
	}
}

func TestRefused(t *testing.T) {
	h := newHouse(t)
	for name, spec := range map[string]doc.Spec{
		"no image":         {V: 1, All: true},
		"unknown image":    {V: 1, Image: "nothing", All: true},
		"no nodes":         {V: 1, Image: "debian"},
		"two selections":   {V: 1, Image: "debian", All: true, Count: 1},
		"nonsense node":    {V: 1, Image: "debian", Nodes: []string{"x"}},
		"node named twice": {V: 1, Image: "debian", Nodes: []string{"52:54:00:00:00:01", "52-54-00-00-00-01"}},
		"min-nodes":        {V: 1, Image: "debian", Count: 2, MinNodes: 3},
		"version":          {V: 2, Image: "debian", All: true},
		"mode":             {V: 1, Image: "debian", All: true, Mode: "quick"},
		"boot":             {V: 1, Image: "debian", All: true, Boot: &session.Boot{Method: "fly"}},
		"disk":             {V: 1, Image: "debian", All: true, Target: session.Target{Path: "sda"}},
		"wait":             {V: 1, Image: "debian", All: true, MaxWait: -1},
		"rate":             {V: 1, Image: "debian", All: true, Rate: 5},
	} {
		if _, err := h.e.Create(t.Context(), spec); !errors.Is(err, engine.ErrSpec) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := h.e.Session("s1"); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("a refused session is there: %v", err)
	}
}

func TestEmptyImageNeedsNoCast(t *testing.T) {
	h := newHouse(t)
	s := h.create(doc.Spec{Count: 1, Image: "empty"})
	a := h.machine(1)
	a.powerOn()
	if d := a.descriptor(0); d.Cast != nil || d.Action != session.Restore {
		t.Errorf("descriptor: %+v", d)
	}
	a.say(s.ID, goodRestore...)
	h.expect(s.ID, "done done")
}

func TestHistoryIsBounded(t *testing.T) {
	h := newHouse(t)
	open := h.create(doc.Spec{Count: 1, Image: "empty"})
	for range 250 {
		s := h.create(doc.Spec{Nodes: []string{"52:54:00:00:00:01"}, Image: "empty"})
		if _, err := h.e.Cancel(t.Context(), s.ID); err != nil {
			t.Fatal(err)
		}
	}
	h.restart()
	list := h.e.Sessions()
	if len(list) != 201 || list[0].ID != open.ID || list[200].ID != "s251" {
		t.Errorf("%d sessions from %s to %s", len(list), list[0].ID, list[len(list)-1].ID)
	}
	if s := h.create(doc.Spec{Count: 1, Image: "empty"}); s.ID != "s252" {
		t.Errorf("next session is %s", s.ID)
	}
}
