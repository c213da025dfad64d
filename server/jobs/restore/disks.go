package restore

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/internal/receipt"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/jobs"
)

// Disks is the kind of session that brings an image to each of several disks of its nodes. The first is the one that a
// machine starts from and that is personalized; a part is done when the node has told all steps of all of them. Where
// it is not said here it is as a restore.
type Disks struct{ Kind }

var (
	_ jobs.Kind       = Disks{}
	_ jobs.Accountant = Disks{}
	_ jobs.Leaver     = Disks{}
)

// Traits implements jobs.Kind.
func (k Disks) Traits() jobs.Traits {
	t := k.Kind.Traits()
	t.Action, t.Several = session.RestoreDisks, true
	return t
}

// Is implements jobs.Kind: nobody needs to name the kind of a spec with further disks.
func (Disks) Is(spec *doc.Spec) bool {
	return spec.Kind == session.RestoreDisks ||
		spec.Kind == "" && spec.Capture == "" && len(spec.MoreDisks) > 0
}

// Check implements jobs.Kind. The kind is named from then on: a server from before it refuses what it finds in its
// state, and takes it for no session of one disk.
func (k Disks) Check(spec *doc.Spec) error {
	switch {
	case spec.Capture != "":
		return errors.New("a session restores images or captures one: name one of the two")
	case len(spec.MoreDisks) == 0:
		return errors.New("a session of several disks has more_disks; without them it is a restore, whose kind is " +
			"not named")
	}
	spec.Kind = session.RestoreDisks
	return k.Kind.Check(spec)
}

// Tell implements jobs.Kind.
func (k Disks) Tell(r *jobs.Record, p *doc.Part, d *session.Descriptor) {
	k.Kind.Tell(r, p, d)
	for i, target := range r.Spec.Targets()[1:] {
		d.MoreDisks = append(d.MoreDisks, session.MoreDisk{Image: r.ImageOf(i + 1), Cast: r.SendingOf(i + 1).Params,
			Target: target, Disk: jobs.DiskOf(p, i+1)})
	}
	job, err := json.Marshal(session.DisksJob{V: session.DisksVersion, Disks: d.Disks()})
	if err == nil { // numbers: always
		d.Job = job
	}
}

// Report implements jobs.Kind.
func (k Disks) Report(s *jobs.Session, p *doc.Part, x *jobs.Reported) jobs.Outcome {
	out := k.Kind.Report(s, p, x)
	if x.Event.Step == session.StepEntry && x.Event.Disk > 0 {
		out.Failed = fmt.Sprintf("the node made a boot entry for disk %d, and the machine is to start from the first "+
			"one: its "+
			"agent is broken", x.Event.Disk+1)
	}
	return out
}

// Left implements jobs.Leaver.
func (k Disks) Left(s *jobs.Session, p *doc.Part) string {
	if p.Boots == 0 || p.Joined.IsZero() {
		return "its disks were not touched: they have what they had before"
	}
	words := []string{"disk 1" + named(p.Disk) + ": " + leftOf(s, p, 0)}
	for i := 1; i < s.Disks(); i++ {
		words = append(words, fmt.Sprintf("disk %d%s: %s", i+1, named(jobs.DiskOf(p, i)), leftOf(s, p, i)))
	}
	return sinceThen(p, strings.Join(words, "; "))
}

// named is the name of a disk that was chosen, in brackets.
func named(d *session.DiskID) string {
	if d == nil {
		return ""
	}
	for _, x := range []struct{ what, v string }{{"serial ", d.Serial}, {"wwn ", d.WWN}, {"at ", d.BusPath}, {"",
		d.Path}} {
		if x.v != "" {
			return " (" + x.what + x.v + ")"
		}
	}
	return ""
}

// leftOf says what is on one of the disks.
func leftOf(s *jobs.Session, p *doc.Part, disk int) string {
	had := func(step string) bool { return jobs.Reached(p, disk, step) }
	switch lacks := missingOf(s, p, disk); {
	case had(session.StepWritten) && lacks != "":
		return fmt.Sprintf(unheard, lacks, "it")
	case had(session.StepWritten) && disk == 0 && !personalized(s, p):
		return "it has the image, and not the machine's own identity, or not all of it: restore it again"
	case had(session.StepWritten) && disk == 0 && !had(session.StepEntry):
		return "it has the whole image, and no boot entry was made: it may start"
	case had(session.StepWritten):
		return "it has the whole image"
	case had(session.StepTable) || had(session.StepFirstByte):
		return "it holds a half-written image; restore it again"
	case had(session.StepPlan):
		return "its plan was made, and writing may have begun: do not count on it, restore it again"
	case !p.Planned.IsZero() && p.Boots > 1:
		return "its node booted again since its plan was made: do not count on it, restore it again"
	}
	return "it was not touched, as far as its node told"
}

// Account implements jobs.Accountant: one receipt names all disks. What is said of the disk of the receipt is of the
// first.
func (k Disks) Account(s *jobs.Session, p *doc.Part, r *receipt.Receipt) {
	k.Kind.Account(s, p, r)
	r.Method = session.RestoreDisks
	var d details
	if own, ok := p.Steps[session.StepPersonalized]; ok {
		d.Personalized = plain.Line(own.Message, 2048)
	}
	for i := range s.Disks() {
		im := s.ImageOf(i)
		x := diskDetails{Image: im.Name, Manifest: im.Manifest, Written: jobs.Reached(p, i, session.StepWritten),
			Verified: jobs.Reached(p, i, session.StepVerified)}
		if id := jobs.DiskOf(p, i); id != nil {
			x.Disk = &receipt.Disk{Path: id.Path, Model: id.Model, Serial: id.Serial, WWN: id.WWN, Size: id.Size}
		}
		d.Disks = append(d.Disks, x)
		if i > 0 {
			r.Left = append(r.Left, x.words(i))
		}
	}
	if raw, err := json.Marshal(d); err == nil { // strings, numbers and booleans: always
		r.Details = raw
	}
}

// details are those of a receipt, for each disk in the order of the session.
type details struct {
	Disks        []diskDetails `json:"disks"`
	Personalized string        `json:"personalized,omitempty"`
}

type diskDetails struct {
	Disk     *receipt.Disk `json:"disk,omitempty"` // nil: the node never named it
	Image    string        `json:"image"`
	Manifest string        `json:"manifest"`
	Written  bool          `json:"written"`
	Verified bool          `json:"verified"` // read back
}

// words say in the receipt what came of a further disk: its head is about the first.
func (d *diskDetails) words(i int) string {
	what := "a disk that the node never named"
	if x := d.Disk; x != nil {
		what = strings.TrimSpace(fmt.Sprintf("%s %s serial %s (%d bytes)", x.Path, x.Model, x.Serial, x.Size))
	}
	did := "no image was written to it as far as the node told since it booted last"
	switch {
	case d.Verified:
		did = "has image " + d.Image + ", written and read back"
	case d.Written:
		did = "has image " + d.Image + ", written and not read back"
	}
	return fmt.Sprintf("disk %d of the session, %s: %s", i+1, plain.Line(what, 512), did)
}
