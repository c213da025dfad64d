package engine

import (
	"context"
	"fmt"
	"strings"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/internal/waiting"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/fleet"
	"github.com/diskcast/diskcast/server/jobs"
)

// Power is what the engine needs of the power desk.
type Power interface {
	// Switch has a machine be started from the network (doc.PowerOn, doc.PowerCycle) or be off, in its turn, and calls
	// done with what was read back. What was asked under the same key and has not ended is not asked again. Spare is
	// asked right before power is taken away, and says why it must not be; it and done are called from outside.
	Switch(key string, m doc.Machine, want string, spare func() string, done func(doc.PowerRow))
	// Drop takes back what has not begun.
	Drop(key string)
	// Reaches reports whether the machine's power is set up.
	Reaches(ctx context.Context, machine string) (bool, error)
}

// maySwitch refuses a session that is to switch machines whose power this server does not reach.
func (e *Engine) maySwitch(ctx context.Context, spec *doc.Spec) error {
	if spec.Power == "" && !spec.PowerOffFailed {
		return nil
	}
	if e.cfg.Power == nil {
		return refuse("this server switches no machines: leave power away")
	}
	if len(spec.Nodes) == 0 {
		if spec.Power != "" {
			return refuse("power %s is of machines that are named: name them, or give a selector", spec.Power)
		}
		return nil
	}
	var without, unknown []string
	for _, node := range spec.Nodes {
		e.mu.Lock()
		m := e.machineFor(node)
		e.mu.Unlock()
		if m == nil {
			unknown = append(unknown, node)
			continue
		}
		has, err := e.cfg.Power.Reaches(ctx, m.ID)
		if err != nil {
			return fmt.Errorf("power of machine %s: %w", m.Title(), err)
		}
		if !has {
			without = append(without, m.Title())
		}
	}
	switch {
	case len(unknown) > 0:
		return refuse("nothing is known of the machines of %s, and so not how their power is reached: write them down "+
			"(`diskcast machine import`, `diskcast apply`) and set their power up", jobs.Few(unknown))
	case len(without) > 0:
		return refuse("the power of %d of its machines is not set up (%s): `diskcast machine power set %s --driver "+
			"...` does it; or leave these machines or power away", len(without), jobs.Few(without), without[0])
	}
	return nil
}

// machineFor is the machine that a session means by a node, nil when none is known.
func (e *Engine) machineFor(node string) *fleet.Machine {
	mac := macOf(node)
	if n := e.nodes[node]; n != nil {
		mac = n.MACs[0]
	}
	if m := e.fleet.Of(node); m != nil && m.Entered() {
		return m
	} else if h := e.fleet.Holder(mac); h != nil {
		return h // whoever speaks from its NIC now gets nothing of a session
	} else if m != nil {
		return m
	}
	if m := e.fleet.Get(node); m != nil {
		return m
	}
	if owners := e.fleet.Booted(mac); len(owners) == 1 {
		return owners[0]
	}
	return nil
}

func switchKey(session, node, want string) string { return session + "/" + node + "/" + want }

// switchPower has the power of a part's machine be as the part says.
func (e *Engine) switchPower(x jobs.Switch) {
	want := e.jobs.Session(x.Session).Parts[x.Node].Power.Want
	m := e.machineFor(x.Node)
	if e.cfg.Power == nil || m == nil {
		why := "no machine is known of this node"
		if e.cfg.Power == nil {
			why = "this server switches no machines"
		}
		e.switched(x, want, doc.PowerRow{State: doc.Failed, Words: why})
		return
	}
	e.cfg.Power.Switch(switchKey(x.Session, x.Node, want), e.machineView(m), want, func() string {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.tell()
		return e.jobs.Spared(x.Session, x.Node, e.now())
	}, func(row doc.PowerRow) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.switched(x, want, row)
	})
}

// switched takes in what came of a machine's power, and tells it as an event of the session.
func (e *Engine) switched(x jobs.Switch, want string, row doc.PowerRow) {
	in := jobs.Switched{Session: x.Session, Node: x.Node, Want: want, State: row.State, Power: row.Power}
	level := session.Info
	if row.State == doc.Done {
		in.Words = powerDone(want, &row)
	} else {
		level, in.State = session.Error, doc.Failed
		in.Words = "power: " + row.Words
		if row.Machine != "" {
			in.Words += fmt.Sprintf("; next: `diskcast machine power state %s` asks again", row.Machine)
		}
		if want != doc.PowerOff {
			in.Words += "; switched on by hand, it still joins"
		}
	}
	ev := session.Event{Session: x.Session, Step: doc.StepPower, Level: level, Message: in.Words, Time: e.now()}
	if n := e.nodes[x.Node]; n != nil {
		e.record(n, "", ev)
	} else {
		e.tellEvent(x.Session, doc.Event{Node: x.Node, Event: ev})
	}
	e.step(in)
}

// powerDone says what a machine's power came to.
func powerDone(want string, row *doc.PowerRow) string {
	words := []string{"it is " + row.Power + ", by what was read back"}
	if row.Blind {
		words[0] = "it was asked for"
	}
	if row.Boot != "" && want != doc.PowerOff {
		words = append(words, "it boots from the "+row.Boot+" once")
	}
	if row.Words != "" {
		words = append(words, row.Words)
	}
	return strings.Join(words, "; ")
}

// powerFor is what a part that waits waits for when its machine was, or is being, switched on; nil otherwise.
func (e *Engine) powerFor(p *doc.Part) *waiting.For {
	w := p.Power
	switch {
	case w == nil || !p.Joined.IsZero():
	case w.State == doc.Waiting:
		return &waiting.For{Cause: waiting.Switching, Machine: e.title(p.Node)}
	case w.State == doc.Done:
		return &waiting.For{Cause: waiting.Switched, Machine: e.title(p.Node), Why: w.Words}
	}
	return nil
}
