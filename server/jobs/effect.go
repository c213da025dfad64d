package jobs

import (
	"github.com/diskcast/diskcast/internal/receipt"
	"github.com/diskcast/diskcast/server/doc"
)

// Effect is one thing that is to be: one of the types below. They name what is to be as the state says now, so that
// running one twice, or after a later one of its sort, changes nothing. One that came too late is Stale, and is not
// run.
type Effect interface{ effect() }

type (
	// SaveSession stores the session's Record and tells those who watch it.
	SaveSession struct{ Session string }
	// SavePart stores a part and tells those who watch its session. A part that is there no more is taken out of the
	// store.
	SavePart struct{ Session, Node string }
	// SaveNode stores a node with its Assignment.
	SaveNode struct{ Node string }
	// Prune takes the session and the named parts, all that it had, out of the store.
	Prune struct {
		Session string
		Nodes   []string
	}
	// Show tells those who watch the session that the part, or where Node is empty the session, looks different.
	// Nothing is stored.
	Show struct{ Session, Node string }
	// Give gives the node its Descriptor, unless what it has is the SameWork.
	Give struct{ Node string }
	// Withdraw tells a node that has a descriptor to be idle.
	Withdraw struct{ Node string }
	// Leaves notes that the node leaves the network userland; Silent that it is not heard.
	Leaves struct{ Node string }
	Silent struct{ Node string }
	// StartCast has the session's casts run until StopCast, one for each disk, however often they break.
	StartCast struct{ Session string }
	StopCast  struct{ Session string }
	// Hold keeps the images of the session in the store until Release.
	Hold    struct{ Session string }
	Release struct{ Session string }
	// DropUpload throws away what has come of an upload.
	DropUpload struct{ Session, Upload string }
	// Switch has the power of the part's machine be as its doc.PartPower says, and Switched tell what came of it. Run
	// again before that is known, it changes nothing. NoSwitch takes that back, if it has not begun.
	Switch   struct{ Session, Node string }
	NoSwitch struct{ Session, Node string }
	// RunHook has the session's hook run, and HookEnded tell of its end; one that runs is left alone. NoHook ends it.
	RunHook struct{ Session, When string }
	NoHook  struct{ Session, When string }
	// Suspect has the server look at its own copy of a chunk of the session's image; -1 means all of it.
	Suspect struct {
		Session string
		Disk    int // of the image for this one
		Chunk   int
	}
	// Account signs and keeps a receipt, which is whole but for what only a shell knows of server and machine.
	Account struct{ Receipt *receipt.Receipt }
	// Log is a line of the server's log, with its fields.
	Log struct {
		Words string
		Attrs []any
	}
)

func (SaveSession) effect() {}
func (SavePart) effect()    {}
func (SaveNode) effect()    {}
func (Prune) effect()       {}
func (Show) effect()        {}
func (Give) effect()        {}
func (Withdraw) effect()    {}
func (Leaves) effect()      {}
func (Silent) effect()      {}
func (StartCast) effect()   {}
func (StopCast) effect()    {}
func (Hold) effect()        {}
func (Release) effect()     {}
func (DropUpload) effect()  {}
func (Suspect) effect()     {}
func (Switch) effect()      {}
func (NoSwitch) effect()    {}
func (RunHook) effect()     {}
func (NoHook) effect()      {}
func (Account) effect()     {}
func (Log) effect()         {}

// Stale reports whether the state has left behind what the effect is for: a shell skips it.
func (st *State) Stale(x Effect) bool {
	switch x := x.(type) {
	case Give:
		return !st.Told(x.Node) || st.Claimed(x.Node)
	case Withdraw:
		return st.Told(x.Node)
	case Leaves:
		return st.here(x.Node)
	case Silent:
		return st.here(x.Node)
	case StartCast:
		s := st.sessions[x.Session]
		return s == nil || !s.Going()
	case StopCast:
		s := st.sessions[x.Session]
		return s != nil && s.Going()
	case Hold:
		s := st.sessions[x.Session]
		return s == nil || s.Over()
	case Release:
		s := st.sessions[x.Session]
		return s != nil && !s.Over()
	case DropUpload:
		s := st.sessions[x.Session]
		return s != nil && !s.Over()
	case Suspect:
		s := st.sessions[x.Session]
		return s == nil || s.Over()
	case Switch:
		return !st.switching(x.Session, x.Node)
	case NoSwitch:
		return st.switching(x.Session, x.Node)
	case RunHook:
		return !st.hooking(x.Session, x.When)
	case NoHook:
		return st.hooking(x.Session, x.When)
	}
	return false
}

func (st *State) here(node string) bool {
	n := st.nodes[node]
	return n == nil || n.Here
}

// Told reports whether the node has a descriptor of a part: it works for a session that goes, and no boot of it before
// has done all of that.
func (st *State) Told(node string) bool {
	s := st.Current(node)
	if s == nil || !s.Going() || s.Parts[node].State == doc.Waiting || st.nodes[node].Unapproved != "" {
		return false
	}
	return !st.Claimed(node) || st.nodes[node].Claim.Boot == st.nodes[node].Boot
}
