package engine

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/jobs"
)

// Awaited is a machine of whose restored system a sign of life is looked for, and where it may be: at an address that
// its personalization gave it, or where its agent was.
type Awaited struct {
	Node  string
	MACs  []string
	Addrs []netip.Addr
}

// Awaited lists the machines that left for their own disk and gave no sign of life yet.
func (e *Engine) Awaited() []Awaited {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []Awaited
	now := e.now()
	for id, n := range e.nodes {
		_, p := e.jobs.Awaited(id, now)
		if p == nil {
			continue
		}
		may := []string{n.Addr}
		if p.Handed != nil {
			may = append(slices.Clone(p.Handed.Addresses), n.Addr)
		}
		a := Awaited{Node: id, MACs: slices.Clone(n.MACs)}
		for _, text := range may {
			if addr, err := netip.ParseAddr(text); err == nil && !slices.Contains(a.Addrs, addr) {
				a.Addrs = append(a.Addrs, addr)
			}
		}
		out = append(out, a)
	}
	return out
}

// Lives takes in a sign of life of the system that a machine was given, in words.
func (e *Engine) Lives(node, sign string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.nodes[node] != nil {
		e.step(jobs.Lives{Node: node, Sign: plain.Line(sign, 200)})
	}
}

// AsksForAddress takes in that a system which boots nothing over the network asked for an address by DHCP: after the
// machine left the agent that is the one on its disk.
func (e *Engine) AsksForAddress(mac string, addr netip.Addr) {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := e.nodes[e.byMAC[mac]]
	if n == nil {
		return
	}
	sign := "it asked for an address by DHCP"
	if addr.IsValid() {
		sign += ", and has " + addr.String()
	}
	_, p := e.jobs.Awaited(n.ID, e.now())
	// The agent's own last words and its going away are no sign of what comes after it.
	if p == nil || e.now().Sub(p.Life.Since) < agentGone || n.Where != doc.Left {
		return
	}
	e.step(jobs.Lives{Node: n.ID, Sign: sign})
}

// agentGone is how long a machine takes at least from the agent's last word to the first one of its own system.
const agentGone = 2 * time.Second

// lifeWords say whether the restored system was seen to live.
func (e *Engine) lifeWords(s *sess, p *doc.Part) string {
	switch l := p.Life; {
	case l == nil || p.State != doc.Done && p.State != doc.Starting:
		return ""
	case l.Sign != "":
		return fmt.Sprintf("alive: %s, %v after it left", l.Sign, l.Time.Sub(l.Since).Round(time.Second))
	default:
		if s, _ := e.jobs.Awaited(p.Node, e.now()); s != nil {
			return fmt.Sprintf("no sign of life for %v", e.now().Sub(l.Since).Round(time.Second))
		}
		return "no sign of life was seen: it may not have started, or its system asks for no address here and " +
			"answers no SSH"
	}
}
