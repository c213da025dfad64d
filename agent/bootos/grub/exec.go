package grub

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// errReturn unwinds to the function or file that is running.
var errReturn = errors.New("return")

// item is an entry of the menu.
type item struct {
	title, id string
	submenu   bool
	args      []string
	body      *list
	entry     func() (*Entry, error) // of a Boot Loader Specification entry, which has no body
}

// shell is the state of a running configuration.
type shell struct {
	files     Files
	vars      map[string]string
	functions map[string]*list
	menu      []item

	kernel  *File
	initrds []File
	args    string

	steps *int // commands run so far, shared with children
	depth int  // of functions and files
}

// child is a shell for a menu entry: it sees everything and changes nothing of its parent.
func (s *shell) child() *shell {
	c := &shell{files: s.files, vars: make(map[string]string, len(s.vars)), functions: s.functions, steps: s.steps, depth: s.depth}
	for k, v := range s.vars {
		c.vars[k] = v
	}
	return c
}

// set gives a variable a value. Too long a value is cut: no boot menu needs it, and it could grow without end.
func (s *shell) set(name, value string) {
	if len(value) > maxValue {
		value = value[:maxValue]
	}
	s.vars[name] = value
}

// source runs a configuration file.
func (s *shell) source(dev int, path string) error {
	if s.depth++; s.depth > maxDepth {
		return ErrLimit
	}
	defer func() { s.depth-- }()
	src, err := s.files.ReadFile(dev, path, maxConfig)
	if err != nil {
		return err
	}
	l, err := parse(string(src))
	if err != nil {
		return fmt.Errorf("%v: %w", File{dev, path}, err)
	}
	if _, err := s.run(l); err != nil && !errors.Is(err, errReturn) {
		return err
	}
	return nil
}

// run runs commands; status is that of the last one, 0 for success as in a shell.
func (s *shell) run(l *list) (status int, err error) {
	if l == nil {
		return 0, nil
	}
	for _, c := range l.cmds {
		if status, err = s.command(c); err != nil {
			return status, err
		}
		s.vars["?"] = strconv.Itoa(status)
	}
	return status, nil
}

func (s *shell) step() error {
	if s.steps == nil {
		s.steps = new(int)
	}
	if *s.steps++; *s.steps > maxCommands {
		return ErrLimit
	}
	return nil
}

func (s *shell) command(c command) (int, error) {
	if err := s.step(); err != nil {
		return 1, err
	}
	switch c := c.(type) {
	case *simple:
		return s.simple(c)
	case *branch:
		return s.branch(c)
	case *loop:
		return s.loop(c)
	case *function:
		s.functions[c.name] = c.body
		return 0, nil
	}
	return 1, nil
}

func (s *shell) branch(b *branch) (int, error) {
	for i, cond := range b.conds {
		status, err := s.run(cond)
		if err != nil {
			return status, err
		}
		if status == 0 {
			return s.run(b.bodies[i])
		}
	}
	return s.run(b.otherwise)
}

func (s *shell) loop(l *loop) (status int, err error) {
	if l.cond == nil {
		values, err := s.expand(l.words)
		if err != nil {
			return 1, err
		}
		for _, v := range values {
			s.set(l.name, v)
			if status, err = s.run(l.body); err != nil {
				return status, err
			}
			if err := s.step(); err != nil {
				return 1, err
			}
		}
		return status, nil
	}
	for {
		if err := s.step(); err != nil {
			return 1, err
		}
		cond, err := s.run(l.cond)
		if err != nil {
			return cond, err
		}
		if (cond == 0) == l.until {
			return status, nil
		}
		if status, err = s.run(l.body); err != nil {
			return status, err
		}
	}
}

func (s *shell) simple(c *simple) (int, error) {
	args, err := s.expand(c.words)
	if err != nil {
		return 1, fmt.Errorf("line %d: %w", c.line+1, err)
	}
	if len(args) == 0 {
		return 0, nil
	}
	status, err := s.call(args, c.body)
	if c.not && err == nil {
		if status == 0 {
			status = 1
		} else {
			status = 0
		}
	}
	return status, err
}

// call runs a function or a command of ours. What is not known fails, as in GRUB when a module is missing.
func (s *shell) call(args []string, body *list) (int, error) {
	if f, ok := s.functions[args[0]]; ok {
		return s.callFunction(f, args)
	}
	if name, value, ok := strings.Cut(args[0], "="); ok && len(args) == 1 && name != "" {
		s.set(name, value)
		return 0, nil
	}
	switch args[0] {
	case "menuentry", "submenu":
		return s.menuentry(args, body)
	case "return":
		return 0, errReturn
	}
	if f, ok := commands[args[0]]; ok {
		return f(s, args[1:])
	}
	return 1, nil
}

func (s *shell) callFunction(body *list, args []string) (int, error) {
	if s.depth++; s.depth > maxDepth {
		return 1, ErrLimit
	}
	saved := map[string]string{}
	for i := 1; i <= 9 || i < len(args); i++ {
		n := strconv.Itoa(i)
		saved[n] = s.vars[n]
		delete(s.vars, n)
		if i < len(args) {
			s.set(n, args[i])
		}
	}
	saved["#"], saved["@"], saved["*"] = s.vars["#"], s.vars["@"], s.vars["*"]
	s.set("#", strconv.Itoa(len(args)-1))
	s.set("@", strings.Join(args[1:], " "))
	s.set("*", strings.Join(args[1:], " "))
	status, err := s.run(body)
	for k, v := range saved {
		s.vars[k] = v
	}
	s.depth--
	if errors.Is(err, errReturn) {
		err = nil
	}
	return status, err
}

// expand puts variables into words. An unquoted variable is cut at blanks and vanishes when empty.
func (s *shell) expand(words []word) ([]string, error) {
	var out []string
	total := 0
	for _, w := range words {
		var cur strings.Builder
		is := false // there is a word, if only an empty one in quotes
		for _, p := range w {
			text := p.text
			if p.name != "" {
				text = s.vars[p.name]
			}
			if total += len(text) + 1; total > maxValue {
				return nil, ErrLimit
			}
			if p.name == "" || p.quoted {
				cur.WriteString(text)
				is = is || p.quoted || text != ""
				continue
			}
			fields := strings.Fields(text)
			for i, f := range fields {
				if i > 0 {
					out = append(out, cur.String())
					cur.Reset()
				}
				cur.WriteString(f)
				is = true
			}
		}
		if is {
			out = append(out, cur.String())
		}
	}
	return out, nil
}

// menuentry adds to the menu; the body runs when the entry is chosen.
func (s *shell) menuentry(args []string, body *list) (int, error) {
	if len(s.menu) >= maxEntries {
		return 1, ErrLimit
	}
	m := item{submenu: args[0] == "submenu", body: body}
	if body == nil {
		// The old form has the body as the last word, in quotes.
		if len(args) < 3 {
			return 1, nil
		}
		l, err := parse(args[len(args)-1])
		if err != nil {
			return 1, err
		}
		m.body, args = l, args[:len(args)-1]
	}
	rest := args[1:]
	for i := 0; i < len(rest); i++ {
		name, value, given := strings.Cut(rest[i], "=")
		switch name {
		case "--id", "--class", "--users", "--hotkey", "--source", "$menuentry_id_option":
			if !given && i+1 < len(rest) {
				i++
				value = rest[i]
			}
			if name == "--id" || name == "$menuentry_id_option" {
				m.id = value
			}
		case "--unrestricted":
		default:
			if m.title == "" && m.args == nil {
				m.title = rest[i]
			}
			m.args = append(m.args, rest[i])
		}
	}
	s.menu = append(s.menu, m)
	return 0, nil
}
