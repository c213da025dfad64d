// Package restore is the kind of session that brings an image to the disks of its nodes.
//
// All nodes receive the image's object from one cast. A node reports each step once; its part is done when it says how
// it leaves the network userland, or when it boots again after it made the disk's boot entry, the last thing that it
// does to the machine.
package restore

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/diskcast/diskcast/internal/rescue"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/jobs"
)

// Kind is jobs.Kind.
type Kind struct{}

var _ jobs.Kind = Kind{}

// Traits implements jobs.Kind.
func (Kind) Traits() jobs.Traits {
	return jobs.Traits{Action: session.Restore, State: doc.Casting, Cast: true, Writes: true, Boots: true,
		Personal: true}
}

// Is implements jobs.Kind: a spec that asks for nothing else restores an image.
func (Kind) Is(spec *doc.Spec) bool {
	return spec.Kind == "" && spec.Capture == "" && len(spec.MoreDisks) == 0
}

// Check implements jobs.Kind.
func (Kind) Check(spec *doc.Spec) error {
	switch {
	case spec.Image == "" || len(spec.Image) > 300:
		return errors.New("no image named: see `diskcast image list`")
	case len(spec.Job) > 0:
		return errors.New("a restore has no job")
	case spec.Level != "" || spec.Parent != "" || spec.DropGaps:
		return errors.New("level, parent and drop_gaps are of a capture")
	}
	switch boot := spec.Boot; {
	case boot == nil:
		spec.Boot = &session.Boot{Method: session.BootKexec}
	case boot.Method == "": // words alone
		spec.Boot = &session.Boot{Method: session.BootKexec, Append: boot.Append}
	}
	return checkShell(spec.Boot)
}

// Upload implements jobs.Kind.
func (Kind) Upload(string, *doc.Spec) *session.Upload { return nil }

// Refuse implements jobs.Kind.
func (Kind) Refuse(*jobs.Facts) string { return "" }

// Tell implements jobs.Kind.
func (Kind) Tell(r *jobs.Record, _ *doc.Part, d *session.Descriptor) {
	img := r.Image
	d.Personalize = len(r.Spec.Personalize) > 0
	d.Image, d.Cast, d.Mode, d.Verify, d.NoGrow = &img, r.Params, r.Spec.Mode, r.Spec.Verify, r.Spec.NoGrow
}

// Report implements jobs.Kind.
func (Kind) Report(s *jobs.Session, p *doc.Part, x *jobs.Reported) jobs.Outcome {
	ev := x.Event
	switch ev.Step {
	case session.StepMulticast:
		p.Warning = ""
		if ev.Level != session.Info {
			p.Warning = ev.Message
		}
		return jobs.Outcome{Remark: true}
	case session.StepChunk:
		p.Warning = ev.Message
		chunk := -1
		if ev.Chunk != nil && *ev.Chunk >= 0 {
			chunk = *ev.Chunk
		}
		return jobs.Outcome{Remark: true, Suspect: &chunk}
	case session.StepGrown:
		if ev.Level != session.Info {
			p.Warning = jobs.Also(p.Warning, ev.Message)
		}
	case session.StepEntry:
		p.Unbootable = "" // the node has looked at the disk: what was foreseen counts no more
		jobs.StartWords(p, ev)
	case rescue.StepOpen:
		return opened(s, p, ev)
	case rescue.StepClosed:
		if len(p.Shell) == 0 {
			return jobs.Outcome{Failed: "the node says that its shell is closed, and never told that it was open"}
		}
	case session.StepBoot:
		if !personalized(s, p) {
			return jobs.Outcome{Failed: "the node says that it is done, and never said that it personalized the " +
				"system: `diskcast node log` shows what it told. An agent that is older than this server does not " +
				"know of that; where it may be one, make the boot directory anew (`diskcast up --kernel ...`, " +
				"mkimage) and run a new session. The disk has the image, and may have it as it was captured"}
		}
		jobs.StartWords(p, ev)
		if why := cmp.Or(lacks(s, p), lacksShell(s, p)); why != "" {
			return jobs.Outcome{Failed: why, Leaves: !s.Stays()}
		}
		return jobs.Outcome{Done: true, Leaves: !s.Stays()}
	}
	return jobs.Outcome{}
}

// Complete implements jobs.Kind. The boot entry is told of in any case, also where none can be made. Before it, the
// disk may be right and never start again by itself. A machine that boots again from an open shell is done: to begin
// anew would write over what was done in there.
func (Kind) Complete(s *jobs.Session, p *doc.Part) bool {
	_, ok := p.Steps[session.StepEntry]
	return ok && lacks(s, p) == "" && personalized(s, p) && (!s.GivesShell() || len(p.Shell) > 0)
}

// personalized reports whether the node has told that the system is its own, if it was to make it so.
func personalized(s *jobs.Session, p *doc.Part) bool {
	_, ok := p.Steps[session.StepPersonalized]
	return ok || len(s.Spec.Personalize) == 0
}

// Reason implements jobs.Kind.
func (Kind) Reason(s *jobs.Session, bad []string) string {
	words := s.UnbootableWords()
	if len(bad) == 0 {
		return words
	}
	reason := fmt.Sprintf("%d of %d nodes have the image; %s", s.DoneParts(), len(s.Parts), jobs.Few(bad))
	if words != "" {
		reason += "; " + words
	}
	return reason
}
