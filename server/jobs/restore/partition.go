package restore

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/internal/receipt"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/jobs"
)

// Partition is the kind of session that brings an image into one partition of its nodes' disks, and leaves the rest of
// these as it is. Where it is not said here it is as a restore.
type Partition struct{ Kind }

var (
	_ jobs.Kind       = Partition{}
	_ jobs.Accountant = Partition{}
)

// Traits implements jobs.Kind.
func (p Partition) Traits() jobs.Traits {
	t := p.Kind.Traits()
	t.Action, t.Personal = session.RestorePartition, false
	return t
}

// Is implements jobs.Kind.
func (Partition) Is(spec *doc.Spec) bool { return spec.Kind == session.RestorePartition }

// Check implements jobs.Kind.
func (p Partition) Check(spec *doc.Spec) error {
	job, err := session.ParsePartitionJob(spec.Job)
	if err != nil {
		return err
	}
	if spec.Capture != "" {
		return errors.New("a session restores an image or captures one: name one of the two")
	}
	spec.Job = nil
	if err := p.Kind.Check(spec); err != nil {
		return err
	}
	spec.Job, err = json.Marshal(job)
	return err
}

// Report implements jobs.Kind: the plan tells which bytes of the disk the partition is.
func (p Partition) Report(s *jobs.Session, part *doc.Part, x *jobs.Reported) jobs.Outcome {
	if x.Event.Step != session.StepPlan {
		return p.Kind.Report(s, part, x)
	}
	part.Result = nil
	if x.Event.Level != session.Info {
		part.Warning = jobs.Also(part.Warning, x.Event.Message)
	}
	res, err := session.ParsePartitionResult(x.Event.Result)
	if err != nil {
		return jobs.Outcome{Failed: "the node does not say which bytes of its disk the partition is: " +
			plain.Line(err.Error(), 256)}
	}
	asked, err := session.ParsePartitionJob(s.Spec.Job)
	if err != nil || asked.Number != 0 && asked.Number != res.Number {
		return jobs.Outcome{Failed: fmt.Sprintf("the node was asked for partition %s and says that it writes %d", asked,
			res.Number)}
	}
	plain.Strings(res, 256)
	if part.Result, err = json.Marshal(res); err != nil {
		return jobs.Outcome{Failed: "where its partition is cannot be kept: " + err.Error()}
	}
	return jobs.Outcome{}
}

// Account implements jobs.Accountant.
func (p Partition) Account(s *jobs.Session, part *doc.Part, r *receipt.Receipt) {
	p.Kind.Account(s, part, r)
	r.Method = session.RestorePartition
	res, err := session.ParsePartitionResult(part.Result)
	if err != nil {
		r.Left = append(r.Left, "which bytes of the disk the partition is was not told, or the node booted since")
		return
	}
	r.Left = append(r.Left, fmt.Sprintf("all of the disk but partition %d (%d bytes from byte %d): nothing else was "+
		"written", res.Number, res.Size, res.Start))
	details, err := json.Marshal(struct {
		Image     string                   `json:"image"`
		Manifest  string                   `json:"manifest"`
		Partition *session.PartitionResult `json:"partition"`
	}{s.Image.Name, s.Image.Manifest, res})
	if err == nil { // strings and numbers: always
		r.Details = details
	}
}
