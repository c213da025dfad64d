package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/diskcast/diskcast/internal/personal"
	"github.com/diskcast/diskcast/server/cloudinit"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/feed"
	"github.com/diskcast/diskcast/server/fleet"
	"github.com/diskcast/diskcast/server/fleet/book"
	"github.com/diskcast/diskcast/server/store"
	"github.com/diskcast/diskcast/server/store/record"
)

// What the operator writes down beside machines (groups, profiles, rules, menus), and how many machines are changed at
// once.

// EntryError is a refusal of one entry of a change.
type EntryError struct {
	Entry string // such as machines[3]
	err   error
}

func (e *EntryError) Error() string        { return e.err.Error() }
func (e *EntryError) Unwrap() error        { return e.err }
func (e *EntryError) Is(target error) bool { return target == ErrSpec }

func ofEntry(kind string, i int, title string, err error) error {
	if title != "" {
		err = fmt.Errorf("%s %.80s: %w", strings.TrimSuffix(kind, "s"), title, err)
	}
	return &EntryError{fmt.Sprintf("%s[%d]", kind, i), err}
}

// loadBook reads groups, profiles, rules and menus.
func (e *Engine) loadBook(tx store.Tx) error {
	var groups []doc.Group
	var profiles []doc.Profile
	var rules []doc.Rule
	var menus []doc.Menu
	err := walk(tx, record.GroupPrefix, func(_ string, r *record.Group) error {
		groups = append(groups, r.Group())
		return nil
	})
	if err == nil {
		err = walk(tx, record.ProfilePrefix, func(_ string, r *record.Profile) error {
			profiles = append(profiles, e.openProfile(r))
			return nil
		})
	}
	if err == nil {
		err = walk(tx, record.RulePrefix, func(_ string, r *record.Rule) error {
			rules = append(rules, r.Rule())
			return nil
		})
	}
	if err == nil {
		err = walk(tx, record.MenuPrefix, func(_ string, r *record.Menu) error {
			menus = append(menus, r.Menu())
			return nil
		})
	}
	e.book = book.New(groups, profiles, rules, menus)
	return err
}

// Lab shows what the operator wrote down beside machines.
func (e *Engine) Lab() doc.Lab {
	e.mu.Lock()
	defer e.mu.Unlock()
	l := e.book.Lab()
	l.Approve = e.cfg.Approve
	return l
}

// ChangeLab does all of a change, or nothing of it, and says what changed, or after a dry run what would.
func (e *Engine) ChangeLab(ctx context.Context, c doc.LabChange) (*doc.LabResult, error) {
	if err := checkVersion("lab change", c.V); err != nil {
		return nil, err
	}
	out := &doc.LabResult{Changes: []doc.LabDiff{}, Warnings: e.imagesOf(&c)}
	e.mu.Lock()
	defer e.mu.Unlock()
	b := e.book.Clone()
	err := e.writeBook(b, &c, out)
	if err == nil {
		err = e.enterAll(b, &c, out)
	}
	if err == nil {
		err = e.prune(b, &c, out)
	}
	if err == nil {
		err = inChange(&c, e.whole(b))
	}
	if err == nil {
		out.Warnings = append(out.Warnings, e.alikeInLab(b, &c)...)
		if len(c.Machines)+len(c.Rules)+len(c.Remove) > 0 {
			out.Warnings = append(out.Warnings, e.notYetNever(b)...)
		}
	}
	if err != nil || c.DryRun || len(out.Changes) == 0 {
		e.fleet.Revert()
		out.Applied = !c.DryRun
		return out, err
	}
	if err := e.maySeal(b, &c); err != nil {
		return nil, err
	}
	if err := e.storeLab(ctx, b); err != nil {
		return nil, err
	}
	out.Applied = true
	return out, nil
}

// imagesOf warns of profiles and menus in the change of whose image no session could be made now. It may come later:
// the change is made.
func (e *Engine) imagesOf(c *doc.LabChange) (out []string) {
	more := 0
	look := func(of, image string) {
		if image == "" {
			return
		}
		switch _, err := e.cfg.Images.Describe(image); {
		case err == nil:
		case len(out) == maxWarnings:
			more++
		default:
			out = append(out, fmt.Sprintf("No session can be made of %s now: %v.", of, err))
		}
	}
	eachImage(c.Profiles, c.Menus, look)
	if more > 0 {
		out = append(out, fmt.Sprintf("So it is with %d more.", more))
	}
	return out
}

// eachImage calls look with the images that profiles and menus name, and what of them does.
func eachImage(profiles []doc.Profile, menus []doc.Menu, look func(of, image string)) {
	for _, p := range profiles {
		for _, image := range imagesIn(p.Spec) {
			look("profile "+p.Name, image)
		}
	}
	for i := range menus {
		for _, entry := range menus[i].Entries {
			look(fmt.Sprintf("%s of menu %s", entry, menus[i].Name), doc.EntryName(entry, doc.EntryImage))
		}
	}
}

// imagesIn are the images that a session's spec, or the part of one that a profile has, names; none of one that cannot
// be read, of which its writer hears.
func imagesIn(spec json.RawMessage) []string {
	var s struct {
		Image     string
		MoreDisks []struct{ Image string } `json:"more_disks"`
	}
	if json.Unmarshal(spec, &s) != nil {
		return nil
	}
	out := []string{s.Image}
	for _, d := range s.MoreDisks {
		out = append(out, d.Image)
	}
	return out
}

// Named are the profiles, menus and repeats that name one of these images: sessions of theirs that come could not be
// made without it.
func (e *Engine) Named(images map[string]bool) (out []string) {
	lab := e.Lab()
	look := func(of, image string) {
		if images[image] && !slices.Contains(out, of) {
			out = append(out, of)
		}
	}
	eachImage(lab.Profiles, lab.Menus, look)
	for _, r := range e.Repeats() {
		for _, image := range imagesIn(r.Spec) {
			look("repeat "+r.ID, image)
		}
	}
	return out
}

// storeLab stores what changed of machines and book in one transaction, and then goes by it.
func (e *Engine) storeLab(ctx context.Context, b *book.Book) error {
	puts, gone := e.bookChanges(e.book, b)
	records := maps.Clone(puts)
	for _, key := range gone {
		records[key] = nil
	}
	if err := e.storeMachines(ctx, records); err != nil {
		return err
	}
	e.book = b
	for key := range puts {
		e.feed.Touch(feed.Key{Entry: key})
	}
	for _, key := range gone {
		e.feed.Gone(feed.Key{Entry: key})
	}
	e.leaveSessions(ctx) // before any machine is given work
	e.approveAgain()
	return nil
}

// bookChanges are the records that differ between two books, by key, and the keys of those that are gone.
func (e *Engine) bookChanges(was, is *book.Book) (puts map[string]any, gone []string) {
	a, b := was.Lab(), is.Lab()
	puts = map[string]any{}
	old := map[string]uint64{}
	for _, g := range a.Groups {
		old[record.GroupPrefix+g.Name] = g.Revision
	}
	for _, p := range a.Profiles {
		old[record.ProfilePrefix+p.Name] = p.Revision
	}
	for _, r := range a.Rules {
		old[record.RulePrefix+r.Name] = r.Revision
	}
	for _, m := range a.Menus {
		old[record.MenuPrefix+m.Name] = m.Revision
	}
	put := func(key string, rev uint64, v any) {
		if old[key] != rev {
			puts[key] = v
		}
		delete(old, key)
	}
	for _, g := range b.Groups {
		put(record.GroupPrefix+g.Name, g.Revision, record.OfGroup(g))
	}
	for _, p := range is.Profiles() {
		put(record.ProfilePrefix+p.Name, p.Revision, e.ofProfile(p))
	}
	for _, r := range b.Rules {
		put(record.RulePrefix+r.Name, r.Revision, record.OfRule(r))
	}
	for _, m := range b.Menus {
		put(record.MenuPrefix+m.Name, m.Revision, record.OfMenu(m))
	}
	return puts, slices.Sorted(maps.Keys(old))
}

// inChange says of an error about one thing which entry of the change it is, if it is one.
func inChange(c *doc.LabChange, err error) error {
	var about *book.NameError
	if !errors.As(err, &about) {
		return err
	}
	at := -1
	switch about.Kind {
	case doc.KindGroup:
		at = slices.IndexFunc(c.Groups, func(g doc.Group) bool { return g.Name == about.Name })
	case doc.KindRule:
		at = slices.IndexFunc(c.Rules, func(r doc.Rule) bool { return r.Name == about.Name })
	case doc.KindMenu:
		at = slices.IndexFunc(c.Menus, func(m doc.Menu) bool { return m.Name == about.Name })
	}
	if at < 0 {
		return err
	}
	return ofEntry(about.Kind+"s", at, "", err)
}

// writeBook writes and removes what the change names of groups, profiles, rules and menus.
func (e *Engine) writeBook(b *book.Book, c *doc.LabChange, out *doc.LabResult) error {
	w := book.Writer{Owner: e.cfg.Server, Now: e.now()}
	seen := map[string]bool{}
	add := func(kind string, i int, name string, d *doc.LabDiff, err error) error {
		if err == nil && seen[kind+"/"+name] {
			err = fmt.Errorf("it is there twice")
		}
		seen[kind+"/"+name] = true
		if err != nil {
			return ofEntry(kind, i, name, err)
		}
		if d != nil {
			out.Changes = append(out.Changes, *d)
		}
		return nil
	}
	for i, g := range c.Groups {
		d, err := b.SetGroup(g, w)
		if err := add("groups", i, g.Name, d, err); err != nil {
			return err
		}
	}
	for i, p := range c.Profiles {
		d, err := b.SetProfile(p, w, e.checkProfile)
		if err := add("profiles", i, p.Name, d, err); err != nil {
			return err
		}
	}
	for i, r := range c.Rules {
		d, err := b.SetRule(r, w)
		if err := add("rules", i, r.Name, d, err); err != nil {
			return err
		}
	}
	for i, m := range c.Menus {
		d, err := b.SetMenu(m, w)
		if err := add("menus", i, m.Name, d, err); err != nil {
			return err
		}
	}
	for i, x := range c.Remove {
		d, err := b.Remove(x)
		if err := add("remove", i, x.Kind+" "+x.Name, d, err); err != nil {
			return err
		}
	}
	return nil
}

// checkProfile says what is wrong with a spec that has what a profile has.
func (e *Engine) checkProfile(spec *doc.Spec) error {
	spec.V, spec.All = 1, true
	if spec.Image == "" && spec.Kind == "" {
		spec.Image = "any"
	}
	if _, err := e.kinds.Check(spec); err != nil {
		return err
	}
	if len(spec.Personalize) == 0 {
		return nil
	}
	settings, err := personal.Parse(spec.Personalize)
	if err == nil && settings.Seed != nil {
		err = cloudinit.CheckTemplates(settings.Seed.UserData, settings.Seed.MetaData)
	}
	return err
}

// enterAll enters the machines of a change.
func (e *Engine) enterAll(b *book.Book, c *doc.LabChange, out *doc.LabResult) error {
	if len(c.Machines) > doc.MaxNodes {
		return refuse("the change has more than %d machines", doc.MaxNodes)
	}
	before := map[string]int{} // entry by the machine that it is of
	for i := range c.Machines {
		x := &c.Machines[i]
		entry, err := fleetEntry(x)
		title := entryTitle(x)
		if err == nil && entry.Profile != nil && *entry.Profile != "" {
			if _, ok := b.Profile(*entry.Profile); !ok {
				err = b.NoProfile(*entry.Profile)
			}
		}
		if err != nil {
			return ofEntry("machines", i, title, err)
		}
		id, made, words, err := e.fleet.Enter(entry, e.now())
		if err == nil {
			if first, twice := before[id]; twice {
				err = fmt.Errorf("it is the same machine as %s, which is entry %d", entryTitle(&c.Machines[first]),
					first+1)
			}
			before[id] = i
		}
		if err != nil {
			return ofEntry("machines", i, title, err)
		}
		if made || len(words) > 0 {
			d := doc.LabDiff{Kind: doc.KindMachine, Name: e.fleet.Get(id).Title(), Does: doc.Alters, Words: words}
			if made {
				d.Does = doc.Adds
			}
			out.Changes = append(out.Changes, d)
		}
	}
	if len(e.fleet.All()) > 2*doc.MaxNodes {
		return refuse("there would be more than %d machines", 2*doc.MaxNodes)
	}
	return nil
}

func entryTitle(x *doc.MachineEntry) string {
	for _, s := range append([]string{x.Name, x.ID}, append(slices.Clone(x.MACs), x.UUID, x.Serial)...) {
		if s != "" {
			return s
		}
	}
	return ""
}

// fleetEntry is an entry with all in its one form.
func fleetEntry(x *doc.MachineEntry) (fleet.Entry, error) {
	out := fleet.Entry{ID: strings.ToLower(x.ID), Name: x.Name, Labels: x.Labels, Notes: x.Notes, Profile: x.Profile,
		Approved: x.Approved, Board: fleet.BoardOf(x.UUID, x.Serial), Revision: x.Revision}
	var err error
	if out.WhenIdle, err = checkIdle(x.WhenIdle); err != nil {
		return out, err
	}
	for _, mac := range x.MACs {
		id, err := doc.NodeID(strings.TrimSpace(mac))
		if err != nil {
			return out, err
		}
		if mac = macOf(id); slices.Contains(out.MACs, mac) {
			return out, fmt.Errorf("the MAC address %s is there twice", mac)
		}
		out.MACs = append(out.MACs, mac)
	}
	for what, v := range map[string][2]string{
		"UUID": {x.UUID, out.Board.UUID}, "serial": {x.Serial, out.Board.Serial},
	} {
		if v[0] != "" && v[1] == "" {
			return out, fmt.Errorf("the %s %.80q is what makers write in place of one, and tells no machine from "+
				"another", what, v[0])
		}
		if len(v[0]) > maxWord || !printable(v[0]) {
			return out, fmt.Errorf("the %s is longer than %d bytes, or has characters that cannot be "+
				"printed", what, maxWord)
		}
	}
	return out, nil
}

// prune removes what the change does not name, of the kinds that it says.
func (e *Engine) prune(b *book.Book, c *doc.LabChange, out *doc.LabResult) error {
	for _, kind := range c.Prune {
		named := map[string]bool{}
		switch kind {
		case doc.KindMachine:
			if err := e.pruneMachines(c, out); err != nil {
				return err
			}
			continue
		case doc.KindGroup:
			for _, g := range c.Groups {
				named[g.Name] = true
			}
		case doc.KindProfile:
			for _, p := range c.Profiles {
				named[p.Name] = true
			}
		case doc.KindRule:
			for _, r := range c.Rules {
				named[r.Name] = true
			}
		case doc.KindMenu:
			for _, m := range c.Menus {
				named[m.Name] = true
			}
		default:
			return refuse("nothing of the kind %q can be pruned: it is machine, group, profile, rule or menu", kind)
		}
		for _, name := range b.Names(kind) {
			if named[name] {
				continue
			}
			d, err := b.Remove(doc.LabName{Kind: kind, Name: name})
			if err != nil {
				return refuse("%w", err)
			}
			out.Changes = append(out.Changes, *d)
		}
	}
	return nil
}

// pruneMachines removes the machines of which something was entered, and that the change has no entry of.
func (e *Engine) pruneMachines(c *doc.LabChange, out *doc.LabResult) error {
	named := map[string]bool{}
	for i := range c.Machines {
		entry, err := fleetEntry(&c.Machines[i])
		if err != nil {
			return refuse("%w", err)
		}
		id, _, _, err := e.fleet.Enter(entry, e.now()) // a second time: it changes nothing
		if err != nil {
			return refuse("%w", err)
		}
		named[id] = true
	}
	for _, m := range e.fleet.All() {
		if named[m.ID] || !m.Entered() {
			continue
		}
		for _, id := range m.Nodes {
			if n := e.nodes[id]; n != nil && e.current(n) != nil {
				return refuse("machine %s is not named and would be removed, and it has a part in session %s: cancel "+
					"that first", m.Title(), n.Session)
			}
		}
		if err := e.fleet.Remove(m.ID); err != nil {
			return refuse("%w", err)
		}
		out.Changes = append(out.Changes, doc.LabDiff{Kind: doc.KindMachine, Name: m.Title(), Does: doc.Removes})
	}
	return nil
}

// whole says what of a book and of the machines names what is not there.
func (e *Engine) whole(b *book.Book) error {
	if err := b.Check(); err != nil {
		return refuse("%w", err)
	}
	by := map[string][]string{}
	for _, m := range e.fleet.All() {
		name := doc.IdleMenuName(m.WhenIdle)
		if _, ok := b.Menu(name); name != "" && !ok {
			if _, had := e.book.Menu(name); had {
				return refuse("menu %s is that of machine %s: give it another word first (`diskcast machine set %s "+
					"--when-idle WORD`)", name, m.Title(), m.Title())
			}
			return refuse("machine %s: when_idle: %w", m.Title(), b.NoMenu(name))
		}
		if m.Profile != "" {
			by[m.Profile] = append(by[m.Profile], m.Title())
		}
	}
	for _, name := range slices.Sorted(maps.Keys(by)) {
		if _, ok := b.Profile(name); !ok {
			return refuse("profile %s is that of %d machines (%s): give them another first (`diskcast machine "+
				"profile SELECTOR OTHER`, or '' for none)", name, len(by[name]), few(by[name]))
		}
	}
	return nil
}

// few names the first of the words, and how many more there are.
func few(words []string) string {
	const most = 5
	if n := len(words) - most; n > 0 {
		words = append(slices.Clone(words[:most]), fmt.Sprintf("%d more", n))
	}
	return strings.Join(words, ", ")
}
