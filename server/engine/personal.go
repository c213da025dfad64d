package engine

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/diskcast/diskcast/internal/personal"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/cloudinit"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/jobs"
)

var errNoKey = errors.New("this server has no key to keep a personalization secret with")

// boxOf is what the personalization of a session is sealed for.
func boxOf(id string) string { return "personalization of session " + id }

// sealable takes the secrets out of a spec and returns the whole, which is to be sealed; nil where nothing is
// personalized. It says what others have already. Templates are tried with what is known of the machines that are
// named.
func (e *Engine) sealable(spec *doc.Spec) (whole []byte, said []string, err error) {
	if len(spec.Personalize) == 0 {
		return nil, nil, nil
	}
	if e.cfg.Seal == nil {
		return nil, nil, errNoKey
	}
	settings, err := personal.Parse(spec.Personalize)
	if err != nil {
		return nil, nil, err
	}
	whole, err = json.Marshal(settings)
	if err != nil {
		return nil, nil, err
	}
	if seed := settings.Seed; seed != nil {
		if err := cloudinit.CheckTemplates(seed.UserData, seed.MetaData); err != nil {
			return nil, nil, err
		}
	}
	if err := oneNameForAll(spec, settings); err != nil {
		return nil, nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	taken := e.owners()
	for _, node := range spec.Nodes {
		v := e.values("s0", node)
		n := e.nodes[node]
		seen := n != nil && n.Boot != ""
		if !seen {
			v.UUID, v.Serial = "unseen", "unseen" // the machine will say it
		}
		d, err := resolve(settings, v)
		if err != nil {
			return nil, nil, err
		}
		if err := taken.take(node, &d.Things, seen || !settings.NamedByFirmware()); err != nil {
			return nil, nil, err
		}
	}
	spec.Personalize, err = json.Marshal(settings.Shown())
	return whole, append(e.elsewhere(taken), e.promisedElsewhere(taken)...), err
}

// resolve makes a node's document, and refuses a seed of it that cloud-init would leave out.
func resolve(settings *personal.Settings, v personal.Values) (*personal.Document, error) {
	d, err := settings.Resolve(v)
	if err != nil {
		return nil, err
	}
	if seed := d.Things.Seed; seed != nil {
		if err := cloudinit.Check(seed.UserData, seed.MetaData); err != nil {
			return nil, fmt.Errorf("node %s: %w", v.Node, err)
		}
	}
	return d, nil
}

// values is what templates may name of a node.
func (e *Engine) values(id, node string) personal.Values {
	v := personal.Values{Session: id, Node: node, MAC: strings.ReplaceAll(node, "-", ":")}
	if m := e.machineFor(node); m != nil {
		v.Name, v.Labels = m.Name, m.Labels
	}
	if n := e.nodes[node]; n != nil {
		v.UUID, v.Serial = n.Inventory.UUID, n.Inventory.Serial
	}
	return v
}

// Personalize hands a node what is its own: once, to the boot that works at the part, when its disk is written. That it
// was is durable before, and an event of the node. The settings are opened without the engine's lock, for that unpacks
// what they hold; whether the node may have them is asked before and after.
func (e *Engine) Personalize(ctx context.Context, id string, ask *session.PersonalAsk, from netip.Addr) (
	*personal.Document, error) {
	e.mu.Lock()
	s, _, err := e.mayHave(id, ask)
	if err != nil {
		e.mu.Unlock()
		return nil, err
	}
	sid, box := s.ID, s.Sealed
	e.mu.Unlock()
	settings, err := e.unseal(ctx, sid, box)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	d, err := e.hand(id, ask, from, settings)
	e.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return d, e.w.Wait(ctx)
}

// mayHave says why a node is not given its personalization; it returns the session, and what is noted of the hand-out.
func (e *Engine) mayHave(id string, ask *session.PersonalAsk) (s *sess, handed doc.Handed, err error) {
	n := e.nodes[id]
	if n == nil || n.Boot != ask.Boot {
		return nil, handed, ErrToken
	}
	s = e.current(n)
	if s == nil || s.ID != ask.Session || len(s.Sealed) == 0 || e.cfg.Seal == nil {
		return nil, handed, refuse("there is no personalization of session %s for node %s", ask.Session, id)
	}
	if why := cmp.Or(n.Odd[oddDMI], e.impostor(n)); why != "" {
		return nil, handed, refuse("nothing secret is handed to a node that may be another machine than is meant: %s",
			why)
	}
	e.tell()
	if !e.jobs.Settled(id, e.now()) {
		return nil, handed, fmt.Errorf("another boot of node %s was heard in the last minute: %w", id, ErrUnsettled)
	}
	p := s.Parts[id]
	if lacks := notYet(s, p); lacks != "" {
		return nil, handed, refuse("the part of node %s is not so far that it is given its personalization: it has "+
			"not told "+
			"of the step %s", id, lacks)
	}
	sum := sha256.Sum256([]byte(ask.Ask))
	handed = doc.Handed{Time: e.now(), Boot: n.Boot, Ask: hex.EncodeToString(sum[:])}
	if h := p.Handed; h != nil && (h.Boot != handed.Boot || h.Ask != handed.Ask) {
		words := fmt.Sprintf("the personalization was asked for again and not given: it was handed out at %s, and is "+
			"handed out once", h.Time.UTC().Format("15:04:05"))
		e.record(n, "", session.Event{Session: s.ID, Step: session.StepHanded, Level: session.Warn, Message: words,
			Time: e.now()})
		return nil, handed, refuse("%s; restart the node, and its part begins again", words)
	}
	return s, handed, nil
}

func (e *Engine) hand(id string, ask *session.PersonalAsk, from netip.Addr, settings *personal.Settings) (
	*personal.Document, error) {
	s, handed, err := e.mayHave(id, ask)
	if err != nil {
		return nil, err
	}
	d, err := resolve(settings, e.values(s.ID, id))
	if err != nil {
		return nil, refuse("personalization: %w", err)
	}
	for _, a := range d.Things.Addresses() {
		handed.Addresses = append(handed.Addresses, a.String())
	}
	handed.Hostname = d.Things.Hostname
	taken := e.owners()
	if err := taken.take(id, &d.Things, true); err != nil {
		return nil, refuse("personalization: %w", err)
	}
	for _, words := range e.elsewhere(taken) {
		e.record(e.nodes[id], "", session.Event{Session: s.ID, Step: session.StepHanded, Level: session.Warn,
			Message: words, Time: e.now()})
	}
	e.step(jobs.Handed{Node: id, Handed: handed})
	e.record(e.nodes[id], "", session.Event{Session: s.ID, Step: session.StepHanded, Level: session.Info,
		Message: fmt.Sprintf("its personalization was handed to it at %s", from), Time: e.now()})
	return d, nil
}

// notYet is the step that a part lacks before it is given what is its own; empty when it may have it.
func notYet(s *sess, p *doc.Part) string {
	steps := []string{session.StepPlan, session.StepWritten}
	if s.Spec.Verify {
		steps = append(steps, session.StepVerified)
	}
	if !s.Spec.NoGrow {
		steps = append(steps, session.StepGrown)
	}
	for _, step := range steps {
		if _, ok := p.Steps[step]; !ok {
			return step
		}
	}
	return ""
}

// unseal opens a session's settings. One is opened at a time: they may hold an archive, and a room of nodes asks at
// once.
func (e *Engine) unseal(ctx context.Context, id string, box []byte) (*personal.Settings, error) {
	select {
	case e.opening <- struct{}{}:
		defer func() { <-e.opening }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	whole, err := e.cfg.Seal.Open(boxOf(id), box)
	if err != nil {
		return nil, refuse("the personalization of session %s: %w: was the state brought back without its key? Make "+
			"the session anew", id, err)
	}
	return personal.Parse(whole)
}
