package grub

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// status is what a command leaves in $?: 0, or one of GRUB's error numbers (grub/err.h).
const (
	ok          = 0
	statusFalse = 1
	badFileType = 4
	notFound    = 5
	badFilename = 7
	invalid     = 17
	badArgument = 18
	badNumber   = 10
	noDevice    = 12
)

// errBoot ends all commands for good: what is loaded is started.
var errBoot = errors.New("boot")

// variable is a value and whether the contexts that are opened later inherit it.
type variable struct {
	value    string
	exported bool
}

// environment is what configfile and submenu open: a menu of its own, and of the variables only those that are
// exported.
type environment struct {
	vars map[string]variable
	menu []item
}

// scope is the words that a function or menu entry was called with.
type scope struct{ args []string }

// shell is the state of a running configuration.
type shell struct {
	files     Files
	options   Options
	env       *environment
	functions map[string]*list
	scope     *scope // nil outside functions and menu entries

	loaded *Entry // what linux and initrd have loaded, nil when nothing
	failed string // why linux, or a whole menu, loaded nothing
	last   string // title of the entry that a menu began with

	once   string            // why this start is one that only GRUB can count off, empty when it is not
	doubts map[string]string // variables that a search may have given a device that is not read here, and why

	*worlds
	pending  *question           // what the last command's status is
	answers  map[string]bool     // to questions, in this world
	orders   map[string][]string // of names in directories, in this world
	anyOrder bool                // the order of names decides nothing now
	searched map[string]found    // what searches have found
	opened   []Encrypted         // by cryptomount, in this order

	clock   bool   // the module datehook is loaded
	unknown string // why what was read cannot be gone by

	*meter
	depth     int // of functions, files and menus
	loops     int // that run in this function
	breaks    int // loops that break or continue still has to leave
	continues bool
	returned  bool // return was called, and the function that ends by it has not ended
	bls       bool // the menu has entries of the Boot Loader Specification
	listed    listed
	memory    int // bytes of all variables
}

func newShell(files Files, o Options) *shell {
	if o.Now == nil {
		o.Now = time.Now
	}
	return newShellIn(files, o, newMeter(o.Now), &worlds{})
}

// newShellIn is a shell in one of several worlds, which share what all of them may cost.
func newShellIn(files Files, o Options, m *meter, w *worlds) *shell {
	return &shell{
		files: metered{files, m}, meter: m, options: o, env: &environment{vars: map[string]variable{}},
		functions: map[string]*list{}, doubts: map[string]string{},
		worlds: w, answers: map[string]bool{}, orders: map[string][]string{}, searched: map[string]found{},
	}
}

// get returns a variable's value, empty when it is not set.
func (s *shell) get(name string) string {
	v, _ := s.lookup(name)
	return v
}

func (s *shell) lookup(name string) (string, bool) {
	if s.scope != nil {
		args := s.scope.args
		switch {
		case name == "#":
			return strconv.Itoa(len(args)), true
		case name == "@" || name == "*":
			return strings.Join(args, " "), true
		case isSpecial(name):
			if n, err := strconv.Atoi(name); err == nil && n > 0 && n <= len(args) {
				return args[n-1], true
			}
			return "", false
		}
	} else if isSpecial(name) {
		return "", true
	}
	if name == "?" && s.pending != nil {
		_, _ = s.settle(ok) // it fails on no variable
	}
	v, set := s.env.vars[name]
	if why, is := s.doubts[name]; is {
		s.unknown = why
	} else if s.onlyGRUBKnows(name, set) {
		s.unknown = fmt.Sprintf("its configuration goes by $%s, which only GRUB knows", name)
	}
	return v.value, set
}

// isSpecial tells whether a name is that of words of a function or menu entry, which no variable has.
func isSpecial(name string) bool {
	return name != "" && strings.IndexByte("#@*0123456789", name[0]) >= 0
}

// set gives a variable a value. A device's parentheses are taken off of root, as GRUB does.
func (s *shell) set(name, value string) error {
	if len(value) > maxValue || len(name) > maxValue {
		return limit("a variable of more than %d bytes", maxValue)
	}
	if name == "root" && strings.HasPrefix(value, "(") && strings.HasSuffix(value, ")") {
		value = value[1 : len(value)-1]
	}
	delete(s.doubts, name)
	old := s.env.vars[name]
	if s.memory += len(value) - len(old.value); s.memory > maxMemory || len(s.env.vars) > maxVariables {
		return limit("more than %d variables or %d bytes of them", maxVariables, maxMemory)
	}
	s.env.vars[name] = variable{value: value, exported: old.exported || alwaysExported[name]}
	return nil
}

func (s *shell) unset(name string) {
	delete(s.doubts, name)
	s.memory -= len(s.env.vars[name].value)
	delete(s.env.vars, name)
}

// open opens a context and returns what closes it.
func (s *shell) open() (restore func()) {
	outer, doubts := s.env, s.doubts
	s.env, s.doubts = &environment{vars: map[string]variable{}}, map[string]string{}
	for k, why := range doubts {
		if outer.vars[k].exported || alwaysExported[k] {
			s.doubts[k] = why
		}
	}
	for k, v := range outer.vars {
		if v.exported {
			s.env.vars[k] = v
			s.memory += len(v.value)
			_ = s.spend(1) // for the copy; the next step ends the run
		}
	}
	return func() {
		for _, v := range s.env.vars {
			s.memory -= len(v.value)
		}
		s.env, s.doubts = outer, doubts
	}
}

// deeper counts functions, files and menus inside each other.
func (s *shell) deeper() error {
	if s.depth++; s.depth > maxDepth {
		return limit("more than %d functions, files and menus inside each other", maxDepth)
	}
	return nil
}

// run runs commands; status is that of the last one.
func (s *shell) run(l *list) (status int, err error) {
	if l == nil {
		return 0, nil
	}
	for _, c := range l.cmds {
		if s.breaks > 0 {
			break
		}
		if status, err = s.command(c); err != nil || s.returned {
			return status, err
		}
	}
	return status, nil
}

// runText runs the text of a file, of eval or of a menu entry; status is that of its last line. GRUB reads such text
// line by line and makes the functions of a line before it runs the line. It does not look for a return in between: of
// each line behind it one command runs, which is how a function goes on behind a file that returned.
func (s *shell) runText(l *list) (status int, err error) {
	for _, line := range l.lines() {
		run := &list{}
		for _, c := range line.cmds {
			f, is := c.(*function)
			if !is {
				run.cmds = append(run.cmds, c)
				continue
			}
			if s.functions[f.name] = f.body; len(s.functions) > maxEntries {
				return statusFalse, limit("more than %d functions", maxEntries)
			}
		}
		if status, err = s.run(run); err != nil {
			return status, err
		}
	}
	return status, nil
}

func (s *shell) step() error { return s.spend(1) }

// parse reads commands.
func (s *shell) parse(src string) (*list, error) {
	if err := s.charge(len(src)); err != nil {
		return nil, err
	}
	return parse(src, s.meter)
}

// command runs one command, whatever it is made of, and sets $?.
func (s *shell) command(c command) (status int, err error) {
	if err := s.step(); err != nil {
		return 1, err
	}
	if status, err = s.execute(c); err != nil {
		return status, err
	}
	return status, s.setStatus(status)
}

func (s *shell) setStatus(status int) error { return s.set("?", strconv.Itoa(status)) }

func (s *shell) execute(c command) (int, error) {
	switch c := c.(type) {
	case *simple:
		return s.simple(c)
	case *branch:
		return s.branch(c)
	case *loop:
		return s.loop(c)
	}
	return 0, nil
}

func (s *shell) branch(b *branch) (int, error) {
	for i, cond := range b.conds {
		status, err := s.condition(cond)
		if err != nil || s.returned {
			return status, err
		}
		if status == 0 {
			return s.run(b.bodies[i])
		}
	}
	return s.run(b.otherwise)
}

// condition runs commands by whose status something goes, unless they return.
func (s *shell) condition(l *list) (int, error) {
	status, err := s.run(l)
	if err != nil || s.returned {
		return status, err
	}
	return s.settle(status)
}

// loop runs a loop, which takes one off of the loops that a break has to leave, however it ends.
func (s *shell) loop(l *loop) (status int, err error) {
	s.loops++
	if l.cond == nil {
		status, err = s.forLoop(l)
	} else {
		status, err = s.whileLoop(l)
	}
	s.loops--
	s.breaks = max(s.breaks-1, 0)
	return status, err
}

func (s *shell) forLoop(l *loop) (status int, err error) {
	s.unknown = ""
	values, err := s.expand(l.words)
	if err != nil {
		return 1, err
	}
	if err := s.known(); err != nil {
		return 1, err
	}
	s.pending = nil
	for _, v := range values {
		if err := s.set(l.name, v); err != nil {
			return 1, err
		}
		var more bool
		if status, more, err = s.again(l); err != nil || !more {
			return status, err
		}
	}
	return status, nil
}

func (s *shell) whileLoop(l *loop) (status int, err error) {
	for more := true; more; {
		status, err = s.condition(l.cond)
		if err != nil || s.returned || (status == 0) == l.until {
			return status, err
		}
		if status, more, err = s.again(l); err != nil {
			return status, err
		}
	}
	return status, nil
}

// again runs a loop's body and tells whether the loop goes on.
func (s *shell) again(l *loop) (status int, more bool, err error) {
	if err := s.step(); err != nil {
		return 1, false, err
	}
	if status, err = s.run(l.body); err != nil || s.returned {
		return status, false, err
	}
	if s.continues && s.breaks == 1 {
		s.breaks = 0
	}
	return status, s.breaks == 0, nil
}

func (s *shell) simple(c *simple) (int, error) {
	s.unknown = ""
	s.anyOrder = len(c.words) > 0 && decidesNothing[c.words[0].literal()]
	args, err := s.expand(c.words)
	s.anyOrder = false
	if err != nil {
		return 1, fmt.Errorf("line %d: %w", c.line+1, err)
	}
	not := len(args) > 0 && args[0] == "!"
	if not {
		args = args[1:]
	}
	if not && len(args) == 0 {
		s.pending = nil
		return badArgument, nil
	}
	if len(args) == 0 || !decidesNothing[args[0]] {
		if err := s.known(); err != nil {
			return 1, err
		}
	}
	if len(args) == 0 {
		s.pending = nil
		return 0, nil
	}
	if args[0] != "return" || len(args) > 1 { // which alone keeps the status
		s.pending = nil
	}
	status, err := s.call(args, c)
	if err != nil || !not || s.assigns(args[0]) {
		return status, err
	}
	if status, err = s.settle(status); status == ok {
		return statusFalse, err
	}
	return ok, err
}

// call runs a command, else a function of the configuration, else an assignment. Commands come first in GRUB: a
// function cannot hide one.
func (s *shell) call(args []string, c *simple) (status int, err error) {
	name := args[0]
	if name == "menuentry" || name == "submenu" {
		return s.menuentry(args, c.body)
	}
	if c.block != "" {
		args = append(args, c.block)
	}
	if f, is := commands[name]; is {
		return f(s, args[1:])
	}
	if f, is := s.functions[name]; is {
		return s.callFunction(f, args[1:])
	}
	if s.assigns(name) {
		name, value, _ := strings.Cut(name, "=")
		return ok, s.set(name, value)
	}
	why, is := onlyGRUB[name]
	if !is {
		why = "is not known here"
	}
	return statusFalse, &Restart{Why: fmt.Sprintf("line %d of its configuration calls %s, which %s", c.line+1, name,
		why)}
}

// assigns tells whether a command's name is an assignment.
func (s *shell) assigns(name string) bool {
	_, command := commands[name]
	_, function := s.functions[name]
	return !command && !function && strings.Contains(name, "=")
}

// callFunction runs a function, up to its end or a return.
func (s *shell) callFunction(body *list, args []string) (int, error) {
	loops := s.loops
	s.loops = 0
	status, err := s.scoped(args, func() (int, error) { return s.run(body) })
	s.loops, s.returned = loops, false
	return status, err
}

// scoped runs commands with the words that a function or menu entry was called with.
func (s *shell) scoped(args []string, run func() (int, error)) (int, error) {
	if err := s.deeper(); err != nil {
		return 1, err
	}
	outer := s.scope
	s.scope = &scope{args: args}
	status, err := run()
	s.scope = outer
	s.depth--
	return status, err
}

// expand puts variables into words. An unquoted variable is cut at blanks and vanishes when empty; then * and ? outside
// quotes become the names of files that fit, if there are any.
func (s *shell) expand(words []word) (out []string, err error) {
	total := 0
	for _, w := range words {
		if err := s.spend(len(w)); err != nil {
			return nil, err
		}
		var cur builder
		is := false // there is a word, if only an empty one in quotes
		flush := func() error {
			names, err := s.glob(cur.pattern())
			if err != nil {
				return err
			}
			for _, n := range names {
				total += len(n) + 1
			}
			if total > maxValue {
				return limit("words of more than %d bytes", maxValue)
			}
			out = append(out, names...)
			cur = builder{}
			return nil
		}
		for _, p := range w {
			switch {
			case p.name == "":
				if lang := s.get("lang"); p.translated && lang != "" && lang != "C" && !strings.HasPrefix(lang, "en") {
					s.unknown = fmt.Sprintf("its configuration goes by the translation of a text into %s, which only "+
						"GRUB knows", lang)
				}
				cur.add(p.text, p.quoted)
				is = is || p.quoted || p.text != ""
			case p.name == "@" && s.scope != nil && p.quoted:
				// "$@" is all words, each as it is.
				for i, a := range s.scope.args {
					if i > 0 {
						if err := flush(); err != nil {
							return nil, err
						}
					}
					cur.add(a, true)
					is = true
				}
				is = is || p.quoted
			case p.quoted:
				cur.add(s.get(p.name), true)
				is = true
			default:
				fields := strings.FieldsFunc(s.get(p.name), isBlank)
				for i, f := range fields {
					if i > 0 {
						if err := flush(); err != nil {
							return nil, err
						}
					}
					cur.add(f, false)
					is = true
				}
			}
			if total+cur.text.Len() > maxValue {
				return nil, limit("words of more than %d bytes", maxValue)
			}
		}
		if is {
			if err := flush(); err != nil {
				return nil, err
			}
		}
	}
	return out, s.charge(total)
}

func isBlank(r rune) bool { return r == ' ' || r == '\t' || r == '\n' }
