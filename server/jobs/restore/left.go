package restore

import (
	"fmt"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/jobs"
)

var (
	_ jobs.Leaver  = Kind{}
	_ jobs.Sounder = Kind{}
)

// Sound implements jobs.Sounder. A system that was to be made the machine's own and is not, or not whole, comes up as
// the machine that the image is of, and may be on the network beside that.
func (Kind) Sound(s *jobs.Session, p *doc.Part) bool { return lacks(s, p) == "" && personalized(s, p) }

// foreign is what is said of such a system.
const foreign = "its disk has the image, and not the machine's own identity, or not all of it: started, it may be " +
	"the machine that the image was made of; restore it again"

// unheard are the words for what a node told to be written without all the steps that lead there.
const unheard = "its node never reported the step %q: do not count on %s, restore it again"

// Left implements jobs.Leaver. A node says each step before it does the next one, so that a disk may be further than
// was told, and never less far.
func (Kind) Left(s *jobs.Session, p *doc.Part) string {
	had := func(step string) bool {
		_, ok := p.Steps[step]
		return ok
	}
	switch {
	case p.Boots == 0 || p.Joined.IsZero():
		return "its disk was not touched: it has what it had before"
	case (had(session.StepEntry) || had(session.StepWritten) || p.Life != nil) && missing(s, p) != "":
		return fmt.Sprintf(unheard, missing(s, p), "its disk")
	case p.Disk == nil && (had(session.StepEntry) || had(session.StepWritten) || p.Life != nil):
		return "its node never said which of its disks it wrote to: do not count on any, restore it again"
	case (had(session.StepEntry) || had(session.StepWritten) || p.Life != nil) && !personalized(s, p):
		return foreign
	case p.State == doc.Starting || p.Life != nil, had(session.StepEntry):
		return sinceThen(p, "its disk has the whole image and its boot entry; it starts, if the image is one that "+
			"this machine starts")
	case had(session.StepWritten):
		return "its disk has the whole image, and no boot entry was made: it may start; if it does not, restore it " +
			"again"
	case had(session.StepTable) || had(session.StepFirstByte):
		return "its disk holds a half-written image; it does not start; restore it again"
	case p.Disk != nil || !p.Planned.IsZero():
		return "its plan was made, and writing may have begun: do not count on its disk, restore it again"
	}
	return "its disk was not touched, as far as it told: it had chosen none"
}

// Left implements jobs.Leaver: a session of one partition leaves the others alone.
func (Partition) Left(s *jobs.Session, p *doc.Part) string {
	if _, ok := p.Steps[session.StepWritten]; ok && missing(s, p) != "" {
		return fmt.Sprintf(unheard, missing(s, p), "the partition") + "; the rest of the disk is as it was"
	} else if ok && p.Disk == nil {
		return "its node never said which of its disks it wrote to: do not count on the partition, restore it again"
	} else if ok {
		return sinceThen(p, "the partition has the whole image; the rest of the disk is as it was")
	}
	if p.Boots > 0 && (p.Disk != nil || !p.Planned.IsZero()) {
		return "the partition may hold a half-written image: restore it again; the rest of the disk is as it was"
	}
	return Kind{}.Left(s, p)
}
