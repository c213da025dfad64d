package restore

import (
	"encoding/json"

	"github.com/diskcast/diskcast/internal/receipt"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/jobs"
)

var _ jobs.Accountant = Kind{}

// Account implements jobs.Accountant. Before a node has a plan it has touched no disk.
func (Kind) Account(s *jobs.Session, p *doc.Part, r *receipt.Receipt) bool {
	if _, planned := p.Steps[session.StepPlan]; !planned || p.Disk == nil {
		return false
	}
	r.Kind, r.Method, r.Disk = session.Restore, "restore", jobs.AccountDisk(p.Disk)
	r.Verified = "every chunk was hashed before it was written; nothing was read back"
	if s.Spec.Verify {
		r.Verified = "every chunk was hashed before it was written, and again as the disk gave it back"
	}
	if r.Result == receipt.Failed {
		r.Verified = "no"
	}
	if p.Unbootable != "" {
		r.Left = []string{"the machine will not start the disk by itself: " + p.Unbootable}
	}
	details, err := json.Marshal(map[string]string{"image": s.Image.Name, "manifest": s.Image.Manifest})
	if err == nil { // two strings: always
		r.Details = details
	}
	return true
}
