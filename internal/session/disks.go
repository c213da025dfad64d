package session

import (
	"encoding/json"
	"fmt"
)

// RestoreDisks restores an image to each of several disks of a node. It has a name of its own, and a Job: an agent from
// before it would take a restore of several disks for one of the first, and refuses this in words.
const RestoreDisks = "restore-disks"

// DisksVersion is the version of DisksJob.
const DisksVersion = 1

// MaxDisks bounds the disks of a node that one session writes.
const MaxDisks = 16

// DisksJob is Descriptor.Job of RestoreDisks.
type DisksJob struct {
	V     int `json:"v"`
	Disks int `json:"disks"` // how many there are, the first among them: no list that was cut short is taken for whole
}

// MoreDisk is what goes to one of the further disks of RestoreDisks.
type MoreDisk struct {
	Image  Image   `json:"image"`
	Cast   *Cast   `json:"cast,omitempty"`
	Target Target  `json:"target"`
	Disk   *DiskID `json:"disk,omitempty"` // as Descriptor.Disk
}

// Disks is how many disks the descriptor is about.
func (d *Descriptor) Disks() int { return 1 + len(d.MoreDisks) }

// OfDisk is the descriptor of one of its disks, counted from 0, as if there were no others.
func (d *Descriptor) OfDisk(i int) *Descriptor {
	if i == 0 {
		return d
	}
	one, m := *d, d.MoreDisks[i-1]
	one.Image, one.Cast, one.Target, one.Disk = &m.Image, m.Cast, &m.Target, m.Disk
	return &one
}

// checkDisks says what is wrong with the further disks, and with the job that counts them.
func (d *Descriptor) checkDisks() error {
	if d.Action != RestoreDisks {
		if len(d.MoreDisks) > 0 {
			return fmt.Errorf("descriptor: the action %s is of one disk, and more are named", d.Action)
		}
		return nil
	}
	var job DisksJob
	if err := json.Unmarshal(d.Job, &job); err != nil {
		return fmt.Errorf("descriptor: the job does not say how many disks there are: %w", err)
	}
	switch {
	case job.V != DisksVersion:
		return fmt.Errorf("the job: %w: v=%d, this program speaks v=%d", ErrVersion, job.V, DisksVersion)
	case job.Disks != d.Disks():
		return fmt.Errorf("descriptor: the job is for %d disks, and %d are named", job.Disks, d.Disks())
	case d.Disks() < 2 || d.Disks() > MaxDisks:
		return fmt.Errorf("descriptor: %d disks are not 2 to %d", d.Disks(), MaxDisks)
	}
	for i := range d.MoreDisks {
		m := &d.MoreDisks[i]
		if err := m.Target.Check(); err != nil {
			return fmt.Errorf("target of disk %d: %w", i+2, err)
		}
		if err := checkObject(&m.Image, m.Cast); err != nil {
			return fmt.Errorf("disk %d: %w", i+2, err)
		}
	}
	return nil
}

// checkObject says what is wrong with an image and the cast of its object.
func checkObject(im *Image, c *Cast) error {
	if im == nil {
		return fmt.Errorf("descriptor: no image")
	}
	if err := im.check(); err != nil {
		return err
	}
	if c == nil {
		return nil
	}
	if err := c.check(); err != nil {
		return err
	}
	if c.Size != im.ObjectSize {
		return fmt.Errorf("descriptor: cast is of %d bytes, image object of %d", c.Size, im.ObjectSize)
	}
	return nil
}
