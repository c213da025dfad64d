package jobs_test

import (
	"slices"
	"strings"

	"github.com/diskcast/diskcast/internal/receipt"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/jobs"
)

// check holds what the package's comment says; the numbers are those of the comment.
func (sh *shell) check() {
	for _, id := range sh.st.Order() {
		sh.checkSession(sh.st.Session(id))
	}
	for _, id := range sorted(sh.nodes) {
		sh.checkNode(id)
	}
	for id := range sh.casts {
		if s := sh.st.Session(id); s == nil || !s.Going() {
			sh.fail("6: a cast runs for session %s, which does not go", id)
		}
	}
	for id := range sh.held {
		if s := sh.st.Session(id); s == nil || s.Over() {
			sh.fail("6: the image of session %s is held, which is over", id)
		}
	}
	for key := range sh.switching {
		id, node, _ := strings.Cut(key, "/")
		if s := sh.st.Session(id); s == nil || s.Parts[node] == nil {
			sh.fail("13: a machine is switched for part %s, which is there no more", key)
		}
	}
	for key := range sh.hooks {
		id, when, _ := strings.Cut(key, "/")
		s := sh.st.Session(id)
		if s == nil || !slices.ContainsFunc(s.Hooks, func(h doc.HookRun) bool { return h.When == when }) {
			sh.fail("14: a hook runs %s session %s, which has none", when, id)
		}
	}
	for id := range sh.uploads {
		if s := sh.st.Session(id); s == nil || s.Over() {
			sh.fail("6: what has come of the upload of session %s is there, which is over", id)
		}
	}
}

// switches takes in what is asked of a machine's power, and holds that it may be asked.
func (sh *shell) switches(x jobs.Switch) {
	s := sh.st.Session(x.Session)
	p := s.Parts[x.Node]
	if sh.switching[x.Session+"/"+x.Node] {
		return
	}
	switch p.Power.Want {
	case doc.PowerOff:
		if s.Spec.PowerOffFailed && p.State == doc.Failed {
			break
		}
		sh.fail("13: the machine of part %s/%s, which is %s, is switched off", s.ID, x.Node, p.State)
	case s.Spec.Power:
		if p.Joined.IsZero() && !p.Over() && s.Prepared() && (s.Go || !sh.now.Before(s.Spec.At) ||
			p.Power.Asked > 1) { // the clock may have been set back since
			break
		}
		sh.fail("13: the machine of part %s/%s, which is %s, is asked for; it joined at %v, and the session starts at "+
			"%v", s.ID, x.Node, p.State, p.Joined, s.Spec.At)
	default:
		sh.fail("13: session %s never asked for %q", s.ID, p.Power.Want)
	}
	sh.switching[x.Session+"/"+x.Node] = true
}

// checkPower holds that what is asked of a machine's power is with the shell, and nothing else is.
func (sh *shell) checkPower(s *jobs.Session, p *doc.Part) {
	key := s.ID + "/" + p.Node
	if asked := p.Power != nil && p.Power.State == doc.Waiting; asked != sh.switching[key] {
		sh.fail("13: part %s has %+v, and its machine is being switched: %v", key, p.Power, sh.switching[key])
	}
	if p.Power != nil && p.Power.State == doc.Waiting && p.Power.Want != doc.PowerOff &&
		(s.Over() || p.Over() || !p.Joined.IsZero()) {
		sh.fail("13: part %s is %s, its node joined at %v, and its machine is still asked for", key, p.State, p.Joined)
	}
	if was, ok := sh.powers[key]; ok && was && (p.Power == nil || p.Power.State == doc.Done) && !sh.answered[key] &&
		p.Joined.IsZero() {
		sh.fail("13: the power of part %s is %+v, and nobody said so", key, p.Power)
	}
	sh.powers[key] = p.Power != nil && p.Power.State == doc.Waiting
}

// maxCasts is how many sessions of a shell cast at once.
const maxCasts = 2

// checkStart holds that a session which starts to cast has its turn and its time.
func (sh *shell) checkStart(s *jobs.Session, was string) {
	if was != s.State && s.Going() && !s.Prepared() {
		sh.fail("14: session %s starts, and its hook has not ended well: %+v", s.ID, s.Hooks)
	}
	if was == s.State || !s.Going() || len(s.Casts()) == 0 {
		return
	}
	if sh.now.Before(s.Spec.At) && !s.Go {
		sh.fail("11: session %s casts before its start time", s.ID)
	}
	casting := 0
	for _, id := range sh.st.Order() {
		if sh.st.Session(id).Sends() {
			casting++
		}
	}
	if casting > maxCasts {
		sh.fail("11: session %s starts to cast, and %d do", s.ID, casting)
	}
}

func (sh *shell) checkSession(s *jobs.Session) {
	id := s.ID
	sh.checkStart(s, sh.begun[id])
	sh.begun[id] = s.State
	if end, over := sh.ended[id]; over && end != s.State+": "+s.Reason {
		sh.fail("1: session %s ended as %q and is %q", id, end, s.State+": "+s.Reason)
	}
	if s.Over() {
		sh.ended[id] = s.State + ": " + s.Reason
	}
	if s.Going() && len(s.Casts()) > 0 && !sh.casts[id] {
		sh.fail("6: session %s goes and has no cast", id)
	}
	if !s.Over() && s.Kind.Traits().Cast && !sh.held[id] {
		sh.fail("6: the image of session %s is not held", id)
	}
	if s.Spec.Count > 0 && len(s.Parts) > s.Spec.Count {
		sh.fail("7: session %s of %d nodes has %d parts", id, s.Spec.Count, len(s.Parts))
	}
	for _, h := range s.Hooks {
		if runs := h.State == doc.Running; runs != sh.hooks[id+"/"+h.When] {
			sh.fail("14: hook %+v of session %s is %s, and runs: %v", h, id, s.State, !runs)
		}
	}
	if s.Over() && s.Spec.After != "" && s.Prepared() &&
		!slices.ContainsFunc(s.Hooks, func(h doc.HookRun) bool { return h.When == doc.HookAfter }) {
		sh.fail("14: session %s is over, and its hook after did not begin: %+v", id, s.Hooks)
	}
	for node, p := range s.Parts {
		sh.checkPart(s, node, p)
	}
	if was := sh.sessions[id].state; was != s.State {
		sh.fail("9: session %s is %s and stored as %q", id, s.State, was)
	}
}

func (sh *shell) checkPart(s *jobs.Session, node string, p *doc.Part) {
	key := s.ID + "/" + node
	was, had := sh.states[key]
	_, ended := sh.ended[s.ID]
	switch {
	case had && was != p.State && (was == doc.Done || was == doc.Cancelled):
		sh.fail("2: part %s was %s and is %s", key, was, p.State)
	case s.Going() && sh.st.Current(node) == s && p.State == doc.Waiting:
		sh.fail("5: session %s goes, and part %s waits", s.ID, key)
	case s.Over() && !p.Over():
		sh.fail("3: session %s is over and part %s is %s", s.ID, key, p.State)
	case had && was != p.State && ended && doc.Over(was):
		sh.fail("1: part %s was %s when its session ended, and is %s", key, was, p.State)
	case had && was != p.State && p.State == doc.Done &&
		(!(sh.word[key] || s.Image.Manifest == "sha256:1") || !sh.st.Settled(node, sh.now)):
		sh.fail("8: part %s is done, and its node said so: %v, alone: %v", key, sh.word[key],
			sh.st.Settled(node, sh.now))
	}
	for i := range s.Disks() {
		if had && was != p.State && p.State == doc.Done && s.Kind.Traits().Several && !jobs.Reached(p, i,
			session.StepWritten) {
			sh.fail("15: part %s is done, and its node never told that disk %d is written", key, i+1)
		}
	}
	sh.checkReceipt(s, p)
	sh.checkPower(s, p)
	if p.State == doc.Offered && !sh.st.Claimed(node) {
		delete(sh.word, key)
	}
	sh.states[key] = p.State
	// Progress makes a part run, and is not stored.
	if was := sh.parts[key].state; was != p.State && (p.State != doc.Running || was != doc.Offered) {
		sh.fail("9: part %s is %s and stored as %q", key, p.State, was)
	}
}

// accounted takes a receipt in.
func (sh *shell) accounted(r *receipt.Receipt) {
	if sh.papers[r.ID] {
		sh.fail("12: there are two receipts %s", r.ID)
	}
	sh.papers[r.ID] = true
	whole := *r
	whole.Server.Name = "lab"
	if err := whole.Check(); err != nil {
		sh.fail("12: %v: %+v", err, r)
	}
}

// checkReceipt holds that a part which ended has a receipt if its node had a plan, and else none. A part may have been
// tried again since, and have failed before there was another plan.
func (sh *shell) checkReceipt(s *jobs.Session, p *doc.Part) {
	_, gives := s.Kind.(jobs.Accountant)
	key, id := s.ID+"/"+p.Node, jobs.ReceiptID(p)
	has, planned := sh.papers[id], sh.plans[key] && (sh.paid[key] == "" || sh.paid[key] == id)
	if has != (gives && p.Over() && planned) {
		sh.fail("12: part %s is %s, its node had a plan: %v, and it has a receipt: %v", key, p.State, planned, has)
	}
	if has {
		sh.paid[key] = id
	}
}

func (sh *shell) checkNode(id string) {
	n, now := sh.nodes[id], sh.st.Node(id)
	if now == nil {
		return
	}
	s := sh.st.Current(id)
	if now.Session != "" && (s == nil || s.ID != now.Session) {
		sh.fail("4: node %s works for session %s, in which it has no part that is not over", id, now.Session)
	}
	if n.Assignment.Session != now.Session || n.Assignment.Imaged != now.Imaged {
		sh.fail("9: node %s has %+v and is stored with %+v", id, now.Assignment, n.Assignment)
	}
	d := n.Descriptor
	told := d != nil && d.Action != session.Idle
	if told && (s == nil || d.Session != s.ID || !s.Going()) {
		sh.fail("5: node %s is told %s of session %s, and works for %q", id, d.Action, d.Session, now.Session)
	}
	if s != nil && sh.st.Told(id) && !told {
		sh.fail("5: node %s is not told of its part in session %s", id, s.ID)
	}
}
