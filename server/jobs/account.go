package jobs

import (
	"fmt"
	"time"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/internal/receipt"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
)

// Accountant is a kind whose parts end with a receipt, if the node ever had a plan: before that it has touched no disk.
type Accountant interface {
	// Account says what was done to the disk of the node, whatever is known of that: Method, Term, Reason, Verified,
	// Left and Details, and another Message where the part's reason is none. The disk is there already, as the plan
	// named it.
	Account(s *Session, p *doc.Part, r *receipt.Receipt)
}

// planned notes that the node has a plan. What is written from now on has a receipt, whatever becomes of the node.
func (r *run) planned(s *Session, p *doc.Part, at time.Time) {
	if _, ok := s.Kind.(Accountant); ok && p.Planned.IsZero() {
		p.Planned = notAfter(at, r.now)
	}
}

// notAfter is at, or now where a clock was set back between them.
func notAfter(at, now time.Time) time.Time {
	if at.IsZero() || at.After(now) {
		return now
	}
	return at
}

// account writes the receipt of a part that has just ended. It comes before the part is stored, so that no shell that
// is killed between the two has lost it.
func (r *run) account(s *Session, p *doc.Part) {
	kind, ok := s.Kind.(Accountant)
	if !ok || p.Planned.IsZero() {
		return
	}
	paper := &receipt.Receipt{V: receipt.Version, ID: ReceiptID(p), Session: s.ID,
		Kind: s.Kind.Traits().Action, By: by(s), Machine: receipt.Machine{ID: p.Node},
		Started: notAfter(p.Planned, r.now), Ended: r.now, Result: receipt.Failed, Message: p.Reason}
	if p.State == doc.Done {
		paper.Result = receipt.Done
	}
	if d := p.Disk; d != nil {
		paper.Disk = receipt.Disk{Path: d.Path, Model: d.Model, Serial: d.Serial, WWN: d.WWN, Size: d.Size}
	} else {
		paper.Left = []string{"the node had a plan and did not say for which of its disks"}
	}
	kind.Account(s, p, paper)
	p.Receipts++
	r.do(Account{paper})
}

// ReceiptID is the id of the receipt with which the part ends, as often as it was offered.
func ReceiptID(p *doc.Part) string { return fmt.Sprintf("%s/%s/%d", p.Session, p.Node, p.Boots) }

// By is the word by which sessions are made: this server knows one operator.
const By = "the holder of the operator's token"

// by is the word by which the session was made.
func by(s *Session) string {
	if s.Spec.Menu != "" {
		return "somebody at the console of the machine, from the menu " + s.Spec.Menu + " that " + By + " wrote"
	}
	return By
}

// Unsigned says that a receipt could not be made, and why.
type Unsigned struct{ Session, Node, Words string }

func (in Unsigned) step(r *run) {
	s := r.sessions[in.Session]
	if s == nil || s.Parts[in.Node] == nil {
		return
	}
	p := s.Parts[in.Node]
	p.NoReceipt = plain.Line(in.Words, maxWords)
	r.do(SavePart{s.ID, p.Node})
	r.do(Show{Session: s.ID})
}

// why is the reason of a failure, which is never empty: a reason that says nothing is told as that.
func why(reason string) string {
	if plain.Blank(reason) {
		return "it failed, and the node does not say why: `diskcast node log` shows what it told before"
	}
	return reason
}

// began is when a part of an older record had its plan.
func began(p *doc.Part) time.Time {
	if p.Over() {
		return p.Planned
	}
	if p.Planned.IsZero() {
		return p.Steps[session.StepPlan].Time
	}
	return p.Planned
}
