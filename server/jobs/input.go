package jobs

import (
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
)

// Inputs of sessions.
type (
	// Created is a new session, which is stored already and whose image is held. It takes the nodes that are there.
	Created struct{ Session *Session }
	// Resumed comes after Load. Starts is Session.Starts by session.
	Resumed struct{ Starts map[string]map[string]string }
	// Tick has what is due by time done. State is why records cannot be stored.
	Tick struct{ State Trouble }
	// Go starts a session with the nodes that are there; the others are not waited for.
	Go struct{ Session string }
	// Edited changes what may still be changed of a session: see MayEdit.
	Edited struct {
		Session string
		Change  doc.SessionChange
	}
	// Removed forgets a session that is over.
	Removed struct{ Session string }
	// Cancel ends a session by the operator's word.
	Cancel struct{ Session string }
	// Broken ends a session for which the server itself cannot go on.
	Broken struct{ Session, Reason string }
	// CastRuns, CastBroke and CastEnded tell of a session's cast: that it sends; that it stopped and is started again;
	// and that it has ended, with what is to be shown of it.
	CastRuns struct {
		Session string
		Disk    int // that it is for, counted from 0
	}
	CastBroke struct{ Session, Words string }
	CastEnded struct {
		Session string
		Disk    int
		Shown   *doc.Cast
	}
	// CastMoved gives a session's cast other parameters, which its nodes are told.
	CastMoved struct {
		Session string
		Disk    int
		Params  *session.Cast
		Secret  []byte
	}
	// Switched says what came of a Switch: State is doc.Done or doc.Failed, Power and Words are those of doc.PartPower.
	Switched struct{ Session, Node, Want, State, Power, Words string }
	// HookEnded says what came of a RunHook: State is doc.Done or doc.Failed.
	HookEnded struct{ Session, When, State, Words, Output string }
	// Stored says that what the session's node sent is an image.
	Stored struct {
		Session string
		Image   session.Image
	}
	// StoreFailed says that something that the session's node sent could not be stored, and why; StoreWell that it
	// could.
	StoreFailed struct{ Session, Words string }
	StoreWell   struct{ Session string }
)

// Inputs of nodes.
type (
	// Seen tells what is known of a node.
	Seen struct {
		Node  string
		Facts Facts
	}
	// Forgotten says that there is no such node any more.
	Forgotten struct{ Node string }
	// Ready says that the node's agent waits for work.
	Ready struct{ Node string }
	// Restarting says that a node asks what to boot; Greeted that a new boot of it said hello; CameBack that a boot did
	// which another one had taken the place of. Ready follows the last two.
	// Unready says that the node may not be taken any more. A part that it waits with goes back to waiting for it.
	Unready    struct{ Node string }
	Restarting struct{ Node string }
	Greeted    struct{ Node string }
	CameBack   struct{ Node string }
	// Rebooted puts a boot into the timeline of the node's part.
	Rebooted struct {
		Node  string
		Words string
	}
	// TookBack gives a node's part what it had come to by the word of the boot that speaks again.
	TookBack struct {
		Node, Session, Step string
		Steps               map[string]doc.Mark
	}
	// Contested says that two boots of the node are alive, in words.
	Contested struct{ Node, Words string }
	// Odd puts words on who speaks as a node on its part: of the session that it works for, or of the one that is
	// named, even when it is over.
	Odd struct{ Node, Session, Words string }
	// Added gives a session that is not over one more part; Renamed makes one that nobody joined another node's.
	Added   struct{ Part *doc.Part }
	Renamed struct{ Session, From, To string }
	// ChoseDisk says which disk the node's plan chose in the session that it works for, as which of its disks. The
	// first one counts.
	ChoseDisk struct {
		Node string
		Disk session.DiskID
		Of   int
	}
	// Handed says that the node was given its personalization.
	Handed struct {
		Node   string
		Handed doc.Handed
	}
	// Traced says when the agent of the node's present boot began.
	Traced struct {
		Node string
		Mark doc.Mark
	}
	// Reported is an event of the node. Free is how many bytes the image store has free; below 0 where that is not
	// known.
	Reported struct {
		Node  string
		Event *session.Event
		Free  int64
	}
)

func (in Created) step(r *run) {
	s := in.Session
	if r.sessions[s.ID] != nil {
		return
	}
	r.prune()
	s.waited = s.Created
	r.sessions[s.ID] = s
	r.order = append(r.order, s.ID)
	r.do(SaveSession{s.ID})
	for _, n := range r.sorted() {
		if n.Here && r.now.Sub(n.Heard) < Presence {
			r.join(n)
		}
	}
	r.advance(s, Trouble{})
}

func (in Tick) step(r *run) {
	for _, s := range r.byTurn() {
		if !s.Over() {
			r.advance(s, in.State)
		}
	}
}

func (in Cancel) step(r *run) {
	if s := r.sessions[in.Session]; s != nil && !s.Over() {
		r.end(s, doc.Cancelled, "cancelled by the operator")
	}
}

func (in Broken) step(r *run) {
	if s := r.sessions[in.Session]; s != nil && !s.Over() {
		r.end(s, doc.Failed, in.Reason)
	}
}

func (in CastRuns) step(r *run) {
	s := r.sessions[in.Session]
	if s == nil || s.nowhere(in.Disk) != "" {
		return
	}
	if s.casting == nil {
		s.casting = map[int]bool{}
	}
	s.casting[in.Disk] = true
	if s.Reason != "" && !s.Over() {
		s.Reason = ""
		r.do(SaveSession{s.ID})
	}
}

func (in CastBroke) step(r *run) {
	if s := r.sessions[in.Session]; s != nil && !s.Over() {
		s.Reason = in.Words
		r.do(SaveSession{s.ID})
	}
}

func (in CastEnded) step(r *run) {
	if s := r.sessions[in.Session]; s != nil && s.nowhere(in.Disk) == "" {
		delete(s.casting, in.Disk)
		s.shown(in.Disk, in.Shown)
		r.do(SaveSession{s.ID})
	}
}

func (in CastMoved) step(r *run) {
	s := r.sessions[in.Session]
	if s == nil || s.Over() || s.nowhere(in.Disk) != "" {
		return
	}
	s.Send(in.Disk, Sending{in.Params, in.Secret})
	r.do(SaveSession{s.ID})
	for _, id := range s.Order {
		p, n := s.Parts[id], r.nodes[id]
		if n != nil && n.Session == s.ID && (p.State == doc.Offered || p.State == doc.Running) && !r.Claimed(id) {
			r.do(Give{id})
		}
	}
}

func (in Stored) step(r *run) {
	if s := r.sessions[in.Session]; s != nil && !s.Over() {
		s.Image = in.Image
		r.do(SaveSession{s.ID})
	}
}

func (in StoreFailed) step(r *run) {
	s := r.sessions[in.Session]
	if s == nil || s.Over() {
		return
	}
	if s.Store.Since.IsZero() {
		s.Store.Since = r.now
	}
	s.Store.Words = in.Words
	r.do(Show{Session: s.ID})
}

func (in StoreWell) step(r *run) {
	if s := r.sessions[in.Session]; s != nil && !s.Over() {
		s.Store = Trouble{}
	}
}

func (in Seen) step(r *run) { r.node(in.Node).Facts = in.Facts }

func (in Forgotten) step(r *run) { delete(r.nodes, in.Node) }

func (in Ready) step(r *run) {
	if n := r.nodes[in.Node]; n != nil {
		r.join(n)
	}
}

func (in Unready) step(r *run) {
	if n, s := r.nodes[in.Node], r.Current(in.Node); n != nil && s != nil && s.Parts[in.Node].State == doc.Waiting {
		r.withhold(s, n, s.Parts[in.Node])
	}
}

func (in Restarting) step(r *run) {
	if n := r.nodes[in.Node]; n != nil {
		r.settleReboot(n)
	}
}

func (in Greeted) step(r *run) {
	if n := r.nodes[in.Node]; n != nil {
		r.greet(n)
	}
}

func (in CameBack) step(r *run) {
	node := in.Node
	if n, s := r.nodes[node], r.Current(node); s == nil {
		r.do(Withdraw{node})
	} else if n.Unapproved != "" {
		r.withhold(s, n, s.Parts[node])
	} else if s.Parts[node].State != doc.Waiting {
		r.do(Give{node})
	}
}

func (in Contested) step(r *run) {
	s := r.Current(in.Node)
	if s == nil {
		return
	}
	p := s.Parts[in.Node]
	if !r.Claimed(in.Node) && !s.Kind.Traits().Sure {
		p.Identity = Also(p.Identity, in.Words)
		r.do(SavePart{s.ID, p.Node})
		return
	}
	// One of them says that it is done, or may have sent its own disk: nobody can tell whose word it is.
	r.finishPart(s, p, doc.Failed, in.Words+": find the one that is not the machine, and run a new session")
}

func (in Odd) step(r *run) {
	s := r.Current(in.Node)
	if in.Session != "" {
		s = r.sessions[in.Session]
	}
	if s == nil || s.Parts[in.Node] == nil {
		return
	}
	p := s.Parts[in.Node]
	p.Identity = Also(p.Identity, in.Words)
	r.do(SavePart{s.ID, p.Node})
	r.do(Show{Session: s.ID})
}

func (in Added) step(r *run) {
	if s := r.sessions[in.Part.Session]; s != nil && !s.Over() && s.Parts[in.Part.Node] == nil {
		s.Add(in.Part)
		r.do(SavePart{s.ID, in.Part.Node})
	}
}

func (in ChoseDisk) step(r *run) {
	s := r.Current(in.Node)
	if s == nil || s.nowhere(in.Of) != "" {
		return
	}
	if p, disk := s.Parts[in.Node], in.Disk; settleDisk(p, in.Of, disk) {
		r.do(SavePart{s.ID, p.Node})
		r.log("disk chosen", "session", s.ID, "node", p.Node, "disk", disk.Words())
	}
}

func (in Handed) step(r *run) {
	if s := r.Current(in.Node); s != nil {
		p, h := s.Parts[in.Node], in.Handed
		p.Handed = &h
		r.do(SavePart{s.ID, p.Node})
		r.log("personalization handed out", "session", s.ID, "node", p.Node)
	}
}

func (in Traced) step(r *run) {
	if s := r.Current(in.Node); s != nil {
		p := s.Parts[in.Node]
		p.Steps = merge(p.Steps, session.StepAgent, in.Mark)
		r.do(SavePart{s.ID, p.Node})
	}
}
