package jobs

import (
	"fmt"

	"github.com/diskcast/diskcast/internal/receipt"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
)

// Accountant is a kind whose parts end with a receipt.
type Accountant interface {
	// Account says what was done to the disk of the node: Disk, Method, Term, Reason, Verified, Left and Details, and
	// another Message where the part's reason is none. It reports whether there is anything to tell of.
	Account(s *Session, p *doc.Part, r *receipt.Receipt) bool
}

// account writes the receipt of a part that has just ended.
func (r *run) account(s *Session, p *doc.Part) {
	kind, ok := s.Kind.(Accountant)
	if !ok {
		return
	}
	began := p.Joined
	if plan, ok := p.Steps[session.StepPlan]; ok && plan.Time.Before(r.now) {
		began = plan.Time
	}
	paper := &receipt.Receipt{V: receipt.Version, ID: fmt.Sprintf("%s/%s/%d", s.ID, p.Node, p.Boots), Session: s.ID,
		Kind: s.Spec.Kind, By: By, Machine: receipt.Machine{ID: p.Node}, Started: began, Ended: r.now,
		Result: receipt.Failed, Message: p.Reason}
	if p.State == doc.Done {
		paper.Result = receipt.Done
	}
	if kind.Account(s, p, paper) {
		r.do(Account{paper})
	}
}

// By is the word by which sessions are made: this server knows one operator.
const By = "the holder of the operator's token"

// AccountDisk is the disk of a receipt, as the node's plan named it.
func AccountDisk(id *session.DiskID) receipt.Disk {
	if id == nil {
		return receipt.Disk{}
	}
	return receipt.Disk{Path: id.Path, Model: id.Model, Serial: id.Serial, WWN: id.WWN, Size: id.Size}
}
