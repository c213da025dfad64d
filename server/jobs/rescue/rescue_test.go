package rescue_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/jobs"
	"github.com/diskcast/diskcast/server/jobs/kinds"
)

const (
	node = "52-54-00-00-00-01"
	key  = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG5pY2Uta2V5LW9mLXRoaXMtdGVzdC1mb3ItcmVzY3Vl"
)

func spec() doc.Spec {
	return doc.Spec{V: 1, Kind: "rescue", Nodes: []string{"52:54:00:00:00:01"}, Job: json.RawMessage(`{}`)}
}

func TestCheck(t *testing.T) {
	for want, change := range map[string]func(*doc.Spec){
		"":                 func(*doc.Spec) {},
		"has no image":     func(s *doc.Spec) { s.Image = "debian" },
		"are of a restore": func(s *doc.Spec) { s.Verify = true },
		"are of a capture": func(s *doc.Spec) { s.DropGaps = true },
		"touches no disk":  func(s *doc.Spec) { s.Target.Largest = true },
		"kexec could":      func(s *doc.Spec) { s.Boot = &session.Boot{Method: session.BootKexec} },
		"no public key":    func(s *doc.Spec) { s.Job = json.RawMessage(`{"keys":["me"]}`) },
		"cannot be read":   func(s *doc.Spec) { s.Job = nil },
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
		string(s.Job) != `{"seconds":14400}` {
		t.Errorf("what was left out is not filled in: %v %s", err, s.Job)
	}
}

// lab is one session and one node that was told to open a shell.
type lab struct {
	t   *testing.T
	st  *jobs.State
	now time.Time
}

func newLab(t *testing.T, imaged bool) *lab {
	l := &lab{t: t, now: time.Date(2026, 11, 28, 10, 0, 0, 0, time.UTC)}
	l.st = jobs.New(kinds.All(), l.now.Add(-time.Hour))
	s := spec()
	kind, err := kinds.All().Check(&s)
	if err != nil {
		t.Fatal(err)
	}
	l.st.Step(jobs.Seen{Node: node, Facts: jobs.Facts{Here: true, Boot: "b1", Heard: l.now}}, l.now)
	l.st.Node(node).Imaged = imaged
	one := &jobs.Session{Kind: kind, Parts: map[string]*doc.Part{}}
	one.Session = doc.Session{ID: "s1", Spec: s, State: doc.Waiting, Created: l.now}
	one.Add(&doc.Part{Session: "s1", Node: node, State: doc.Waiting})
	l.st.Step(jobs.Created{Session: one}, l.now)
	l.st.Step(jobs.Ready{Node: node}, l.now)
	if d := l.st.Descriptor(node); d.Action != "rescue" || len(d.Job) == 0 {
		t.Fatalf("the node is told %+v", d)
	}
	return l
}

func (l *lab) report(step, message, result string) *doc.Part {
	l.now = l.now.Add(time.Minute)
	ev := &session.Event{Step: step, Level: session.Info, Message: message, Session: "s1", Time: l.now}
	if result != "" {
		ev.Result = json.RawMessage(result)
	}
	l.st.Step(jobs.Reported{Node: node, Event: ev}, l.now)
	return l.st.Session("s1").Parts[node]
}

const opened = `{"consoles":["tty1"],"addr":"10.0.0.5:22","host_key":"` + key + ` a comment"}`

// TestPart: the part is open until the node says that it is closed, and what the node boots afterwards is what it
// booted before.
func TestPart(t *testing.T) {
	for _, imaged := range []bool{true, false} {
		l := newLab(t, imaged)
		p := l.report("open", "a shell", opened)
		if p.State != doc.Running || !strings.Contains(string(p.Result), key+`"`) {
			t.Errorf("open: %+v", p)
		}
		if p = l.report("login", "SHA256:x", ""); p.State != doc.Running {
			t.Errorf("after a login: %+v", p)
		}
		if p = l.report("closed", "its time is over", ""); p.State != doc.Done || l.st.Session("s1").State != doc.Done {
			t.Errorf("closed: %+v, %+v", p, l.st.Session("s1").Session)
		}
		if got := l.st.Node(node).Imaged; got != imaged {
			t.Errorf("its disk had an image: %v, and after the rescue: %v", imaged, got)
		}
	}
	l := newLab(t, true)
	l.report("open", "a shell", opened)
	l.st.Step(jobs.Cancel{Session: "s1"}, l.now)
	if !l.st.Node(node).Imaged || l.st.Session("s1").State != doc.Cancelled {
		t.Errorf("cancelled: %+v, %+v", l.st.Node(node), l.st.Session("s1").Session)
	}
}

// TestLies: what a node says that cannot be so fails its part.
func TestLies(t *testing.T) {
	for want, say := range map[string]func(l *lab) *doc.Part{
		"where cannot be read": func(l *lab) *doc.Part { return l.report("open", "", `{"consoles":3}`) },
		"cannot be read: EOF":  func(l *lab) *doc.Part { return l.report("open", "", "") },
		"host key": func(l *lab) *doc.Part {
			return l.report("open", "", `{"addr":"10.0.0.5:22","host_key":"x"}`)
		},
		"never told that": func(l *lab) *doc.Part { return l.report("closed", "bye", "") },
	} {
		if p := say(newLab(t, false)); p.State != doc.Failed || !strings.Contains(p.Reason, want) {
			t.Errorf("%s: %+v", want, p)
		}
	}
}
