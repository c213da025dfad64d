package engine

import (
	"crypto/hmac"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/model"
)

// A new boot id is a reboot when the boot before is silent, and another machine when it is not. Until that is known, what the new one says
// counts, but for its end: "done" is a claim. It holds once every other boot was silent for quiet, and fails the part as soon as one is
// heard. A machine whose token is void says hello again at once, so one that is alive is heard within seconds.

// quiet is how long the other boots of a node must be silent: an agent asks every 30 s, and after a failure every 10 s.
const quiet = time.Minute

const (
	maxRivals  = 8  // boots of a node that are remembered
	maxReboots = 16 // that a part shows
	maxGaps    = 64 // in the event numbers of a boot before
)

// ErrUnsettled says that two machines may speak as one node.
var ErrUnsettled = errors.New("the boot before may still run: ask again")

// rival is a boot of the node that another one took the place of.
type rival struct {
	Boot  string    `json:"boot"`
	Addr  string    `json:"addr,omitempty"`
	Heard time.Time `json:"heard"`
	Seen  window    `json:"seen"` // its event numbers
	// What its part had come to.
	Session string                `json:"session,omitempty"`
	Step    string                `json:"step,omitempty"`
	Steps   map[string]model.Mark `json:"steps,omitempty"`
}

// claim is the end of a part that a boot of the node told, and that does not count yet.
type claim struct {
	Session string `json:"session"`
	Boot    string `json:"boot"`
}

// speak notes that the present boot of the node was heard.
func (n *node) speak(now time.Time) { n.LastSeen, n.spoke = now, now }

// newBoot makes boot the node's present one. It reports whether two machines speak: boot is one that another had taken the place of, or the
// one before has said that it is done.
func (e *Engine) newBoot(n *node, boot, addr string) (contested bool) {
	now := e.now()
	if n.Boot == "" {
		n.Boot, n.seen = boot, window{}
		return false
	}
	old := rival{Boot: n.Boot, Addr: n.Addr, Heard: later(n.spoke, e.began), Seen: n.seen}
	s := e.current(n)
	if s != nil {
		p := s.parts[n.ID]
		old.Session, old.Step, old.Steps = s.ID, p.Step, map[string]model.Mark{}
		for step, m := range p.Steps {
			m.Message = plain.Line(m.Message, strangerMessage)
			old.Steps[step] = m
		}
		e.markReboot(s, p, boot, addr)
	}
	if len(old.Seen.Above) > maxGaps {
		old.Seen.Above = nil // a few events may count twice, which changes nothing
	}
	i := slices.IndexFunc(n.Rivals, func(r rival) bool { return r.Boot == boot })
	back := i >= 0
	var was rival
	if back {
		was = n.Rivals[i]
		n.Rivals = slices.Delete(n.Rivals, i, i+1)
	}
	n.Rivals = append(n.Rivals, old)
	if len(n.Rivals) > maxRivals {
		n.Rivals = slices.Delete(n.Rivals, 0, len(n.Rivals)-maxRivals)
	}
	n.Boot, n.seen, n.zero = boot, was.Seen, time.Time{}
	// Those who wait for a descriptor of the old boot learn that its token is void: a machine that is alive says hello again.
	n.wake()
	switch ago := now.Sub(old.Heard).Round(time.Second); {
	case back, e.claimed(n) != nil:
		contested = true
		words := two(old.Addr, old.Boot, addr, boot)
		if s == nil {
			e.noteOver(n, was.Session, words)
		}
		e.contest(n, words)
	case ago < quiet && old.Addr != "" && addr != "" && addr != old.Addr:
		e.warn(n, oddBoots, fmt.Sprintf("it says hello from %s (boot %s) while %s (boot %s) was heard %v ago: another machine may speak in its name",
			addr, short(boot), old.Addr, short(old.Boot), ago))
	}
	if s = e.current(n); back && s != nil && was.Session == s.ID {
		p := s.parts[n.ID]
		p.Step, p.Steps, p.Heard = was.Step, was.Steps, now
		if p.State == model.Offered && p.Step != "" {
			p.State = model.Running
		}
		e.savePart(s, n.ID)
	}
	return contested
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// short is enough of a boot id to tell two apart.
func short(boot string) string {
	if len(boot) > 12 {
		return boot[:12]
	}
	return boot
}

// two are the words for two machines of one name, the same whichever speaks first.
func two(addr1, boot1, addr2, boot2 string) string {
	who := []string{fmt.Sprintf("%s (boot %s)", orNone(addr1), short(boot1)), fmt.Sprintf("%s (boot %s)", orNone(addr2), short(boot2))}
	slices.Sort(who)
	return "two machines speak as this node: " + strings.Join(who, " and ")
}

// markReboot puts the new boot into the part's timeline.
func (e *Engine) markReboot(s *sess, p *model.Part, boot, addr string) {
	words := fmt.Sprintf("boot %s from %s", short(boot), orNone(addr))
	if p.Step != "" {
		words += fmt.Sprintf("; the boot before was at step %q", p.Step)
	}
	p.Reboots = append(p.Reboots, model.Mark{Time: e.now(), Message: words})
	if len(p.Reboots) > maxReboots {
		p.Reboots = slices.Delete(p.Reboots, 0, len(p.Reboots)-maxReboots)
	}
	e.savePart(s, p.Node)
}

// noteOver puts words on a part that is over already, by the word of another than the one who comes back.
func (e *Engine) noteOver(n *node, id, words string) {
	s := e.sessions[id]
	if s == nil || s.parts[n.ID] == nil {
		return
	}
	p := s.parts[n.ID]
	p.Identity = also(p.Identity, words)
	e.savePart(s, n.ID)
	e.touchSession(s)
}

// contest is told that two boots of the node are alive.
func (e *Engine) contest(n *node, words string) {
	e.warn(n, oddBoots, words)
	s := e.current(n)
	if s == nil {
		return
	}
	p := s.parts[n.ID]
	if e.claimed(n) == nil && s.Upload == nil {
		p.Identity = also(p.Identity, words)
		e.savePart(s, n.ID)
		return
	}
	// One of them says that it is done, or may have sent its own disk: nobody can tell whose word it is.
	e.finishPart(s, n, p, model.Failed, words+": find the one that is not the machine, and run a new session")
}

// heardOld looks whether a token is one of a boot that another took the place of, whose machine then is alive.
func (e *Engine) heardOld(n *node, token string) {
	for i := range n.Rivals {
		r := &n.Rivals[i]
		if !hmac.Equal([]byte(e.token(n.ID, r.Boot)), []byte(token)) {
			continue
		}
		if now := e.now(); now.Sub(r.Heard) >= time.Second || e.claimed(n) != nil {
			r.Heard = now
			e.contest(n, two(r.Addr, r.Boot, n.Addr, n.Boot))
			e.saveNode(n)
		}
		return
	}
}

// settled reports whether all other boots of the node were silent for long enough. While the server was away it heard nobody.
func (e *Engine) settled(n *node) bool {
	now := e.now()
	for i := range n.Rivals {
		if now.Sub(later(n.Rivals[i].Heard, e.began)) < quiet {
			return false
		}
	}
	return true
}

// claimed is the claim on the node's present part, nil when there is none.
func (e *Engine) claimed(n *node) *claim {
	if c := n.Claim; c != nil && c.Session == n.Session && e.current(n) != nil {
		return c
	}
	return nil
}

// claimDone ends the node's part as done, at once when nobody else can be the machine, else when that is known.
func (e *Engine) claimDone(s *sess, n *node, p *model.Part) {
	if e.settled(n) {
		e.finishPart(s, n, p, model.Done, "")
		return
	}
	if e.claimed(n) == nil {
		n.Claim = &claim{Session: s.ID, Boot: n.Boot}
		e.log.Info("node says that it is done; that counts when its other boots are silent", "session", s.ID, "node", n.ID, "for", quiet)
	}
	e.saveNode(n)
	e.savePart(s, n.ID)
}

// settleClaim ends a part whose claim holds by now, and reports whether there is a claim.
func (e *Engine) settleClaim(s *sess, n *node, p *model.Part) bool {
	if e.claimed(n) == nil {
		return false
	}
	if e.settled(n) {
		e.finishPart(s, n, p, model.Done, "")
		if s.Spec.Boot.Method == session.BootStay && n.Where == model.Ready && e.current(n) == nil {
			e.join(n)
		}
	}
	return true
}

// MayFinish refuses the end of a capture while another machine may speak as the node: its frames could be in the image.
func (e *Engine) MayFinish(id string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if n := e.nodes[id]; n != nil && !e.settled(n) {
		return fmt.Errorf("node %s: %w", id, ErrUnsettled)
	}
	return nil
}
