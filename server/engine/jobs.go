package engine

import (
	"context"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/feed"
	"github.com/diskcast/diskcast/server/jobs"
	"github.com/diskcast/diskcast/server/store/record"
)

// The engine is the shell of the state machine in server/jobs: what happens becomes an input of it, and what it says is
// to be done is done here, all under the engine's lock.

// sess is a session. Only steps change it.
type sess = jobs.Session

// running is what runs for a session.
type running struct {
	casts map[int]Cast // that send, by the disk that they are for
	stop  context.CancelFunc
	held  []Object // keep the images from garbage collection until the session is over
}

// run is what runs for the session.
func (e *Engine) run(id string) *running {
	r := e.runs[id]
	if r == nil {
		r = &running{casts: map[int]Cast{}}
		e.runs[id] = r
	}
	return r
}

// step takes in what happened, and does what is to be done about it. What an effect leads to comes after the effects of
// the step before.
func (e *Engine) step(in jobs.Input) {
	e.inputs = append(e.inputs, in)
	if len(e.inputs) > 1 {
		return
	}
	for len(e.inputs) > 0 {
		e.tell()
		for _, x := range e.jobs.Step(e.inputs[0], e.now()) {
			if !e.jobs.Stale(x) {
				e.effect(x)
			}
		}
		e.inputs = e.inputs[1:]
	}
}

// tell tells the state machine what has become of nodes since it was told last.
func (e *Engine) tell() {
	for id, n := range e.news {
		e.jobs.Step(jobs.Seen{Node: id, Facts: e.facts(n)}, e.now())
	}
	clear(e.news)
}

// heard notes that the present boot of the node was heard. The first time since the server started it is as if it said
// hello: a server that was killed may have made a session, and not have told those who were there.
func (e *Engine) heard(n *node) {
	first := n.spoke.IsZero()
	n.speak(e.now())
	e.news[n.ID] = n
	if first && n.Where == doc.Ready {
		e.join(n)
	}
}

func (e *Engine) facts(n *node) jobs.Facts {
	var rival time.Time
	for i := range n.Rivals {
		rival = later(n.Rivals[i].Heard, rival)
	}
	return jobs.Facts{Here: n.Where == doc.Ready, Loading: n.Where == doc.Booting,
		Boot: n.Boot, Heard: n.LastSeen, Rival: rival, Booted: n.Booted,
		Worked: n.Worked, Firmware: n.Inventory.Firmware, Doubt: n.Odd[oddDMI], Odd: n.oddWords(), Trace: startTrace(n),
		Unapproved: e.waitWords(n)}
}

// effect does one thing that the state machine asks for.
func (e *Engine) effect(x jobs.Effect) {
	switch x := x.(type) {
	case jobs.SaveSession:
		if s := e.jobs.Session(x.Session); s != nil {
			e.w.Put(record.SessPrefix+s.ID, recordOf(s))
			e.touchSession(s)
			e.sayEnd(s)
			close(e.activity)
			e.activity = make(chan struct{})
		}
	case jobs.SavePart:
		e.savePart(x.Session, x.Node)
	case jobs.SaveNode:
		if n := e.nodes[x.Node]; n != nil {
			e.saveNode(n)
		}
	case jobs.Prune:
		for _, n := range x.Nodes {
			e.w.Del(record.PartKey(x.Session, n))
			e.feed.Gone(feed.Key{Session: x.Session, Node: n})
		}
		e.w.Del(record.SessPrefix + x.Session)
		delete(e.runs, x.Session)
		e.forgetSaid(x.Session, x.Nodes)
		for _, n := range x.Nodes {
			delete(e.paces, x.Session+"/"+n)
		}
		e.feed.Gone(feed.Key{Session: x.Session})
	case jobs.Show:
		if s := e.jobs.Session(x.Session); s != nil && x.Node == "" {
			e.touchSession(s)
		} else if s != nil {
			e.touchPart(s, x.Node)
		}
	case jobs.Give:
		d := e.jobs.Descriptor(x.Node)
		if n := e.nodes[x.Node]; n != nil && !jobs.SameWork(n.Descriptor, d) {
			e.describe(n, d)
		}
	case jobs.Withdraw:
		// Telling a node that no session has a part for it.
		if n := e.nodes[x.Node]; n != nil && n.Descriptor != nil && n.Descriptor.Action != session.Idle {
			e.describe(n, &session.Descriptor{Action: session.Idle})
		}
	case jobs.Leaves:
		if n := e.nodes[x.Node]; n != nil {
			n.Where = doc.Left
			e.saveNode(n)
		}
	case jobs.Silent:
		if n := e.nodes[x.Node]; n != nil && n.Where == doc.Ready {
			n.Where = doc.Silent
			e.news[n.ID] = n
		}
	case jobs.Account:
		e.account(x.Receipt)
	case jobs.Log:
		e.log.Info(x.Words, x.Attrs...)
	default:
		e.work(x)
	}
}

// work starts and ends what runs for a session.
func (e *Engine) work(x jobs.Effect) {
	switch x := x.(type) {
	case jobs.StartCast:
		e.startCast(e.jobs.Session(x.Session))
	case jobs.StopCast:
		if r := e.runs[x.Session]; r != nil && r.stop != nil {
			r.stop()
		}
	case jobs.Hold:
		s := e.jobs.Session(x.Session)
		if err := e.hold(s); err != nil {
			e.log.Warn("image of a session", "session", s.ID, "image", s.Image.Name, "err", err)
		}
	case jobs.Release:
		e.letGo(x.Session)
	case jobs.DropUpload:
		e.dropUpload(x.Upload)
	case jobs.Switch:
		e.switchPower(x)
	case jobs.RunHook:
		e.runHook(x)
	case jobs.NoHook:
		if e.cfg.Hooks != nil {
			e.cfg.Hooks.Stop(hookKey(x.Session, x.When))
		}
	case jobs.NoSwitch:
		for _, want := range []string{doc.PowerOn, doc.PowerCycle, doc.PowerOff} {
			if e.cfg.Power != nil {
				e.cfg.Power.Drop(switchKey(x.Session, x.Node, want))
			}
		}
	case jobs.Suspect:
		e.suspect(e.jobs.Session(x.Session), x.Disk, x.Chunk)
	}
}

// savePart stores a part, or takes one that is there no more out of the store.
func (e *Engine) savePart(id, node string) {
	s := e.jobs.Session(id)
	if s == nil {
		return
	}
	if p := s.Parts[node]; p != nil {
		e.w.Put(record.PartKey(id, node), record.OfPart(p))
		e.judge(s, p)
		e.touchPart(s, node)
		e.sayPart(s, node)
		return
	}
	e.feed.Gone(feed.Key{Session: id, Node: node})
	e.w.Del(record.PartKey(id, node))
}

// current is the session that the node works for, nil when there is none.
func (e *Engine) current(n *node) *sess { return e.jobs.Current(n.ID) }

// claimed reports whether the node has said that its present part is done, and that does not count yet.
func (e *Engine) claimed(n *node) bool { return e.jobs.Claimed(n.ID) }

// join gives a present node to a session that wants it.
func (e *Engine) join(n *node) { e.step(jobs.Ready{Node: n.ID}) }

// foreseen is Part.Unbootable before the node has looked at its disk. A node that never said hello has no firmware that
// is known.
func (e *Engine) foreseen(s *sess, n *node) string {
	if n == nil {
		return ""
	}
	return s.Foreseen(n.Inventory.Firmware)
}

// starts is jobs.Session.Starts of an image.
func (e *Engine) starts(manifest string) map[string]string {
	m := map[string]string{}
	for _, firmware := range []string{session.BIOS, session.UEFI} {
		if w := e.cfg.Images.FirmwareWarning(manifest, firmware); w != "" {
			m[firmware] = w
		}
	}
	return m
}

// also adds words to those that the operator is shown.
func also(shown, words string) string { return jobs.Also(shown, words) }
