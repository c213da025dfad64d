package jobs

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
)

// greet settles what a reboot of the node means for its part.
func (r *run) greet(n *Node) {
	r.settleReboot(n)
	if r.Claimed(n.ID) {
		r.do(Withdraw{n.ID})
		return
	}
	s := r.Current(n.ID)
	switch {
	case n.Unapproved == "":
	case s == nil:
		r.do(Withdraw{n.ID})
		return
	default:
		r.withhold(s, n, s.Parts[n.ID])
		return
	}
	if s == nil {
		// A node that failed is restarted by the operator to try again.
		if last := r.sessions[n.Last]; last != nil && last.Going() {
			if p := last.Parts[n.ID]; p != nil && p.State == doc.Failed {
				n.Session = last.ID
				r.offer(last, n, p)
				return
			}
		}
		r.do(Withdraw{n.ID})
		return
	}
	if p := s.Parts[n.ID]; p.State != doc.Waiting {
		r.offer(s, n, p)
	}
}

// withhold keeps a part from a node that is not approved. A part that has not begun waits again; of one that has, the
// node is told nothing any more, and the boot that was approved may go on with it.
func (r *run) withhold(s *Session, n *Node, p *doc.Part) {
	switch {
	case p.State != doc.Waiting:
	case s.Spec.All || s.Spec.Count > 0:
		s.remove(n.ID)
		n.Session = ""
	default:
		p.Joined, p.Heard, p.Steps = time.Time{}, time.Time{}, nil
		n.Session = ""
	}
	r.do(Withdraw{n.ID})
	r.do(SavePart{s.ID, n.ID})
	r.do(SaveNode{n.ID})
	r.do(Show{Session: s.ID})
}

// offer gives the node its descriptor.
func (r *run) offer(s *Session, n *Node, p *doc.Part) {
	if n.Unapproved != "" {
		r.withhold(s, n, p)
		return
	}
	if p.Over() { // that plan has its receipt
		p.Planned = time.Time{}
	}
	p.State, p.Reason, p.Warning, p.Progress, p.Step = doc.Offered, "", "", nil, ""
	p.Unbootable, p.Result, p.Left, p.Life = s.Foreseen(n.Firmware), nil, "", nil
	p.Handed, p.Shell = nil, nil
	r.settlePower(s, p, doc.Cancelled, "the machine began its part again")
	p.Steps, p.Heard = n.trace(), r.now
	p.Boots++
	if why := s.Kind.Refuse(&n.Facts); why != "" {
		r.finishPart(s, p, doc.Failed, why)
		return
	}
	if s.Kind.Traits().Writes {
		n.Imaged = false
	}
	r.do(SavePart{s.ID, n.ID})
	r.do(SaveNode{n.ID})
	r.do(Give{n.ID})
}

// maxReboots is how many boots a part shows.
const maxReboots = 16

func (in Rebooted) step(r *run) {
	s := r.Current(in.Node)
	if s == nil {
		return
	}
	p := s.Parts[in.Node]
	p.Reboots = append(p.Reboots, doc.Mark{Time: r.now, Message: in.Words})
	if len(p.Reboots) > maxReboots {
		p.Reboots = slices.Delete(p.Reboots, 0, len(p.Reboots)-maxReboots)
	}
	r.do(SavePart{s.ID, p.Node})
}

func (in TookBack) step(r *run) {
	s := r.Current(in.Node)
	if s == nil || s.ID != in.Session {
		return
	}
	p := s.Parts[in.Node]
	p.Step, p.Steps, p.Heard = in.Step, in.Steps, r.now
	if p.State == doc.Offered && p.Step != "" {
		p.State = doc.Running
	}
	r.do(SavePart{s.ID, p.Node})
}

// settleReboot ends the part of a node that has everything on its disk, reported so, and boots again before its last
// report came through.
func (r *run) settleReboot(n *Node) {
	s := r.Current(n.ID)
	if s == nil {
		return
	}
	if p := s.Parts[n.ID]; p.State == doc.Running && s.Kind.Complete(s, p) {
		r.claimDone(s, n, p, "")
	}
}

// claimDone ends the node's part as done, at once when nobody else can be the machine, else when that is known. A new
// boot id is a reboot when the boot before is silent, and another machine when it is not. Until that is known, what the
// new one says counts, but for its end. The boot that said so, if one did, keeps its descriptor meanwhile, since it is
// about to leave.
func (r *run) claimDone(s *Session, n *Node, p *doc.Part, boot string) {
	if r.Settled(n.ID, r.now) {
		r.finishPart(s, p, doc.Done, "")
		return
	}
	if !r.Claimed(n.ID) {
		n.Claim = &Claim{Session: s.ID, Boot: boot}
		r.log("node says that it is done; that counts when its other boots are silent",
			"session", s.ID, "node", n.ID, "for", Quiet)
	}
	r.do(SaveNode{n.ID})
	r.do(Withdraw{n.ID})
	r.do(SavePart{s.ID, n.ID})
}

// settleClaim ends a part whose claim holds by now, and reports whether there is a claim.
func (r *run) settleClaim(s *Session, n *Node, p *doc.Part) bool {
	if n.Session != s.ID || !r.Claimed(n.ID) {
		return false
	}
	if r.Settled(n.ID, r.now) {
		r.finishPart(s, p, doc.Done, "")
		if s.Stays() && n.Here && r.Current(n.ID) == nil {
			r.join(n)
		}
	}
	return true
}

// finishPart ends one node's part.
func (r *run) finishPart(s *Session, p *doc.Part, state, reason string) {
	if state == doc.Done && r.leave(s, p) {
		return
	}
	if state == doc.Failed {
		reason = why(reason)
	}
	p.State, p.Reason = state, reason
	r.left(s, p)
	r.account(s, p)
	r.log("node is over with its part", "session", s.ID, "node", p.Node, "state", state, "reason", reason)
	r.do(SavePart{s.ID, p.Node})
	if n := r.nodes[p.Node]; n != nil {
		if other := r.Current(n.ID); other == nil || other == s {
			r.free(s, n, p)
		}
	}
	r.maybeEnd(s)
}

// free lets a node go whose part is over.
func (r *run) free(s *Session, n *Node, p *doc.Part) {
	n.Session, n.Last, n.Claim = "", s.ID, nil
	if !s.Kind.Traits().Keeps {
		n.Imaged = (p.State == doc.Done || p.State == doc.Starting) && s.Kind.Traits().Boots
	}
	r.do(Withdraw{n.ID})
	r.do(SaveNode{n.ID})
}

func (in Reported) step(r *run) {
	n, s, ev := r.nodes[in.Node], r.Current(in.Node), in.Event
	if s == nil || ev.Session != s.ID {
		return
	}
	p := s.Parts[in.Node]
	p.Heard = r.now
	if p.State == doc.Waiting {
		return // it was told nothing yet
	}
	if ev.Progress != nil && sane(ev.Progress) {
		p.Progress = ev.Progress
	}
	mark := doc.Mark{Time: ev.Time, Since: ev.Since, Message: ev.Message}
	if why := s.nowhere(ev.Disk); why != "" && ev.Step != session.StepLog {
		r.finishPart(s, p, doc.Failed, why)
		r.join(n)
		return
	}
	switch ev.Step {
	case session.StepLog:
		return
	case session.StepProgress:
		p.State = doc.Running
		r.do(Show{s.ID, p.Node})
		return
	case session.StepFailed:
		s.Kind.Report(s, p, &in)
		p.Steps = merge(p.Steps, ev.Step, mark)
		r.finishPart(s, p, doc.Failed, ev.Message)
		r.join(n)
		return
	}
	if ev.Step == session.StepPlan {
		r.planned(s, p, ev.Time)
	}
	out := s.Kind.Report(s, p, &in)
	if !out.Remark {
		step := StepOf(ev.Disk, ev.Step)
		if _, had := p.Steps[step]; !had {
			p.Steps = merge(p.Steps, step, mark)
		}
		p.Step, p.State = ev.Step, doc.Running
	}
	if out.Suspect != nil {
		r.do(Suspect{s.ID, ev.Disk, *out.Suspect})
	}
	if out.Leaves {
		n.Here = false
		r.do(Leaves{n.ID})
	}
	switch {
	case out.Failed != "":
		r.finishPart(s, p, doc.Failed, out.Failed)
	case out.Done:
		r.claimDone(s, n, p, n.Boot)
	default:
		r.do(SavePart{s.ID, p.Node})
	}
	if out.Free {
		r.join(n)
	}
}

// maxSteps bounds the steps of a part that nobody knows: a node may name any.
const maxSteps = 64

func merge(steps map[string]doc.Mark, step string, m doc.Mark) map[string]doc.Mark {
	if steps == nil {
		steps = map[string]doc.Mark{}
	}
	if _, had := steps[step]; had || known(step) || len(steps) < maxSteps {
		steps[step] = m
	}
	return steps
}

// known reports whether the protocol has the step, of any disk.
func known(step string) bool {
	disk, plain, more := strings.Cut(step, "/")
	if !more {
		return session.Known(step)
	}
	n, err := strconv.Atoi(disk)
	return err == nil && n > 1 && n <= session.MaxDisks && session.Known(plain)
}

func sane(p *session.Progress) bool {
	for _, v := range []int64{p.Received, p.Needed, p.Multicast, p.Unicast, p.Written, p.ToWrite, p.Rejected,
		p.Read, p.ToRead, p.Sent} {
		if v < 0 {
			return false
		}
	}
	return p.Loss >= 0 && p.Loss <= 1
}
