package engine

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/diskcast/diskcast/internal/diskrule"
	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/internal/rescue"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/jobs"
	"github.com/diskcast/diskcast/server/netboot"
	"github.com/diskcast/diskcast/server/store/record"
)

// A menu is what the operator allows those who stand before a machine. The node shows it while nothing is asked of it;
// what is chosen is a request of the node, with its token, and becomes what the operator could have asked.

// idleDescriptor tells the node that there is nothing to do, why, and what somebody there may choose.
func (e *Engine) idleDescriptor(n *node) *session.Descriptor {
	return &session.Descriptor{Action: session.Idle, Why: e.consoleWords(n), Menu: e.menuFor(n)}
}

func menuID(m *session.Menu) string {
	if m == nil {
		return ""
	}
	return m.ID
}

// menuOf is the menu that the operator gave the machine of the node.
func (e *Engine) menuOf(n *node) (doc.Menu, bool) {
	word, _ := e.whenIdle(n.MACs[0], n)
	return e.book.Menu(doc.IdleMenuName(string(word)))
}

// menuFor is the menu that the node shows now; nil for none.
func (e *Engine) menuFor(n *node) *session.Menu {
	m, ok := e.menuOf(n)
	if !ok || n.Boot == "" || e.current(n) != nil || e.waitWords(n) != "" || e.wanted(n) {
		return nil
	}
	out := &session.Menu{Title: fmt.Sprintf("%s: what shall this machine do?", e.title(n.ID)), Seconds: m.Timeout,
		Default: m.Default}
	for _, entry := range m.Entries {
		x := session.MenuEntry{Entry: entry, Words: entryWords(entry), Refused: e.refusedEntry(n, entry)}
		if x.Refused != "" && entry == m.Default {
			out.Default = session.MenuWait
		}
		out.Entries = append(out.Entries, x)
	}
	text, err := json.Marshal(out)
	if err != nil {
		return nil // cannot be: it has only words and numbers
	}
	sum := sha256.Sum256(append(text, n.Boot...))
	out.ID = hex.EncodeToString(sum[:8])
	return out
}

// wanted reports whether a session would take the node.
func (e *Engine) wanted(n *node) bool {
	return slices.ContainsFunc(e.jobs.Order(), func(id string) bool {
		s := e.jobs.Session(id)
		return !s.Over() && e.jobs.Wants(s, n.ID, e.now())
	})
}

func entryWords(entry string) string {
	switch entry {
	case doc.EntryOwnDisk:
		return "Start its own disk"
	case doc.EntryWait:
		return "Wait for a session"
	case doc.EntryRescue:
		return "A rescue shell, here"
	case doc.EntryMemtest:
		return "Test its memory (Memtest86+)"
	}
	if name := doc.EntryName(entry, doc.EntryImage); name != "" {
		return "Write the image " + name + " to its disk"
	}
	return "Make it what the profile " + doc.EntryName(entry, doc.EntryProfile) + " says: this writes to its disk"
}

// refusedEntry says why the entry cannot be chosen at the node now, as far as a look at memory tells.
func (e *Engine) refusedEntry(n *node, entry string) string {
	switch entry {
	case doc.EntryOwnDisk:
		if h := e.half(n.ID, n); h != nil {
			return "session " + h.Session + " ended while its disk was written: write it whole first"
		}
	case doc.EntryMemtest:
		if e.cfg.Tests == nil {
			return "this server has none"
		}
		if file, has := e.cfg.Tests(n.Inventory.Firmware == session.UEFI); !has {
			return "the server's boot directory has no " + file
		}
	}
	return ""
}

// Choices are what the loader's menu of the machine has that boots from the NIC.
func (e *Engine) Choices(mac string) netboot.Choices {
	e.mu.Lock()
	defer e.mu.Unlock()
	word, _ := e.whenIdle(mac, e.nodes[e.byMAC[mac]])
	m, ok := e.book.Menu(doc.IdleMenuName(string(word)))
	if !ok {
		return netboot.DefaultChoices()
	}
	return netboot.Choices{Seconds: m.Timeout, Agent: "More: the menu " + m.Name,
		Memtest: slices.Contains(m.Entries, doc.EntryMemtest)}
}

// A choice of the machine's next start holds until the machine was told of it, for a while at the most: firmware asks
// several times in one start, and takes minutes before it asks at all.
const (
	startWithin = 15 * time.Minute
	startTakes  = 30 * time.Second // from a loader's first question to its last
)

// told is when the loader that started the machine last asked what to boot, after its choice was made; zero: not yet.
func (n *node) told() (at time.Time) {
	if n.Chosen == nil {
		return at
	}
	for _, step := range []string{doc.StepScript, doc.StepLocal} {
		if m, ok := n.Trace[step]; ok && m.Time.After(n.Chosen.At) && m.Time.After(at) {
			at = m.Time
		}
	}
	return at
}

// begins notes that a start of the machine begins: a choice is for one.
func (n *node) begins() {
	if !n.told().IsZero() {
		n.Chosen = nil
	}
}

// chosen is what was chosen for this start of the node; empty for nothing.
func (e *Engine) chosen(n *node) netboot.What {
	c, now, told := n.Chosen, e.now(), n.told()
	if c == nil || now.Sub(c.At) > startWithin || now.Before(c.At) || !told.IsZero() && now.Sub(told) > startTakes {
		return ""
	}
	if c.Entry == doc.EntryMemtest {
		return netboot.Memtest
	}
	return netboot.OwnDisk
}

// Choose does what somebody at the node's console chose from its menu.
func (e *Engine) Choose(ctx context.Context, id string, c *session.MenuChoice) (*session.MenuReply, error) {
	e.mu.Lock()
	n := e.nodes[id]
	if n == nil {
		e.mu.Unlock()
		return nil, fmt.Errorf("node %s: %w", id, ErrNotFound)
	}
	m, _ := e.menuOf(n)
	shown, title := e.menuFor(n), e.title(n.ID)
	spec, err := e.chosenSpec(n, &m, shown, c)
	if err != nil {
		e.mu.Unlock()
		return nil, err
	}
	words := fmt.Sprintf("somebody at the console of %s chose %s from the menu %s", title, c.Entry, m.Name)
	if spec == nil {
		n.Chosen = &record.Chosen{Entry: c.Entry, At: e.now()}
		e.noteChoice(n, "", words)
		e.mu.Unlock()
		return &session.MenuReply{V: session.Version, Restart: true}, e.w.Wait(ctx)
	}
	e.mu.Unlock()
	spec.Menu, spec.Notes = m.Name, "chosen at the console, from the menu "+m.Name
	var confirmed *session.DiskID
	if spec.Kind != rescue.Action {
		if n := len(spec.MoreDisks); n > 0 {
			return nil, refuse("%s writes %d disks, and a menu asks for the consent to lose one: ask the operator for "+
				"a session",
				c.Entry, n+1)
		}
		ask, disk, err := e.askFor(ctx, *spec, c)
		if err != nil || ask != nil {
			return &session.MenuReply{V: session.Version, Ask: ask}, err
		}
		confirmed = disk
		words += " and agreed to lose what is on " + disk.Words()
	}
	made := ""
	if confirmed != nil {
		made = e.joinLike(n.ID, spec, confirmed)
	}
	if made == "" {
		s, err := e.create(ctx, *spec, confirmed)
		if err != nil {
			return nil, err
		}
		made = s.ID
	}
	e.mu.Lock()
	if n := e.nodes[id]; n != nil {
		e.noteChoice(n, made, words)
	}
	e.mu.Unlock()
	return &session.MenuReply{V: session.Version, Session: made}, e.w.Wait(ctx)
}

// noteChoice puts what was chosen into the node's log.
func (e *Engine) noteChoice(n *node, of, words string) {
	e.record(n, "", session.Event{Session: of, Step: session.StepLog, Level: session.Info,
		Message: plain.Line(words, maxMessage), Time: e.now()})
	e.saveNode(n)
	e.log.Info("chosen at a console", "node", n.ID, "session", of, "what", words)
}

// chosenSpec is the session that the choice asks for; nil for one that is of the machine's next start.
func (e *Engine) chosenSpec(n *node, m *doc.Menu, shown *session.Menu, c *session.MenuChoice) (*doc.Spec, error) {
	if menuID(shown) != c.Menu {
		return nil, refuse("the menu is another one since, or the machine has work: look at it again")
	}
	switch x := shown.Entry(c.Entry); {
	case x == nil || c.Entry == doc.EntryWait:
		return nil, refuse("the menu %s has nothing to be done for %.80q", m.Name, c.Entry)
	case x.Refused != "":
		return nil, refuse("%s: %s", c.Entry, x.Refused)
	}
	switch c.Entry {
	case doc.EntryOwnDisk, doc.EntryMemtest:
		return nil, nil
	case doc.EntryRescue:
		return &doc.Spec{V: session.Version, Kind: rescue.Action, Nodes: []string{n.ID}, Job: json.RawMessage(`{}`),
			Boot: &session.Boot{Method: session.BootStay}}, nil
	}
	ask := map[string]any{"v": session.Version, "nodes": []string{n.ID}}
	attached := doc.EntryName(c.Entry, doc.EntryProfile)
	if attached == "" {
		ask["image"] = doc.EntryName(c.Entry, doc.EntryImage)
		if owner := e.fleet.Of(n.ID); owner != nil {
			attached = owner.Profile
		}
	}
	text, err := json.Marshal(ask)
	if err != nil {
		return nil, err
	}
	spec, err := e.book.Spec(text, attached)
	if err != nil {
		return nil, refuse("%w", err)
	}
	kind := e.kinds.Of(&spec)
	if kind == nil || kind.Traits().Action != session.Restore {
		return nil, refuse("profile %s does not restore an image to a whole disk, which is all that a menu may ask "+
			"of a profile", attached)
	}
	return &spec, nil
}

// askFor plans what was chosen. It returns the question that has to be answered first; or, when that was, the disk that
// was agreed to, which is still the one that is meant.
func (e *Engine) askFor(ctx context.Context, spec doc.Spec, c *session.MenuChoice) (*session.MenuAsk, *session.DiskID,
	error) {
	p, err := e.Plan(ctx, spec)
	if err != nil {
		return nil, nil, err
	}
	if len(p.Machines) != 1 {
		return nil, nil, refuse("the plan is of %d machines, and not of this one", len(p.Machines))
	}
	m := &p.Machines[0]
	if why := slices.Concat(p.Refused, m.Refused); len(why) > 0 {
		return nil, nil, refuse("%s", strings.Join(why, "; "))
	}
	if m.Disk == nil {
		return nil, nil, refuse("no disk of this machine is meant")
	}
	id := m.Disk.ID()
	if c.Disk != nil {
		if !same(c.Disk, &id) {
			return nil, nil, refuse("%s was agreed to, and %s is meant now: choose again", c.Disk.Words(), id.Words())
		}
		return nil, &id, nil
	}
	ask := &session.MenuAsk{Disk: id, Words: fmt.Sprintf("the image %s over %s", p.Image.Name,
		diskrule.Describe(*m.Disk))}
	ask.Notes = slices.Concat(contentNotes(m.Content), m.Warnings)
	if m.Boot.Unbootable != "" {
		ask.Notes = append(ask.Notes, "it will not start the disk by itself: "+m.Boot.Unbootable)
	}
	return ask, nil, nil
}

// contentNotes say what is on a disk, for people.
func contentNotes(c *session.Content) []string {
	if c == nil {
		return nil
	}
	var parts []string
	for _, p := range c.Partitions {
		parts = append(parts, strings.TrimSpace(fmt.Sprintf("%d %s %s", p.Number, cmp.Or(p.Label, p.Name),
			diskrule.Bytes(p.Size))))
	}
	if len(parts) == 0 {
		return nil
	}
	return []string{"it has the partitions " + strings.Join(parts, ", ")}
}

// joinLike gives the node a part in a session that others chose from the same menu and that goes on, and returns its
// name; empty when there is none. One cast serves all that choose the same.
func (e *Engine) joinLike(id string, spec *doc.Spec, confirmed *session.DiskID) string {
	// What Create makes of a spec before it is one of a session.
	like := *spec
	if _, err := e.kinds.Check(&like); err != nil {
		return ""
	}
	img, err := e.cfg.Images.Describe(like.Image)
	if err != nil {
		return ""
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	n := e.nodes[id]
	if n == nil || e.current(n) != nil {
		return ""
	}
	for _, sid := range e.jobs.Order() {
		s := e.jobs.Session(sid)
		if s.Over() || s.Parts[id] != nil || s.Image.Manifest != img.Manifest || !likeSpec(&s.Spec, &like) {
			continue
		}
		p := &doc.Part{Session: sid, Node: id, State: doc.Waiting, Confirmed: confirmed, Unbootable: e.foreseen(s, n)}
		n.note(p)
		e.step(jobs.Added{Part: p})
		e.join(n)
		return sid
	}
	return ""
}

// likeSpec reports whether two specs of one menu ask for the same of different machines.
func likeSpec(a, b *doc.Spec) bool {
	x, y := *a, *b
	for _, s := range []*doc.Spec{&x, &y} {
		s.Nodes, s.GiveUp, s.Personalize = nil, 0, nil
	}
	// What is secret of a personalization is shown of neither; a profile's revision stands for it.
	p, errA := json.Marshal(&x)
	q, errB := json.Marshal(&y)
	return x.Menu != "" && errA == nil && errB == nil && string(p) == string(q)
}
