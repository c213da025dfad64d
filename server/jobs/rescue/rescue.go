// Package rescue is the kind of session that gives operators a shell on nodes.
//
// A part is open by the node's word, which tells where, and done when the node says that it is closed. Nothing is known
// of disks: what the node boots afterwards is what it booted before.
package rescue

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/internal/rescue"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/jobs"
)

// Open is the state of a session whose nodes have a shell.
const Open = doc.Open

// Kind is jobs.Kind.
type Kind struct{}

var _ jobs.Kind = Kind{}

// Traits implements jobs.Kind.
func (Kind) Traits() jobs.Traits {
	return jobs.Traits{Action: rescue.Action, State: Open, Keeps: true, Sure: true}
}

// Is implements jobs.Kind.
func (Kind) Is(spec *doc.Spec) bool { return spec.Kind == rescue.Action }

// Check implements jobs.Kind.
func (Kind) Check(spec *doc.Spec) error {
	switch {
	case spec.Image != "" || spec.Capture != "":
		return errors.New("a rescue has no image: it gives a shell")
	case spec.Mode != "" || spec.Verify || spec.NoGrow || spec.Rate != 0:
		return errors.New("mode, verify, no_grow and rate are of a restore")
	case spec.Level != "" || spec.Parent != "" || spec.DropGaps:
		return errors.New("level, parent and drop_gaps are of a capture")
	case spec.Target != session.Target{}:
		return errors.New("a rescue touches no disk by itself: leave the rule for a disk away")
	}
	job, err := rescue.ParseSpec(spec.Job)
	if err != nil {
		return err
	}
	if spec.Boot == nil {
		spec.Boot = &session.Boot{Method: session.BootStay}
	}
	if spec.Boot.Method == session.BootKexec {
		return errors.New("a rescue restores nothing that kexec could start: stay, reboot or poweroff")
	}
	spec.Job, err = json.Marshal(job) // with what was left out
	return err
}

// Upload implements jobs.Kind.
func (Kind) Upload(string, *doc.Spec) *session.Upload { return nil }

// Refuse implements jobs.Kind.
func (Kind) Refuse(f *jobs.Facts) string {
	if f.Doubt == "" {
		return ""
	}
	return "no shell is opened on a node that may be another machine than is meant: " + f.Doubt
}

// Tell implements jobs.Kind: the descriptor has the job already.
func (Kind) Tell(*jobs.Record, *doc.Part, *session.Descriptor) {}

// Report implements jobs.Kind.
func (Kind) Report(s *jobs.Session, p *doc.Part, x *jobs.Reported) jobs.Outcome {
	switch x.Event.Step {
	case rescue.StepOpen:
		opened, err := rescue.ParseOpened(x.Event.Result)
		if err == nil {
			p.Result, err = json.Marshal(opened)
		}
		if err != nil {
			return jobs.Outcome{Failed: "the node says that its shell is open, and where cannot be read: " +
				plain.Line(err.Error(), 1024)}
		}
	case rescue.StepClosed:
		if p.Steps[rescue.StepOpen].Time.IsZero() {
			return jobs.Outcome{Failed: "the node says that its shell is closed, and never told that it was open: " +
				cmp.Or(plain.Line(x.Event.Message, 1024), "it says no more")}
		}
		return jobs.Outcome{Done: true, Leaves: !s.Stays(), Free: s.Stays()}
	}
	return jobs.Outcome{}
}

// Complete implements jobs.Kind: a node that boots again before it has said that its shell is closed opens it again.
func (Kind) Complete(*jobs.Session, *doc.Part) bool { return false }

// Reason implements jobs.Kind.
func (Kind) Reason(s *jobs.Session, bad []string) string {
	if len(bad) == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d nodes had a shell that ended by itself; %s", s.DoneParts(), len(s.Parts),
		jobs.Few(bad))
}
