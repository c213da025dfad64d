package engine

import (
	"crypto/hmac"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/jobs"
)

// A new boot id is a reboot when the boot before is silent, and another machine when it is not. Until that is known,
// what the new one says counts, but for its end: "done" is a claim. It holds once every other boot was silent for
// quiet, and fails the part as soon as one is heard. A machine whose token is void says hello again at once, so one
// that is alive is heard within seconds.

// quiet is how long the other boots of a node must be silent.
const quiet = jobs.Quiet

const (
	maxRivals = 8  // boots of a node that are remembered
	maxGaps   = 64 // in the event numbers of a boot before
)

// ErrUnsettled says that two machines may speak as one node.
var ErrUnsettled = errors.New("the boot before may still run: ask again")

// rival is a boot of the node that another one took the place of.
type rival struct {
	Boot  string
	Addr  string
	Heard time.Time
	Seen  window // its event numbers
	// What its part had come to.
	Session string
	Step    string
	Steps   map[string]doc.Mark
}

// speak notes that the present boot of the node was heard.
func (n *node) speak(now time.Time) { n.LastSeen, n.spoke = now, now }

// newBoot makes boot the node's present one. It reports whether two machines speak: boot is one that another had taken
// the place of, or the one before has said that it is done.
func (e *Engine) newBoot(n *node, boot, addr string) (contested bool) {
	now := e.now()
	if n.Boot == "" {
		n.Boot, n.seen = boot, window{}
		return false
	}
	old := rival{Boot: n.Boot, Addr: n.Addr, Heard: later(n.spoke, e.began), Seen: n.seen}
	s := e.current(n)
	if s != nil {
		p := s.Parts[n.ID]
		old.Session, old.Step, old.Steps = s.ID, p.Step, map[string]doc.Mark{}
		for step, m := range p.Steps {
			m.Message = plain.Line(m.Message, strangerMessage)
			old.Steps[step] = m
		}
		words := fmt.Sprintf("boot %s from %s", bootMark(boot), orNone(addr))
		if p.Step != "" {
			words += fmt.Sprintf("; the boot before was at step %q", p.Step)
		}
		e.step(jobs.Rebooted{Node: n.ID, Words: words})
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
	// Those who wait for a descriptor of the old boot learn that its token is void: a machine that is alive says hello
	// again.
	n.wake()
	switch ago := now.Sub(old.Heard).Round(time.Second); {
	case back, e.claimed(n):
		contested = true
		words := two(old.Addr, old.Boot, addr, boot)
		if s == nil {
			// A part that is over already, by the word of another than the one who comes back.
			if over := e.jobs.Session(was.Session); over != nil {
				e.step(jobs.Odd{Node: n.ID, Session: over.ID, Words: words})
			}
		}
		e.contest(n, words)
	case ago < quiet && old.Addr != "" && addr != "" && addr != old.Addr:
		e.warn(n, oddBoots, fmt.Sprintf("it says hello from %s (boot %s) while %s (boot %s) was heard %v ago: "+
			"another machine may speak in its name",
			addr, bootMark(boot), old.Addr, bootMark(old.Boot), ago))
	}
	if s = e.current(n); back && s != nil && was.Session == s.ID {
		e.step(jobs.TookBack{Node: n.ID, Session: s.ID, Step: was.Step, Steps: was.Steps})
	}
	e.news[n.ID] = n
	return contested
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// two are the words for two machines of one name, the same whichever speaks first.
func two(addr1, boot1, addr2, boot2 string) string {
	who := []string{fmt.Sprintf("%s (boot %s)", orNone(addr1), bootMark(boot1)),
		fmt.Sprintf("%s (boot %s)", orNone(addr2), bootMark(boot2))}
	slices.Sort(who)
	return "two machines speak as this node: " + strings.Join(who, " and ")
}

// contest is told that two boots of the node are alive.
func (e *Engine) contest(n *node, words string) {
	e.warn(n, oddBoots, words)
	e.step(jobs.Contested{Node: n.ID, Words: words})
}

// heardOld looks whether a token is one of a boot that another took the place of, whose machine then is alive.
func (e *Engine) heardOld(n *node, token string) {
	for i := range n.Rivals {
		r := &n.Rivals[i]
		if !hmac.Equal([]byte(e.token(n.ID, r.Boot)), []byte(token)) {
			continue
		}
		if now := e.now(); now.Sub(r.Heard) >= time.Second || e.claimed(n) {
			r.Heard = now
			e.contest(n, two(r.Addr, r.Boot, n.Addr, n.Boot))
			e.saveNode(n)
		}
		return
	}
}

// settled reports whether all other boots of the node were silent for long enough.
func (e *Engine) settled(n *node) bool {
	e.tell()
	return e.jobs.Settled(n.ID, e.now())
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
