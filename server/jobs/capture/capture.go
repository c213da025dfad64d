// Package capture is the kind of session that makes an image of one node's disk.
//
// The node sends frames, which the shell keeps under the name of the session's upload; the shell says by jobs.Stored
// that they are an image, and then the node's word that it knows so ends its part.
package capture

import (
	"errors"
	"fmt"
	"strings"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/internal/units"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/jobs"
)

// Kind is jobs.Kind.
type Kind struct{}

var _ jobs.Kind = Kind{}

// Traits implements jobs.Kind.
func (Kind) Traits() jobs.Traits {
	return jobs.Traits{Action: session.Capture, State: doc.Capturing, Boots: true, Sure: true}
}

// Is implements jobs.Kind.
func (Kind) Is(spec *doc.Spec) bool { return spec.Kind == "" && spec.Capture != "" }

// Check implements jobs.Kind.
func (Kind) Check(spec *doc.Spec) error {
	switch {
	case spec.Image != "":
		return errors.New("a session restores an image or captures one: name one of the two")
	case spec.All || spec.Count > 1 || len(spec.Nodes) > 1:
		return errors.New("a capture reads one node's disk: name that node, or 1 for the first that comes")
	case spec.Mode != "" || spec.Verify || spec.NoGrow || spec.Rate != 0:
		return errors.New("mode, verify, no_grow and rate are of a restore: a capture is hashed on both sides anyway")
	case len(spec.Job) > 0:
		return errors.New("a capture has no job")
	case len(spec.Parent) > 300:
		return errors.New("the parent's name is too long")
	}
	if spec.Level == "" {
		spec.Level = image.Default
	}
	if spec.Boot == nil {
		spec.Boot = &session.Boot{Method: session.BootStay}
	}
	return image.CheckName(spec.Capture)
}

// Upload implements jobs.Kind.
func (Kind) Upload(id string, spec *doc.Spec) *session.Upload {
	return &session.Upload{ID: id, Name: spec.Capture, Level: spec.Level, Grid: image.DefaultGrid,
		DropGaps: spec.DropGaps}
}

// Refuse implements jobs.Kind.
func (Kind) Refuse(f *jobs.Facts) string {
	if f.Doubt == "" {
		return ""
	}
	return "nothing is captured from a node that may be another machine than is meant: " + f.Doubt
}

// Tell implements jobs.Kind.
func (Kind) Tell(r *jobs.Record, _ *doc.Part, d *session.Descriptor) {
	up := *r.Upload
	d.Upload = &up
}

// Report implements jobs.Kind.
func (Kind) Report(s *jobs.Session, p *doc.Part, x *jobs.Reported) jobs.Outcome {
	switch x.Event.Step {
	case session.StepPlan:
		if p.Progress != nil {
			p.Warning = mayNotFit(p.Progress.ToRead, x.Free)
		}
	case session.StepEntry, session.StepBoot:
		jobs.StartWords(p, x.Event)
	case session.StepUploaded:
		if s.Image.Manifest == "" {
			return jobs.Outcome{Failed: "the node says that its disk is stored, and the server has no such image: " +
				"capture it again"}
		}
		if _, ok := p.Steps[session.StepPlan]; !ok || p.Disk == nil {
			return jobs.Outcome{Failed: fmt.Sprintf("the node says that its disk is stored, and never told its plan "+
				"or which "+
				"of its disks that is: what the image %s (%s) is of is not known, and it stays in the store. Look at "+
				"it "+
				"(`diskcast image show`), or capture it again", s.Image.Name, s.Image.Manifest)}
		}
		return jobs.Outcome{Done: true, Leaves: !s.Stays(), Free: s.Stays()}
	}
	return jobs.Outcome{}
}

// mayNotFit says so when a disk has more bytes in use than the store has free; they may still fit, compressed and
// shared.
func mayNotFit(inUse, free int64) string {
	if free < 0 || inUse <= free {
		return ""
	}
	return fmt.Sprintf("The image may not fit, for the disk has %s in use and the image store %s free.",
		units.Bytes(inUse), units.Bytes(free))
}

// Complete implements jobs.Kind.
func (Kind) Complete(s *jobs.Session, p *doc.Part) bool {
	return s.Image.Manifest != "" && p.Disk != nil
}

// Reason implements jobs.Kind.
func (Kind) Reason(s *jobs.Session, bad []string) string {
	if len(bad) == 0 {
		return s.UnbootableWords()
	}
	return strings.Join(bad, "; ")
}
