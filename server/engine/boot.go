package engine

import (
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/internal/units"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/jobs"
	"github.com/diskcast/diskcast/server/netboot"
)

// Saw records that a machine took a step on its way to the agent. Either mac or addr tells which machine it is.
// A machine that boots becomes a node here, before its hello, so that the operator sees it stuck where it is stuck.
func (e *Engine) Saw(mac string, addr netip.Addr, step, message string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if n := e.bootNode(mac, addr); n != nil {
		e.watchClock()
		e.saw(n, step, message, e.now())
	}
}

// repeats is how long after a DHCP request another one of the same transaction is taken for the same. What waited in a
// socket is read within it; no machine restarts within it, should its firmware always use one number.
const repeats = 10 * time.Second

// Asked records that a machine asks for what to boot, in the DHCP transaction of that number. A request that was sent
// again may be read when the machine has its script by the first one: it begins no other boot.
func (e *Engine) Asked(mac string, addr netip.Addr, transaction uint32, message string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := e.bootNode(mac, addr)
	if n == nil {
		return
	}
	e.watchClock()
	now := e.now()
	if now.Before(n.askedAt.Add(repeats)) && n.asked == transaction {
		n.LastSeen = now
		return
	}
	n.asked, n.askedAt = transaction, now
	e.saw(n, doc.StepDHCP, message, now)
}

func (e *Engine) saw(n *node, step, message string, now time.Time) {
	if step == doc.StepDHCP && e.fresh(n, now) {
		n.begins()
		n.Trace = map[string]doc.Mark{}
		n.Where, n.Problem, n.Relay = doc.Booting, "", ""
	}
	n.LastSeen = now
	if n.Trace == nil {
		n.Trace = map[string]doc.Mark{}
	}
	if _, had := n.Trace[step]; had {
		return // firmware asks more than once; the first time is the step
	}
	message = plain.Line(message, maxMessage)
	n.Trace[step] = doc.Mark{Time: now, Message: message}
	n.Booted = n.Booted || step == doc.StepKernel
	if step == doc.StepLocal {
		n.Where = doc.Left
	}
	ev := session.Event{Step: step, Level: session.Info, Message: message, Time: now}
	if s := e.current(n); s != nil {
		ev.Session = s.ID
	}
	e.record(n, "", ev)
	e.saveNode(n)
}

// Problem records why a machine cannot boot.
func (e *Engine) Problem(mac string, addr netip.Addr, message string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := e.bootNode(mac, addr)
	message = plain.Line(message, maxMessage)
	if n == nil || n.Problem == message {
		return
	}
	n.Problem = message
	e.log.Warn("machine cannot boot", "node", n.ID, "why", message)
	e.record(n, "", session.Event{Step: session.StepLog, Level: session.Warn, Message: message, Time: e.now()})
	e.saveNode(n)
}

// Relayed records who passed a machine's request on, in words.
func (e *Engine) Relayed(mac string, addr netip.Addr, relay string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := e.bootNode(mac, addr)
	relay = plain.Line(relay, maxMessage)
	if n == nil || n.Relay == relay {
		return
	}
	n.Relay = relay
	e.saveNode(n)
}

// Learn remembers whose address it is, for machines that boot and for nodes.
func (e *Engine) Learn(mac string, addr netip.Addr) {
	e.mu.Lock()
	defer e.mu.Unlock()
	id, known := e.byMAC[mac]
	if !addr.IsValid() || !known {
		return
	}
	e.byAddr[addr] = mac
	e.nodes[id].Addr = addr.String()
}

// Known reports whether the machine did more than ask: its agent said hello, or it fetched a kernel.
func (e *Engine) Known(mac string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := e.nodes[e.byMAC[mac]]
	if n == nil {
		return false
	}
	_, fetched := n.Trace[doc.StepKernel]
	return n.Boot != "" || fetched
}

// bootNode finds the node, or makes it when its MAC address is given.
func (e *Engine) bootNode(mac string, addr netip.Addr) *node {
	if mac == "" {
		if mac = e.byAddr[addr]; mac == "" {
			return nil
		}
	}
	id, ok := e.byMAC[mac]
	if !ok {
		name, err := doc.NodeID(mac)
		if err != nil || e.nodes[name] != nil || !e.makeRoom() {
			return nil
		}
		id = e.addNode(name, mac).ID
	}
	n := e.nodes[id]
	if addr.IsValid() {
		e.byAddr[addr] = mac
		n.Addr = addr.String()
	}
	return n
}

// makeRoom keeps the number of nodes that never said hello bounded: anyone on the LAN can make them.
func (e *Engine) makeRoom() bool {
	stubs := 0
	var oldest *node
	for _, n := range e.nodes {
		if n.Boot != "" {
			continue
		}
		stubs++
		if oldest == nil || before(n, oldest) {
			oldest = n
		}
	}
	if stubs >= maxStubs {
		e.crowd.pushed++
		if now := e.now(); e.crowd.pushedSaid.IsZero() || now.Sub(e.crowd.pushedSaid) >= pushedEvery {
			e.log.Warn("more machines ask for an address and fetch no kernel than are remembered: the oldest of them "+
				"are forgotten; somebody may be asking in many names", "remembered", maxStubs, "forgotten",
				e.crowd.pushed, "last", oldest.ID)
			e.crowd.pushed, e.crowd.pushedSaid = 0, now
		}
		e.removeNode(oldest)
	}
	return len(e.nodes) < doc.MaxNodes
}

// stub reports whether the node never came further than to ask for its boot files, and nobody has said anything of it.
func (e *Engine) stub(n *node) bool {
	return n.Boot == "" && !n.Booted && n.Session == "" && !e.entered(n) && !e.wantedByName(n.ID)
}

// before reports whether n goes before o where one must: a machine that fetched a kernel goes last.
func before(n, o *node) bool {
	switch {
	case n.Booted != o.Booted:
		return o.Booted
	case !n.LastSeen.Equal(o.LastSeen):
		return n.LastSeen.Before(o.LastSeen)
	}
	return n.ID < o.ID
}

// fresh reports whether a DHCP request begins a new boot: the last one got past its DHCP, or is long ago.
func (e *Engine) fresh(n *node, now time.Time) bool {
	last := time.Time{}
	for _, m := range n.Trace {
		if m.Time.After(last) {
			last = m.Time
		}
	}
	if now.Sub(last) > 2*time.Minute {
		return true
	}
	// A loader that has its script asks DHCP no more; of a menu or a memory test nothing else is heard.
	for _, step := range []string{doc.StepScript, doc.StepKernel, doc.StepLocal, session.StepAgent} {
		if _, ok := n.Trace[step]; ok {
			return true
		}
	}
	return false
}

// Boots says what the machine boots that asks from the NIC.
func (e *Engine) Boots(mac string) netboot.What {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := e.nodes[e.byMAC[mac]]
	if n != nil {
		e.step(jobs.Restarting{Node: n.ID})
	}
	what := netboot.Decide(e.bootFacts(mac, n))
	if what == netboot.Menu && n != nil && e.leaves(n) {
		return netboot.OwnDisk
	}
	return what
}

// bootFacts are what it is decided by what the machine boots that asks from the NIC. n is what was seen there, nil for
// nothing.
func (e *Engine) bootFacts(mac string, n *node) netboot.Facts {
	var f netboot.Facts
	word, _ := e.whenIdle(mac, n)
	f.Idle = e.idleFact(word)
	name := nameOf(mac) // of one that was never seen, as sessions name it
	if n != nil {
		name = n.ID
		f.Works, f.Claims, f.Imaged = e.current(n) != nil, e.claimed(n), n.Imaged
		f.Chosen = e.chosen(n)
	}
	f.Spoiled = e.half(name, n) != nil
	f.Wanted = e.wantedBy(name) != nil
	return f
}

// wantedBy is the first session that would take the node of the name now, nil for none.
func (e *Engine) wantedBy(name string) *sess {
	for _, id := range e.jobs.Order() {
		if s := e.jobs.Session(id); !s.Over() && e.jobs.Wants(s, name, e.now()) {
			return s
		}
	}
	return nil
}

// writers are the sessions that may have written to a node's disks, with its part, the newest first.
func (e *Engine) writers(node string) iter.Seq2[*sess, *doc.Part] {
	return func(yield func(*sess, *doc.Part) bool) {
		for _, id := range slices.Backward(e.jobs.Order()) {
			s := e.jobs.Session(id)
			if p := s.Parts[node]; p != nil && s.Kind.Traits().Writes && !yield(s, p) {
				return
			}
		}
	}
}

// bootSteps are the steps of a trace that a part takes over.
var bootSteps = append(slices.Clone(doc.TimelineSteps[:5]), session.StepAgent)

func startTrace(n *node) []jobs.Step {
	var steps []jobs.Step
	for _, s := range bootSteps {
		if m, ok := n.Trace[s]; ok {
			steps = append(steps, jobs.Step{Name: s, Mark: m})
		}
	}
	return steps
}

// FetchStep says which step of the timeline a fetched boot file is, "" for none.
func FetchStep(file string) string {
	base := file[strings.LastIndexByte(file, '/')+1:]
	switch {
	case strings.HasPrefix(base, "vmlinuz"), base == "node.efi": // which has the archive in it
		return doc.StepKernel
	case strings.HasPrefix(base, "initramfs"):
		return doc.StepInitramfs
	case base == "boot.ipxe", base == "grub.cfg":
		return doc.StepScript
	case strings.HasSuffix(base, ".kpxe"), strings.HasSuffix(base, ".efi"), strings.HasSuffix(base, ".0"):
		return doc.StepBootfile
	}
	return ""
}

// FetchMessage describes a fetch in words.
func FetchMessage(file, via string, bytes int64) string {
	if bytes == 0 {
		return fmt.Sprintf("%s by %s", file, via)
	}
	return fmt.Sprintf("%s by %s, %s", file, via, units.Bytes(bytes))
}
