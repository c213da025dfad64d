// Package waiting says of a session, a machine or a node that waits the one thing that it waits for, and the command
// that ends that: the same words for the operator's commands and for the machine's own console.
package waiting

import (
	"fmt"
	"strings"
	"time"
)

// Cause is what is waited for.
type Cause string

// The causes. The first group is of sessions, the others of machines.
const (
	StartTime  Cause = "start time"
	Hook       Cause = "hook" // that runs before it
	Turn       Cause = "turn"
	FirstNodes Cause = "first nodes"
	BusyNodes  Cause = "busy nodes" // FirstNodes, of which some work for another session
	MoreNodes  Cause = "more nodes"
	Stragglers Cause = "stragglers" // of a session that goes: named nodes that did not come

	Approval     Cause = "approval"
	Start        Cause = "start" // of the session in which it has a part
	Unknown      Cause = "unknown machine"
	Power        Cause = "power" // it is known, and not there
	Never        Cause = "never" // this server does not boot it
	Switching    Cause = "switching"
	Switched     Cause = "switched" // on, and it did not come yet
	OtherSession Cause = "other session"
	BootFiles    Cause = "boot files"
	Stuck        Cause = "stuck" // it cannot boot
	OwnDisk      Cause = "own disk"
	Silence      Cause = "silence"
	NextWord     Cause = "next word"
	Again        Cause = "again" // its last part failed
	Work         Cause = "work"  // it has nothing to do
)

// Causes are all of them.
var Causes = []Cause{StartTime, Hook, Turn, FirstNodes, BusyNodes, MoreNodes, Stragglers, Approval, Start, Unknown,
	Power, Never, Switching, Switched, OtherSession, BootFiles, Stuck, OwnDisk, Silence, NextWord, Again, Work}

// For is what somebody waits for. Which fields count depends on the cause.
type For struct {
	Cause   Cause
	Machine string // what the operator calls it; empty: it is not known here
	Session string // that waits, or that the machine waits for
	State   string // of Session, where it is another one that the machine works for
	Why     string // of Approval, Stuck and Again; the name of a Hook
	Secret  bool   // of Again: the session had secrets
	At      time.Time
	There   int // nodes
	Need    int // nodes
	Place   int // in the queue, from 1
	AtOnce  int // casts
	// Switching is how many machines of FirstNodes are being switched on.
	Switching int
	Names     string
	Away      int // of BusyNodes, named nodes that are not there
}

// machine is what stands for a machine in a command.
func (f *For) machine() string {
	if f.Machine == "" {
		return "MACHINE"
	}
	return f.Machine
}

// byNetwork is how a machine comes back to the network.
const byNetwork = "with network boot first in its boot order"

// powers is the command for a machine whose power is set up.
func (f *For) powers(what string) string {
	return fmt.Sprintf("(`diskcast machine power %s %s`, where its power is set up)", what, f.machine())
}

// Words are what is waited for, and what ends that.
func (f *For) Words() string {
	switch f.Cause {
	case StartTime:
		words := "its start time, " + f.At.UTC().Format(time.RFC3339)
		if f.There > 0 {
			return words + fmt.Sprintf(": `diskcast session go %s` starts it now", f.Session)
		}
		return words + fmt.Sprintf(": `diskcast session edit %s --at TIME` changes it", f.Session)
	case Hook:
		return fmt.Sprintf("hook %s, which runs before it: `diskcast session cancel %s` ends both", f.Why, f.Session)
	case Turn:
		return fmt.Sprintf("its turn, at place %d: %s cast, and the server casts no more at once than %d; `diskcast "+
			"session edit %s --priority N` moves it in the queue", f.Place, f.Names, f.AtOnce, f.Session)
	case FirstNodes:
		if f.Switching > 0 {
			return fmt.Sprintf("its first nodes: %d must come, and none is there; %d machines are being switched on "+
				"(`diskcast session show %s`)", f.Need, f.Switching, f.Session)
		}
		return fmt.Sprintf("its first nodes: %d must come, and none is there; switch them on, %s, or `diskcast "+
			"session cancel %s`", f.Need, byNetwork, f.Session)
	case BusyNodes:
		words := fmt.Sprintf("its first nodes: %d must come, and none is free: %s for session %s (%s), which "+
			"`diskcast session watch %s` follows and `diskcast session cancel %s` ends", f.Need, f.Names, f.Session,
			f.State, f.Session, f.Session)
		if f.Away > 0 {
			words += fmt.Sprintf("; %d more of its nodes are not there: switch them on, %s", f.Away, byNetwork)
		}
		return words
	case MoreNodes:
		words := fmt.Sprintf("more nodes: %d of the %d that it starts with are there", f.There, f.Need)
		if f.Names != "" {
			words += ", and not " + f.Names
		}
		return words + fmt.Sprintf("; `diskcast session go %s` starts now with those that are", f.Session)
	case Stragglers:
		return fmt.Sprintf("%d of its %d nodes did not come (%s): `diskcast session go %s` ends it without them",
			f.There, f.Need, f.Names, f.Session)
	}
	return f.ofMachine()
}

func (f *For) ofMachine() string {
	switch f.Cause {
	case Approval:
		return fmt.Sprintf("its approval: %s; on the server, `diskcast machine approve %s` ends this",
			f.Why, f.machine())
	case Start:
		return fmt.Sprintf("session %s to start; on the server, `diskcast session show %s` says what it waits for, "+
			"and `diskcast session go %s` starts it with the machines that are there", f.Session, f.Session, f.Session)
	case Unknown:
		return "a machine that this server never saw: is the address right? If so, switch it on, " + byNetwork
	case Power:
		return "the machine, which is known and was not seen as this node: switch it on, " + byNetwork + " " +
			f.powers("on")
	case Never:
		return fmt.Sprintf("the machine, which this server does not boot: when idle, it is never (%s); `diskcast "+
			"machine set %s --when-idle wait` ends that", f.Why, f.machine())
	case Switching:
		return fmt.Sprintf("its machine to be switched on, which is asked for and not read back yet (`diskcast "+
			"machine power state %s`)", f.machine())
	case Switched:
		return fmt.Sprintf("the machine, of which %s; if it does not come, look at its console and its boot order "+
			"(`diskcast machine power state %s`)", f.Why, f.machine())
	case OtherSession:
		return fmt.Sprintf("the node to be done with session %s (%s), for which it works: `diskcast session cancel "+
			"%s` frees it", f.Session, f.State, f.Session)
	case BootFiles:
		return fmt.Sprintf("the machine, which fetches its boot files; `diskcast node show %s` says how far it is",
			f.machine())
	case Stuck:
		return fmt.Sprintf("the machine, which cannot boot: %s (`diskcast node show %s`)", strings.TrimSpace(f.Why),
			f.machine())
	case OwnDisk:
		return "the machine, which started its own disk: restart it, " + byNetwork + " " + f.powers("cycle")
	case Silence:
		return "the machine, whose agent is silent: look at its console, or restart it " + f.powers("cycle")
	case NextWord:
		return fmt.Sprintf("the machine's next word (`diskcast node log %s` has its last)", f.machine())
	case Again:
		if f.Secret {
			return fmt.Sprintf("another try: in session %s it %s; make the session anew (`diskcast session create`), "+
				"for its secrets were forgotten with it", f.Session, f.Why)
		}
		return fmt.Sprintf("another try: in session %s it %s; `diskcast session retry %s` does it again", f.Session,
			f.Why, f.Session)
	case Work:
		return fmt.Sprintf("a session; on the server, `diskcast session create --image IMAGE --nodes %s` makes one",
			f.machine())
	}
	return ""
}
