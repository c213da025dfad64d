package restore

import (
	"encoding/json"
	"fmt"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/internal/receipt"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/jobs"
)

var _ jobs.Accountant = Kind{}

// Account implements jobs.Accountant.
func (Kind) Account(s *jobs.Session, p *doc.Part, r *receipt.Receipt) {
	r.Method = session.Restore
	_, verified := p.Steps[session.StepVerified]
	switch {
	case r.Result == receipt.Failed:
		r.Verified = "no"
		r.Left = append(r.Left, "what was written before it failed is not known")
	case verified:
		r.Verified = "every chunk was hashed before it was written, and again as the disk gave it back"
	default:
		r.Verified = "every chunk was hashed before it was written; nothing was read back"
	}
	if p.Unbootable != "" {
		r.Left = append(r.Left, "the machine will not start the disk by itself: "+p.Unbootable)
	}
	if len(p.Shell) > 0 {
		r.Left = append(r.Left, touched)
	}
	facts := map[string]string{"image": s.Image.Name, "manifest": s.Image.Manifest}
	if own, ok := p.Steps[session.StepPersonalized]; ok {
		facts["personalized"] = plain.Line(own.Message, 2048)
	}
	details, err := json.Marshal(facts)
	if err == nil { // strings: always
		r.Details = details
	}
}

// lacks says in words which step that a whole restore has the node did not report since it booted; empty for none.
func lacks(s *jobs.Session, p *doc.Part) string {
	if step := missing(s, p); step != "" {
		return fmt.Sprintf("the node says that it is done, and never reported the step %q of what it was asked for: "+
			"`diskcast node log` shows what it told; restore it again", step)
	}
	if p.Disk == nil {
		return "the node says that it is done, and never said which of its disks it wrote to: `diskcast node log` " +
			"shows " +
			"what it told; restore it again"
	}
	return ""
}

// missing is that step, of the first disk that lacks one.
func missing(s *jobs.Session, p *doc.Part) string {
	for i := range s.Disks() {
		if step := missingOf(s, p, i); step != "" {
			return jobs.StepOf(i, step)
		}
	}
	return ""
}

// missingOf is the step that the disk lacks.
func missingOf(s *jobs.Session, p *doc.Part, disk int) string {
	need := []string{session.StepPlan, session.StepWritten}
	if s.Spec.Verify {
		need = append(need, session.StepVerified)
	}
	for _, step := range need {
		if !jobs.Reached(p, disk, step) {
			return step
		}
	}
	return ""
}
