package capture

import (
	"encoding/json"
	"errors"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/jobs"
)

// Partition is the kind of session that makes an image of one partition of a node's disk. Where it is not said here it
// is as a capture of all of it.
type Partition struct{ Kind }

var _ jobs.Kind = Partition{}

// Traits implements jobs.Kind.
func (p Partition) Traits() jobs.Traits {
	t := p.Kind.Traits()
	t.Action = session.CapturePartition
	return t
}

// Is implements jobs.Kind.
func (Partition) Is(spec *doc.Spec) bool { return spec.Kind == session.CapturePartition }

// Check implements jobs.Kind.
func (p Partition) Check(spec *doc.Spec) error {
	job, err := session.ParsePartitionJob(spec.Job)
	if err != nil {
		return err
	}
	if spec.DropGaps {
		return errors.New("drop_gaps is of a capture of the whole disk: a partition has no space beside partitions")
	}
	spec.Job = nil
	if err := p.Kind.Check(spec); err != nil {
		return err
	}
	spec.Job, err = json.Marshal(job)
	return err
}
