package erase_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/erasure"
	"github.com/diskcast/diskcast/internal/receipt"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/jobs"
	"github.com/diskcast/diskcast/server/jobs/erase"
	"github.com/diskcast/diskcast/server/jobs/kinds"
)

const node = "52-54-00-00-00-01"

func spec() doc.Spec {
	return doc.Spec{V: 1, Kind: "erase", Nodes: []string{"52:54:00:00:00:01"},
		Job: json.RawMessage(`{"method":"overwrite"}`)}
}

func TestCheck(t *testing.T) {
	for want, change := range map[string]func(*doc.Spec){
		"":                        func(*doc.Spec) {},
		"has no image":            func(s *doc.Spec) { s.Image = "debian" },
		"are of a restore":        func(s *doc.Spec) { s.Verify = true },
		"are of a capture":        func(s *doc.Spec) { s.DropGaps = true },
		"by its order":            func(s *doc.Spec) { s.Target.Largest = true },
		"nothing to start":        func(s *doc.Spec) { s.Boot = &session.Boot{Method: session.BootKexec} },
		"is none of":              func(s *doc.Spec) { s.Job = json.RawMessage(`{"method":"hammer"}`) },
		"cannot be read":          func(s *doc.Spec) { s.Job = nil },
		"unknown field \"metod\"": func(s *doc.Spec) { s.Job = json.RawMessage(`{"metod":"zero"}`) },
	} {
		s := spec()
		change(&s)
		_, err := kinds.All().Check(&s)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	s := spec()
	if _, err := kinds.All().Check(&s); err != nil || s.Boot.Method != session.BootStay ||
		!strings.Contains(string(s.Job), `"read_back":"sample"`) {
		t.Errorf("what was left out is not filled in: %v %s", err, s.Job)
	}
}

// lab is one session and one node that was told to erase.
type lab struct {
	t   *testing.T
	st  *jobs.State
	now time.Time
}

func newLab(t *testing.T) *lab {
	l := &lab{t: t, now: time.Date(2026, 11, 28, 10, 0, 0, 0, time.UTC)}
	l.st = jobs.New(kinds.All(), l.now.Add(-time.Hour))
	s := spec()
	kind, err := kinds.All().Check(&s)
	if err != nil {
		t.Fatal(err)
	}
	l.st.Step(jobs.Seen{Node: node, Facts: jobs.Facts{Here: true, Boot: "b1", Heard: l.now}}, l.now)
	one := &jobs.Session{Kind: kind, Parts: map[string]*doc.Part{}}
	one.Session = doc.Session{ID: "s1", Spec: s, State: doc.Waiting, Created: l.now}
	one.Add(&doc.Part{Session: "s1", Node: node, State: doc.Waiting})
	l.st.Step(jobs.Created{Session: one}, l.now)
	l.st.Step(jobs.Ready{Node: node}, l.now)
	if !l.st.Told(node) {
		t.Fatalf("the node has no part: %+v", l.st.Session("s1"))
	}
	if d := l.st.Descriptor(node); d.Action != "erase" || !strings.Contains(string(d.Job), `"overwrite"`) {
		t.Fatalf("the node is told %+v", d)
	}
	l.st.Step(jobs.ChoseDisk{Node: node, Disk: session.DiskID{Path: "/dev/sda", Model: "QEMU", Serial: "S1",
		WWN: "naa.5000", Size: 1 << 30}}, l.now)
	return l
}

// report has the node report a step, and returns the receipts that come of it.
func (l *lab) report(step, level, message string, res *erasure.Result) (out []*receipt.Receipt) {
	l.now = l.now.Add(time.Minute)
	ev := &session.Event{Step: step, Level: level, Message: message, Session: "s1", Time: l.now}
	if res != nil {
		b, err := json.Marshal(res)
		if err != nil {
			l.t.Fatal(err)
		}
		ev.Result = b
	}
	for _, x := range l.st.Step(jobs.Reported{Node: node, Event: ev}, l.now) {
		if a, ok := x.(jobs.Account); ok {
			out = append(out, a.Receipt)
		}
	}
	return out
}

func good() *erasure.Result {
	return &erasure.Result{V: 1, OK: true, Method: "overwrite", Term: erasure.Clear, Reason: "all was overwritten",
		Passes: 1,
		Disk:   erasure.Disk{Path: "/dev/sda", Model: "QEMU", Serial: "S1", Size: 1 << 30},
		ReadBack: erasure.ReadBack{Scope: erasure.ReadSample, Bytes: 1 << 27, Blocks: 1 << 15, Wanted: 1 << 15,
			FirstBad: -1},
		Unreached: []erasure.Area{{Kind: erasure.AreaReserve, Words: "replaced sectors"}}}
}

// few is what was read back of so many blocks.
func few(blocks int64) erasure.ReadBack {
	return erasure.ReadBack{Scope: erasure.ReadSample, Bytes: blocks << 12, Blocks: blocks, Wanted: blocks,
		FirstBad: -1}
}

// sign is what a server adds and checks.
func sign(t *testing.T, r *receipt.Receipt) {
	t.Helper()
	r.Server.Name = "lab"
	if err := r.Check(); err != nil {
		t.Errorf("it would not be signed: %v", err)
	}
}

func TestErased(t *testing.T) {
	l := newLab(t)
	if r := l.report(session.StepPlan, session.Info, "plan", nil); len(r) != 0 {
		t.Fatal("a receipt of a plan")
	}
	rs := l.report(erasure.StepErased, session.Info, "erased", good())
	if s := l.st.Session("s1"); s.State != doc.Done || s.Parts[node].State != doc.Done {
		t.Fatalf("%s: %s", s.State, s.Reason)
	}
	if len(rs) != 1 {
		t.Fatalf("%d receipts", len(rs))
	}
	sign(t, rs[0])
	if r := rs[0]; r.Result != receipt.Done || r.Term != receipt.Clear || r.Disk.Serial != "S1" ||
		r.Method != "overwrite" || r.ID != "s1/"+node+"/1" ||
		!strings.Contains(r.Verified, "a sample") || len(r.Left) != 1 || r.Ended.Sub(r.Started) != time.Minute {
		t.Errorf("%+v", r)
	}
}

// TestNotErased: whatever is odd in the node's word, its part fails, and what there is to tell is in the receipt.
func TestNotErased(t *testing.T) {
	for want, change := range map[string]func(*erasure.Result){
		"still there": func(r *erasure.Result) {
			r.OK, r.Failure, r.Term, r.Reason = false, "old bytes are still there", "", ""
		},
		"cannot be read":                     func(r *erasure.Result) { r.V = 2 },
		"of NIST":                            func(r *erasure.Result) { r.Term = "destroy" },
		"does not say why":                   func(r *erasure.Result) { r.OK = false },
		"no size":                            func(r *erasure.Result) { r.Disk.Size = 0 },
		"asked for":                          func(r *erasure.Result) { r.Method = "discard" },
		"plan was for":                       func(r *erasure.Result) { r.Disk.Serial = "S2" },
		"says that it erased /dev/sda (LIE)": func(r *erasure.Result) { r.Disk.Model = "LIE" },
		"erased /dev/sdz":                    func(r *erasure.Result) { r.Disk.Path = "/dev/sdz" },
		"WWN naa.666":                        func(r *erasure.Result) { r.Disk.WWN = "naa.666" },
		"serial unknown":                     func(r *erasure.Result) { r.Disk = erasure.Disk{Size: r.Disk.Size} },
		"of 4096 bytes":                      func(r *erasure.Result) { r.Disk.Size = 4096; r.ReadBack = few(1) },
		"STILL HOLD": func(r *erasure.Result) {
			r.ReadBack.Kept, r.ReadBack.Wanted = 256, r.ReadBack.Wanted-256
		},
		"NOT WHAT WAS WRITTEN": func(r *erasure.Result) {
			r.ReadBack.Wrong, r.ReadBack.Wanted = 1,
				r.ReadBack.Wanted-1
		},
		"read back \"none\"": func(r *erasure.Result) {
			r.ReadBack = erasure.ReadBack{Scope: "none",
				FirstBad: -1}
		},
		"read back \"\"":         func(r *erasure.Result) { r.ReadBack = erasure.ReadBack{} },
		"65536000 bytes of this": func(r *erasure.Result) { r.ReadBack = few(256) },
		"tells of 0":             func(r *erasure.Result) { r.ReadBack.Wanted = 0 },
		"of which 0 are what": func(r *erasure.Result) {
			r.ReadBack.Zeros, r.ReadBack.Wanted = r.ReadBack.Wanted,
				0
		},
		"counts -1":           func(r *erasure.Result) { r.ReadBack.Bytes = -1 },
		"it is clear at most": func(r *erasure.Result) { r.Term = erasure.Purge },
		"it is none at most":  func(r *erasure.Result) { r.Unreached[0].Kind = erasure.AreaHPA },
		"with the reason":     func(r *erasure.Result) { r.Reason = " \x01 " },
		"made 7":              func(r *erasure.Result) { r.Passes = 7 },
		"and that it failed":  func(r *erasure.Result) { r.Failure = "it broke" },
		"took nothing at some": func(r *erasure.Result) {
			r.Unreached[0].Kind, r.Term = erasure.AreaRefused, erasure.None
		},
	} {
		l := newLab(t)
		l.report(session.StepPlan, session.Info, "plan", nil)
		res := good()
		change(res)
		rs := l.report(erasure.StepErased, session.Error, "", res)
		p := l.st.Session("s1").Parts[node]
		if p.State != doc.Failed || !strings.Contains(p.Reason, want) || len(rs) != 1 {
			t.Errorf("want %q: %s, %q, %d receipts", want, p.State, p.Reason, len(rs))
			continue
		}
		sign(t, rs[0])
		if r := rs[0]; r.Result != receipt.Failed || r.Term != "" || r.Disk.Path != "/dev/sda" ||
			r.Disk.Serial != "S1" ||
			r.Disk.Model != "QEMU" || r.Disk.Size != 1<<30 {
			t.Errorf("%s: %+v", want, rs[0])
		}
	}
}

// TestCancelledErase: a disk that may be erased in part has a receipt that says so; before a plan there is none.
func TestCancelledErase(t *testing.T) {
	for _, planned := range []bool{false, true} {
		l := newLab(t)
		if planned {
			l.report(session.StepPlan, session.Info, "plan", nil)
		}
		n := 0
		for _, x := range l.st.Step(jobs.Cancel{Session: "s1"}, l.now) {
			if a, ok := x.(jobs.Account); ok {
				n++
				sign(t, a.Receipt)
				if !strings.Contains(a.Receipt.Message, "cancelled") || a.Receipt.Result != receipt.Failed ||
					len(a.Receipt.Left) == 0 {
					t.Errorf("%+v", a.Receipt)
				}
			}
		}
		if (n == 1) != planned {
			t.Errorf("planned: %v, and %d receipts", planned, n)
		}
	}
}

func TestDoubtIsRefused(t *testing.T) {
	if why := (erase.Kind{}).Refuse(&jobs.Facts{Doubt: "its UUID changed"}); !strings.Contains(why, "UUID") {
		t.Errorf("%q", why)
	}
}

// TestNoPlan: who says that a disk is erased, and never told the plan, has not done what was asked; other steps,
// however many, do not take the plan's place.
func TestNoPlan(t *testing.T) {
	l := newLab(t)
	l.report(erasure.StepErased, session.Info, "erased", good())
	if p := l.st.Session("s1").Parts[node]; p.State != doc.Failed ||
		!strings.Contains(p.Reason, "never told its plan") {
		t.Errorf("%s: %s", p.State, p.Reason)
	}
	l = newLab(t)
	for i := range 100 {
		l.report(fmt.Sprint("step ", i), session.Info, "", nil)
	}
	l.report(session.StepPlan, session.Info, "plan", nil)
	if rs := l.report(erasure.StepErased, session.Info, "erased", good()); len(rs) != 1 ||
		rs[0].Result != receipt.Done {
		t.Errorf("after 100 steps: %+v, %+v", rs, l.st.Session("s1").Parts[node].Reason)
	}
}

// TestReceiptAfterReboot: a disk that one boot began to erase has a receipt, whatever ends the part in the next one.
func TestReceiptAfterReboot(t *testing.T) {
	for name, end := range map[string]func(*lab) []jobs.Effect{
		"fails": func(l *lab) []jobs.Effect {
			return l.st.Step(jobs.Reported{Node: node, Event: &session.Event{Session: "s1", Step: session.StepFailed,
				Message: "no disk found"}}, l.now)
		},
		"says nothing": func(l *lab) []jobs.Effect {
			return l.st.Step(jobs.Reported{Node: node, Event: &session.Event{Session: "s1", Step: session.StepFailed,
				Message: " \uFFFD "}}, l.now)
		},
		"is cancelled": func(l *lab) []jobs.Effect { return l.st.Step(jobs.Cancel{Session: "s1"}, l.now) },
		"is another": func(l *lab) []jobs.Effect {
			l.st.Step(jobs.Seen{Node: node, Facts: jobs.Facts{Here: true, Boot: "b3", Heard: l.now,
				Doubt: "its serial changed"}}, l.now)
			return l.st.Step(jobs.Greeted{Node: node}, l.now)
		},
		"is silent": func(l *lab) []jobs.Effect {
			l.now = l.now.Add(2 * time.Hour)
			return l.st.Step(jobs.Tick{},
				l.now)
		},
	} {
		l := newLab(t)
		l.st.Session("s1").Spec.GiveUp = 1800
		l.report(session.StepPlan, session.Info, "plan", nil)
		began := l.now
		l.now = l.now.Add(time.Minute)
		l.st.Step(jobs.Seen{Node: node, Facts: jobs.Facts{Here: true, Boot: "b2", Heard: l.now}}, l.now)
		l.st.Step(jobs.Greeted{Node: node}, l.now)
		var rs []*receipt.Receipt
		for _, x := range end(l) {
			if a, ok := x.(jobs.Account); ok {
				rs = append(rs, a.Receipt)
			}
		}
		if len(rs) != 1 {
			t.Errorf("%s: %d receipts", name, len(rs))
			continue
		}
		sign(t, rs[0])
		if r := rs[0]; r.Result != receipt.Failed || !r.Started.Equal(began) || r.Disk.Serial != "S1" ||
			len(r.Left) == 0 {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// TestClockSetBack: an erase that ends before it began, by a clock that was set back, has its receipt.
func TestClockSetBack(t *testing.T) {
	l := newLab(t)
	l.report(session.StepPlan, session.Info, "plan", nil)
	l.now = l.now.Add(-time.Hour)
	rs := l.report(erasure.StepErased, session.Info, "erased", good())
	if len(rs) != 1 || rs[0].Ended.Before(rs[0].Started) {
		t.Fatalf("%+v", rs)
	}
	sign(t, rs[0])
}

// TestPlainWords: what a node sends cannot become a second line, and a serial is compared as it is shown.
func TestPlainWords(t *testing.T) {
	l := newLab(t)
	l.st.Session("s1").Parts[node].Disk.Serial = "WD-  1\x02"
	l.report(session.StepPlan, session.Info, "plan", nil)
	res := good()
	res.Disk.Serial = "WD-  1\x02"
	res.Unreached[0].Words = "-\ns99: forged line"
	rs := l.report(erasure.StepErased, session.Info, "erased", res)
	if len(rs) != 1 || rs[0].Result != receipt.Done || strings.ContainsAny(rs[0].Left[0], "\n") ||
		strings.Contains(string(rs[0].Details), `\n`) {
		t.Errorf("%+v: %s", rs, l.st.Session("s1").Parts[node].Reason)
	}
}

// TestLargeAccount: an account that was too large to take is told as that.
func TestLargeAccount(t *testing.T) {
	l := newLab(t)
	l.report(session.StepPlan, session.Info, "plan", nil)
	l.report(erasure.StepErased, session.Warn, "its result of 20000 bytes is larger than 16384 and was dropped", nil)
	if p := l.st.Session("s1").Parts[node]; p.State != doc.Failed ||
		!strings.Contains(p.Reason, "is larger than 16384") {
		t.Errorf("%s: %s", p.State, p.Reason)
	}
}
