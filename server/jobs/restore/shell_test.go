package restore

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/receipt"
	"github.com/diskcast/diskcast/internal/rescue"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/jobs"
)

func TestCheckShell(t *testing.T) {
	for want, b := range map[string]session.Boot{
		"":                       {Method: session.BootShell},
		"go with the way of":     {Method: session.BootKexec, Shell: json.RawMessage(`{}`)},
		"key 1: this is no":      {Method: session.BootShell, Shell: json.RawMessage(`{"keys":["me"]}`)},
		"5 seconds are not":      {Method: session.BootShell, Shell: json.RawMessage(`{"seconds":5}`)},
		"cannot be read":         {Method: session.BootShell, Shell: json.RawMessage(`{"key":"x"}`)},
		"something follows what": {Method: session.BootShell, Shell: json.RawMessage(`{}{}`)},
	} {
		spec := doc.Spec{V: 1, Image: "debian", Boot: &b}
		err := Kind{}.Check(&spec)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
		if want == "" && string(b.Shell) != `{"seconds":14400}` {
			t.Errorf("filled in: %s", b.Shell)
		}
	}
}

// TestShell: a part is whole before its shell counts as open, and done once that is closed; whatever is said of its
// disk says then that somebody was in there.
func TestShell(t *testing.T) {
	const where = `{"consoles":["tty1"]}`
	s := &jobs.Session{Kind: Kind{}}
	p := &doc.Part{State: doc.Running, Disk: &session.DiskID{Size: 1}, Boots: 1, Joined: time.Unix(1, 0),
		Steps: map[string]doc.Mark{session.StepPlan: {}}}
	report := func(step, result string) jobs.Outcome {
		ev := &session.Event{Step: step, Level: session.Info}
		if result != "" {
			ev.Result = json.RawMessage(result)
		}
		return Kind{}.Report(s, p, &jobs.Reported{Event: ev})
	}
	refused := func(when, want, step, result string) {
		t.Helper()
		if out := report(step, result); out.Done || !strings.Contains(out.Failed, want) || len(p.Shell) > 0 {
			t.Errorf("%s: %+v, want %q", when, out, want)
		}
	}
	s.Spec.Boot = &session.Boot{Method: session.BootKexec}
	refused("nobody asked", "was asked for none", rescue.StepOpen, where)
	s.Spec.Boot.Method = session.BootShell
	refused("not written", `the step "written"`, rescue.StepOpen, where)
	p.Steps[session.StepWritten] = doc.Mark{}
	refused("no entry", "boot entry", rescue.StepOpen, where)
	p.Steps[session.StepEntry] = doc.Mark{}
	refused("no place", "where cannot be read", rescue.StepOpen, `{"consoles":3}`)
	refused("closed before", "never told that it was open", rescue.StepClosed, "")
	refused("left out", "never gave the shell", session.StepBoot, "")
	if (Kind{}).Complete(s, p) {
		t.Error("complete before the shell was open")
	}
	said := func(k jobs.Accountant) int {
		r := &receipt.Receipt{Result: receipt.Done}
		k.Account(s, p, r)
		return strings.Count(strings.Join(r.Left, " "), touched)
	}
	if n := said(Kind{}); n > 0 {
		t.Error("the receipt tells of a shell that never was")
	}
	if out := report(rescue.StepOpen, where); out.Failed != "" || out.Done || len(p.Shell) == 0 {
		t.Errorf("open: %+v, %+v", out, p)
	}
	if !(Kind{}).Complete(s, p) {
		t.Error("a machine that boots again from an open shell is written anew")
	}
	for _, k := range []jobs.Leaver{Kind{}, Partition{}, Disks{}} {
		if left := k.Left(s, p); strings.Count(left, touched) != 1 {
			t.Errorf("%T: left: %s", k, left)
		}
	}
	for _, k := range []jobs.Accountant{Kind{}, Partition{}, Disks{}} {
		if n := said(k); n != 1 {
			t.Errorf("%T: the receipt tells of the shell %d times", k, n)
		}
	}
	if out := report(session.StepBoot, ""); out.Done || !out.Leaves || !strings.Contains(out.Failed, "is closed") {
		t.Errorf("left without a word: %+v", out)
	}
	p.Steps[rescue.StepClosed] = doc.Mark{}
	if out := report(session.StepBoot, ""); !out.Done || !out.Leaves {
		t.Errorf("left: %+v", out)
	}
}
