package grub

import (
	"errors"
	"fmt"
	"strings"
)

// item is an entry of the menu.
type item struct {
	title, id string
	submenu   bool
	protected bool     // asks for a user when there are superusers
	args      []string // $1 is the title
	body      *list
}

var menuOptions = []option{
	{long: "class", value: true}, {long: "users", value: true}, {long: "hotkey", value: true},
	{long: "source", value: true},
	{long: "id", value: true}, {long: "unrestricted"},
}

// menuentry adds to the menu; the body runs when the entry is chosen.
func (s *shell) menuentry(words []string, body *list) (int, error) {
	p, err := parseOptions(words[1:], true, menuOptions)
	if err != nil {
		return badArgument, nil
	}
	if body == nil {
		// The old form has the body as a word, in quotes.
		if !p.has("source") {
			return badArgument, nil
		}
		if body, err = s.parse(p.last("source")); err != nil {
			return invalid, err
		}
	}
	if len(p.args) == 0 {
		return badArgument, nil
	}
	m := item{
		title: p.args[0], id: p.args[0], args: p.args, body: body, submenu: words[0] == "submenu",
		protected: p.has("users") || !p.has("unrestricted"),
	}
	if p.has("id") {
		m.id = p.last("id")
	}
	return ok, s.addItem(m)
}

func (s *shell) addItem(m item) error {
	for _, a := range append(m.args, m.id) {
		s.memory += len(a)
	}
	if len(s.env.menu) >= maxEntries || s.memory > maxMemory {
		return limit("more than %d menu entries or %d bytes of them", maxEntries, maxMemory)
	}
	s.env.menu = append(s.env.menu, m)
	return nil
}

// showMenu boots the default entry of the context's menu, and its fallbacks while an entry loads nothing.
func (s *shell) showMenu() (*Entry, error) {
	if err := s.waiting(); err != nil {
		return nil, err
	}
	entry, err := s.boot()
	if entry == nil && err == nil {
		return nil, &Restart{Entry: s.last, Why: s.failed}
	}
	return entry, err
}

// waiting is a restart when the context's menu waits for somebody for ever.
func (s *shell) waiting() error {
	t := s.get("timeout")
	if _, _, err := leadingNumber(t); errors.Is(err, errWide) {
		return &Restart{Why: fmt.Sprintf("its timeout %q %v", t, err)}
	}
	if !waits(t) {
		return nil
	}
	m, err := s.defaultItem()
	if err != nil {
		return err
	}
	return &Restart{Entry: m.title, Why: "the menu has no timeout: GRUB waits for somebody to choose"}
}

// waits tells whether a timeout never ends: when it is not set, negative, or no number.
func waits(timeout string) bool {
	n, _, err := leadingNumber(timeout)
	return err != nil || n < 0
}

// boot starts the default entry, else its fallbacks. Without entry and error all came to nothing: s.last and s.failed
// say which and why.
func (s *shell) boot() (*Entry, error) {
	if err := s.deeper(); err != nil {
		return nil, err
	}
	defer func() { s.depth-- }()
	m, err := s.defaultItem()
	if err != nil {
		return nil, err
	}
	var failures []string
	first := m.title
	for {
		entry, err := s.start(m)
		if entry != nil || err != nil {
			return entry, err
		}
		failures = append(failures, s.failed)
		next, more := s.nextFallback()
		if len(failures) > 2*maxFallbacks {
			return nil, limit("more than %d fallbacks", maxFallbacks)
		}
		if !more {
			break
		}
		m = &s.env.menu[next]
		failures = append(failures, fmt.Sprintf("fallback %q", m.title))
	}
	s.last, s.failed = first, strings.Join(failures, ", ")
	return nil, nil
}

// start runs an entry as GRUB does when the menu's time is over. Without entry and error it came to nothing, and
// s.failed says why.
func (s *shell) start(m *item) (*Entry, error) {
	superusers, has := s.lookup("superusers")
	if m.protected && has {
		return nil, &Restart{Entry: m.title,
			Why: fmt.Sprintf("GRUB asks for the password of one of its superusers (%s)", superusers)}
	}
	chosen, wasChosen := s.env.vars["chosen"]
	def, wasDefault := s.env.vars["default"]
	done := func() {}
	if m.submenu {
		done = s.open()
	}
	entry, err := s.startIn(m, chosen.value, wasChosen, def.value)
	done()
	if entry != nil || err != nil {
		return entry, err
	}
	s.unset("timeout")
	return nil, errors.Join(s.restore("chosen", chosen, wasChosen), s.restore("default", def, wasDefault))
}

// restore gives a variable the value again that it had, if it had one.
func (s *shell) restore(name string, old variable, was bool) error {
	if was {
		return s.set(name, old.value)
	}
	s.unset(name)
	return nil
}

// startIn runs an entry in the context that is its own, and the menu of a submenu. What was chosen before is the path
// of the menus around it.
func (s *shell) startIn(m *item, chosen string, wasChosen bool, def string) (*Entry, error) {
	if err := s.lead(m, chosen, wasChosen, def); err != nil {
		return nil, err
	}
	s.loaded, s.failed = nil, "it loads no Linux kernel"
	_, err := s.scoped(m.args, func() (int, error) { return s.runText(m.body) })
	var restart *Restart
	switch {
	case errors.As(err, &restart) && restart.Entry == "":
		return nil, &Restart{Entry: m.title, Why: restart.Why, Err: restart.Err}
	case err != nil && !errors.Is(err, errBoot):
		return nil, err
	}
	if s.loaded != nil {
		s.loaded.Title = m.title
		return s.loaded, nil
	}
	if !m.submenu || len(s.env.menu) == 0 {
		return nil, nil
	}
	if err := s.waiting(); err != nil {
		return nil, err
	}
	if entry, err := s.boot(); entry != nil || err != nil {
		return entry, err
	}
	s.failed = fmt.Sprintf("menu entry %q: %s", s.last, s.failed)
	return nil, nil
}

// lead sets the variables that lead to an entry and from there into its menu.
func (s *shell) lead(m *item, chosen string, wasChosen bool, def string) error {
	path := strings.ReplaceAll(m.id, ">", ">>")
	if wasChosen {
		path = chosen + ">" + path
	}
	err := s.set("chosen", path)
	s.env.vars["chosen"] = variable{value: s.env.vars["chosen"].value, exported: true}
	if m.submenu {
		err = errors.Join(err, s.set("timeout", "0"))
	}
	_, rest := splitDefault(def)
	if rest == "" {
		s.unset("default")
		return err
	}
	return errors.Join(err, s.set("default", rest))
}

// defaultItem picks the entry that $default means: an id, a title or a number, up to a ">" that leads into a submenu. A
// name that is set and empty means an entry without title or id; none at all means the first.
func (s *shell) defaultItem() (*item, error) {
	menu := s.env.menu
	want, set := s.lookup("default")
	head, _ := splitDefault(want)
	named, byID := -1, -1
	for i := range menu {
		if named < 0 && set && (menu[i].id == head || menu[i].title == head) {
			named = i
		}
		if byID < 0 && set && menu[i].id == head {
			byID = i
		}
	}
	// GRUB 2.06 takes the first entry with this title or id. One that looks at the ids of all first comes to another
	// entry here.
	if byID >= 0 && byID != named {
		return nil, &Restart{Entry: menu[named].title,
			Why: fmt.Sprintf("its default %q is the title of this entry and the id of %q, and GRUBs differ in which "+
				"they take",
				want, menu[byID].title)}
	}
	n, rest, err := leadingNumber(head)
	if errors.Is(err, errWide) {
		return nil, &Restart{Why: fmt.Sprintf("its default %q %v", want, err)}
	}
	if err != nil || n < 0 || n >= int64(len(menu)) {
		n = 0
	}
	at := int(n)
	if named >= 0 {
		at = named
	}
	// GRUB 2.06 takes "4.0 kernel" for number 4, later ones take it for a name. Red Hat's, whose ids begin with digits,
	// always did.
	if err == nil && (named >= 0 || strings.TrimSpace(rest) != "") && at != int(n) && !s.bls {
		return nil, &Restart{Entry: menu[at].title,
			Why: fmt.Sprintf("its default %q is a name to one GRUB and number %d to another", want, n)}
	}
	return &menu[at], nil
}

// nextFallback takes the first number off $fallback. GRUB 2.06 takes no names there; a later one may, and then what is
// returned is the restart that is right for both.
func (s *shell) nextFallback() (at int, more bool) {
	value := s.get("fallback")
	n, rest, err := leadingNumber(value)
	if err != nil || n < 0 || n >= int64(len(s.env.menu)) || rest != "" && !isBlank(rune(rest[0])) {
		s.unset("fallback")
		return 0, false
	}
	_ = s.set("fallback", strings.TrimSpace(rest)) // shorter than it was
	return int(n), true
}

// splitDefault cuts "submenu>entry"; ">>" is a ">" of a title.
func splitDefault(v string) (head, rest string) {
	for i := 0; i < len(v); i++ {
		if v[i] != '>' {
			continue
		}
		if i+1 < len(v) && v[i+1] == '>' {
			i++
			continue
		}
		return strings.ReplaceAll(v[:i], ">>", ">"), v[i+1:]
	}
	return strings.ReplaceAll(v, ">>", ">"), ""
}
