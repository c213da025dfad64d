package jobs

import (
	"fmt"
	"slices"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
)

// Several disks of a machine in one session. They are counted from 0, and the first is that of Session.Image, Params,
// Secret and Spec.Target, so that a session of one disk has no list.

// Sending is the cast to one of the further disks, as Record has it for the first.
type Sending struct {
	Params *session.Cast `json:"params,omitempty"`
	Secret []byte        `json:"secret,omitempty"`
}

// Disks is how many disks of each machine the session is about.
func (r *Record) Disks() int { return 1 + len(r.MoreDisks) }

// ImageOf is the image for the disk.
func (r *Record) ImageOf(disk int) session.Image {
	if disk == 0 {
		return r.Image
	}
	return r.MoreDisks[disk-1].Image
}

// SendingOf is what the image for the disk is cast with; one without Params is not cast.
func (r *Record) SendingOf(disk int) Sending {
	switch {
	case disk == 0:
		return Sending{r.Params, r.Secret}
	case disk-1 < len(r.More):
		return r.More[disk-1]
	}
	return Sending{}
}

// Send sets what the image for the disk is cast with.
func (r *Record) Send(disk int, x Sending) {
	if disk == 0 {
		r.Params, r.Secret = x.Params, x.Secret
		return
	}
	r.More = slices.Clone(r.More)
	for len(r.More) < disk {
		r.More = append(r.More, Sending{})
	}
	r.More[disk-1] = x
}

// Casts are the parameters of the session's casts; none when nothing is cast.
func (r *Record) Casts() []*session.Cast {
	var out []*session.Cast
	for i := range r.Disks() {
		if p := r.SendingOf(i).Params; p != nil {
			out = append(out, p)
		}
	}
	return out
}

// Brings reports whether the session is not over and brings the image with the manifest.
func (s *Session) Brings(manifest string) bool {
	if s.Over() {
		return false
	}
	for i := range s.Disks() {
		if s.ImageOf(i).Manifest == manifest {
			return true
		}
	}
	return false
}

// shown puts on the session what is to be shown of a cast that ended.
func (r *Record) shown(disk int, c *doc.Cast) {
	if disk == 0 {
		r.Session.Cast = c
		return
	}
	r.MoreDisks = slices.Clone(r.MoreDisks)
	r.MoreDisks[disk-1].Cast = c
}

// DiskOf is what the part's node has chosen as the disk; nil when it has not.
func DiskOf(p *doc.Part, disk int) *session.DiskID {
	switch {
	case disk == 0:
		return p.Disk
	case disk-1 < len(p.MoreDisks):
		return p.MoreDisks[disk-1].Disk
	}
	return nil
}

// settleDisk notes what the part's node chose as the disk. The first word counts.
func settleDisk(p *doc.Part, of int, disk session.DiskID) (first bool) {
	if DiskOf(p, of) != nil {
		return false
	}
	if of == 0 {
		p.Disk = &disk
		return true
	}
	p.MoreDisks = slices.Clone(p.MoreDisks)
	for len(p.MoreDisks) < of {
		p.MoreDisks = append(p.MoreDisks, doc.PartDisk{})
	}
	p.MoreDisks[of-1].Disk = &disk
	return true
}

// StepOf is the key in Part.Steps of a step of the disk: of the second disk, 2/written.
func StepOf(disk int, step string) string {
	if disk == 0 {
		return step
	}
	return fmt.Sprintf("%d/%s", disk+1, step)
}

// Reached reports whether the part's node has told of the step of the disk since it booted.
func Reached(p *doc.Part, disk int, step string) bool {
	_, ok := p.Steps[StepOf(disk, step)]
	return ok
}

// nowhere says why a report of the disk is none; empty when the session has such a disk.
func (s *Session) nowhere(disk int) string {
	if disk >= 0 && disk < s.Disks() {
		return ""
	}
	return fmt.Sprintf("the node tells of its disk %d, and the session is about %d: its agent is broken, and what is "+
		"on "+
		"its disks is not known", disk+1, s.Disks())
}
