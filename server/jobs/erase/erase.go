// Package erase is the kind of session that makes what is on disks unreadable.
//
// Each node erases the disk that the rule names by the one method that the spec asks for, looks afterwards whether that
// is so, and reports what came of it. Its part is done by that report, if all was well; the report becomes the receipt.
package erase

import (
	"encoding/json"
	"errors"
	"fmt"

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
			"the rule that only " +
			"one disk fits")
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
	res, err := result(x.Event.Result)
	if err != nil {
		return jobs.Outcome{Failed: "the node says that it is done, and its account cannot be read: " + err.Error()}
	}
	p.Result = x.Event.Result
	if !res.OK {
		return jobs.Outcome{Failed: plain.Line(res.Failure, 1024)}
	}
	if asked, err := erasure.ParseSpec(s.Spec.Job); err != nil || asked.Method != res.Method {
		return jobs.Outcome{Failed: fmt.Sprintf("the node was asked for the method %s and says that it used %q",
			asked.Method,
			plain.Line(res.Method, 80))}
	}
	if why := other(p, res); why != "" {
		return jobs.Outcome{Failed: why}
	}
	return jobs.Outcome{Done: true, Leaves: !s.Stays(), Free: s.Stays()}
}

// other says why the disk that was erased is not the one that the node's plan had chosen.
func other(p *doc.Part, res *erasure.Result) string {
	if p.Disk == nil {
		return "the node says that a disk is erased of which it told nothing before"
	}
	if d := res.Disk; d.Size != p.Disk.Size || p.Disk.Serial != "" && d.Serial != "" && d.Serial != p.Disk.Serial {
		return fmt.Sprintf("the node's plan was for %s, and it says that it erased %s, serial %s, of %d bytes",
			p.Disk.Words(), plain.Line(d.Model, 80), plain.Line(d.Serial, 80), d.Size)
	}
	return ""
}

func result(raw json.RawMessage) (*erasure.Result, error) {
	res := &erasure.Result{}
	if err := json.Unmarshal(raw, res); err != nil {
		return nil, err
	}
	switch {
	case res.V != erasure.Version:
		return nil, fmt.Errorf("it has version %d, this server reads version %d", res.V, erasure.Version)
	case res.Disk.Size <= 0:
		return nil, errors.New("its disk has no size")
	case res.Term != erasure.None && res.Term != erasure.Clear && res.Term != erasure.Purge, res.Term != erasure.None &&
		res.Reason == "":
		return nil, fmt.Errorf("it claims %q of NIST SP 800-88, with the reason %q", plain.Line(res.Term, 80),
			plain.Line(res.Reason, 80))
	case !res.OK && res.Failure == "":
		return nil, errors.New("it failed and does not say why")
	}
	return res, nil
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

// Account implements jobs.Accountant. Before a node has a plan it has touched no disk.
func (Kind) Account(s *jobs.Session, p *doc.Part, r *receipt.Receipt) bool {
	if _, planned := p.Steps[session.StepPlan]; !planned || p.Disk == nil {
		return false
	}
	asked, err := erasure.ParseSpec(s.Spec.Job)
	if err != nil {
		return false // no session has such a job
	}
	r.Method, r.Disk, r.Verified = asked.Method, jobs.AccountDisk(p.Disk), "no"
	res, err := result(p.Result)
	if err != nil {
		r.Left = []string{"what was erased before it failed is not known"}
		return true
	}
	r.Disk = receipt.Disk{Path: res.Disk.Path, Model: res.Disk.Model, Serial: res.Disk.Serial, WWN: res.Disk.WWN,
		Firmware: res.Disk.Firmware, Size: res.Disk.Size}
	r.Verified, r.Details = res.ReadBack.Words(), p.Result
	if r.Result == receipt.Done {
		r.Term, r.Reason = res.Term, res.Reason
	}
	for _, a := range res.Unreached {
		r.Left = append(r.Left, a.Words)
	}
	return true
}
