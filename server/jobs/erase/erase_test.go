package erase_test

import (
	"encoding/json"
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
	l.st.Step(jobs.ChoseDisk{Node: node, Disk: session.DiskID{Path: "/dev/sda", Serial: "S1", Size: 1 << 30}}, l.now)
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
		Disk:      erasure.Disk{Path: "/dev/sda", Model: "QEMU", Serial: "S1", Size: 1 << 30},
		ReadBack:  erasure.ReadBack{Scope: erasure.ReadAll, Bytes: 1 << 30, FirstBad: -1},
		Unreached: []erasure.Area{{Kind: erasure.AreaReserve, Words: "replaced sectors"}}}
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
		!strings.Contains(r.Verified, "everything") || len(r.Left) != 1 || r.Ended.Sub(r.Started) != time.Minute {
		t.Errorf("%+v", r)
	}
}

// TestNotErased: whatever is odd in the node's word, its part fails, and what there is to tell is in the receipt.
func TestNotErased(t *testing.T) {
	for want, change := range map[string]func(*erasure.Result){
		"still there": func(r *erasure.Result) {
			r.OK, r.Failure, r.Term, r.Reason = false, "old bytes are still there", "", ""
		},
		"cannot be read":   func(r *erasure.Result) { r.V = 2 },
		"of NIST":          func(r *erasure.Result) { r.Term = "destroy" },
		"does not say why": func(r *erasure.Result) { r.OK = false },
		"no size":          func(r *erasure.Result) { r.Disk.Size = 0 },
		"asked for":        func(r *erasure.Result) { r.Method = "discard" },
		"plan was for":     func(r *erasure.Result) { r.Disk.Serial = "S2" },
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
		if rs[0].Result != receipt.Failed || rs[0].Term != "" {
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
