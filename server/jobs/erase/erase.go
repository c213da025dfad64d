// Package erase is the kind of session that makes what is on disks unreadable.
//
// Each node erases the disk that the rule names by the one method that the spec asks for, looks afterwards whether that
// is so, and reports what came of it. Its part is done by that report, if all was well; the report becomes the receipt.
package erase

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/diskcast/diskcast/internal/erasure"
	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/internal/receipt"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/jobs"
)

// Erasing is the state of a session whose nodes erase.
const Erasing = "erasing"

// Kind is jobs.Kind.
type Kind struct{}

var (
	_ jobs.Kind       = Kind{}
	_ jobs.Accountant = Kind{}
)

// Traits implements jobs.Kind.
func (Kind) Traits() jobs.Traits {
	return jobs.Traits{Action: erasure.Action, State: Erasing, Writes: true, Sure: true}
}

// Is implements jobs.Kind.
func (Kind) Is(spec *doc.Spec) bool { return spec.Kind == erasure.Action }

// Check implements jobs.Kind.
func (Kind) Check(spec *doc.Spec) error {
	switch {
	case spec.Image != "" || spec.Capture != "":
		return errors.New("an erase has no image: it leaves nothing on the disk")
	case spec.Mode != "" || spec.Verify || spec.NoGrow || spec.Rate != 0:
		return errors.New("mode, verify, no_grow and rate are of a restore; what an erase reads back is in its job")
	case spec.Level != "" || spec.Parent != "" || spec.DropGaps:
		return errors.New("level, parent and drop_gaps are of a capture")
	case spec.Target.First || spec.Target.Smallest || spec.Target.Largest:
		return errors.New("an erase takes no disk by its order among others: name it (serial=, wwn=, by-path=), or " +
			"the rule that only one disk fits")
	}
	job, err := erasure.ParseSpec(spec.Job)
	if err != nil {
		return err
	}
	if spec.Boot == nil {
		spec.Boot = &session.Boot{Method: session.BootStay}
	}
	if spec.Boot.Method == session.BootKexec {
		return errors.New("a disk that was erased has nothing to start: stay, reboot or poweroff")
	}
	spec.Job, err = json.Marshal(job) // with what was left out
	return err
}

// Upload implements jobs.Kind.
func (Kind) Upload(string, *doc.Spec) *session.Upload { return nil }

// Refuse implements jobs.Kind.
func (Kind) Refuse(f *jobs.Facts) string {
	if f.Doubt == "" {
		return ""
	}
	return "nothing is erased on a node that may be another machine than is meant: " + f.Doubt
}

// Tell implements jobs.Kind: the descriptor has the job already.
func (Kind) Tell(*jobs.Record, *doc.Part, *session.Descriptor) {}

// Report implements jobs.Kind.
func (Kind) Report(s *jobs.Session, p *doc.Part, x *jobs.Reported) jobs.Outcome {
	if x.Event.Step != erasure.StepErased {
		return jobs.Outcome{}
	}
	if len(x.Event.Result) == 0 {
		return jobs.Outcome{Failed: "the node says that it is done, and its account did not come: " +
			cmp.Or(plain.Line(x.Event.Message, 1024), "it sent none")}
	}
	res, err := erasure.ParseResult(x.Event.Result)
	if err != nil {
		return jobs.Outcome{Failed: "the node says that it is done, and its account cannot be read: " +
			plain.Line(err.Error(), 1024)}
	}
	if p.Result, err = json.Marshal(res); err != nil {
		return jobs.Outcome{Failed: "its account cannot be kept: " + err.Error()}
	}
	if !res.OK {
		return jobs.Outcome{Failed: plain.Line(res.Failure, 1024)}
	}
	if why := lacks(s, p, res); why != "" {
		return jobs.Outcome{Failed: why}
	}
	return jobs.Outcome{Done: true, Leaves: !s.Stays(), Free: s.Stays()}
}

// lacks says why an erase that ended well by its own word is none that was asked for; empty when it is.
func lacks(s *jobs.Session, p *doc.Part, res *erasure.Result) string {
	if _, ok := p.Steps[session.StepPlan]; !ok {
		return "the node says that a disk is erased, and never told its plan: `diskcast node log` shows what it " +
			"told; erase it again"
	}
	asked, err := erasure.ParseSpec(s.Spec.Job)
	if err != nil {
		return err.Error() // no session has such a job
	}
	if err := res.Holds(asked); err != nil {
		return err.Error()
	}
	return other(p, res)
}

// other says why the disk that was erased is not the one that the node's plan had chosen: all that both know must
// agree. A plan of an earlier boot may know it by another path.
func other(p *doc.Part, res *erasure.Result) string {
	if p.Disk == nil {
		return "the node says that a disk is erased of which it told nothing before"
	}
	plan, d := *p.Disk, res.Disk
	plain.AllWords(&plan, 0)
	if p.Boots > 1 && strings.HasPrefix(plan.Path, "/dev/") {
		plan.Path = ""
	}
	differs := d.Size != plan.Size
	for _, f := range []struct{ plan, done string }{{plan.Serial, d.Serial}, {plan.WWN, d.WWN},
		{plan.Path, d.Path}, {plan.BusPath, d.BusPath}} {
		differs = differs || f.plan != "" && f.done != "" && f.plan != f.done
	}
	// The kernel cuts the model of an ATA disk.
	differs = differs || d.Model != "" && !strings.HasPrefix(d.Model, plan.Model)
	if plan.Serial+plan.WWN != "" && d.Serial+d.WWN == "" {
		differs = true
	}
	if differs {
		return fmt.Sprintf("the node's plan was for %s, and it says that it erased %s (%s), serial %s, WWN %s, of %d "+
			"bytes",
			p.Disk.Words(), d.Path, d.Model, cmp.Or(d.Serial, "unknown"), cmp.Or(d.WWN, "unknown"), d.Size)
	}
	return ""
}

// Complete implements jobs.Kind: a node that boots again before it has reported erases once more.
func (Kind) Complete(*jobs.Session, *doc.Part) bool { return false }

// Reason implements jobs.Kind.
func (Kind) Reason(s *jobs.Session, bad []string) string {
	if len(bad) == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d disks are erased; %s", s.DoneParts(), len(s.Parts), jobs.Few(bad))
}

// Account implements jobs.Accountant.
func (Kind) Account(s *jobs.Session, p *doc.Part, r *receipt.Receipt) {
	r.Method, r.Verified = erasure.Action, "no"
	if asked, err := erasure.ParseSpec(s.Spec.Job); err == nil { // no session has another
		r.Method = asked.Method
	}
	res, err := erasure.ParseResult(p.Result)
	if err != nil {
		r.Left = append(r.Left, "what was erased before it failed is not known")
		return
	}
	r.Verified, r.Details = res.ReadBack.Words(), p.Result
	if r.Result == receipt.Done {
		r.Term, r.Reason = res.Term, res.Reason
		r.Disk.Firmware = res.Disk.Firmware
		r.Disk.Model, r.Disk.Serial = cmp.Or(r.Disk.Model, res.Disk.Model), cmp.Or(r.Disk.Serial, res.Disk.Serial)
		r.Disk.WWN = cmp.Or(r.Disk.WWN, res.Disk.WWN)
	}
	for _, a := range res.Unreached {
		r.Left = append(r.Left, a.Words)
	}
}
