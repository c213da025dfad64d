package grub

import "fmt"

// list is commands one after another.
type list struct{ cmds []command }

// command is a *simple, *branch, *loop or *function.
type command any

// simple is a command with its words and, for menuentry and submenu, a body.
type simple struct {
	words []word
	body  *list
	not   bool // with "!" in front
	line  int
}

// branch is if, elif, else.
type branch struct {
	conds, bodies []*list
	otherwise     *list
}

// loop is while or until, or for with name and words.
type loop struct {
	name  string
	words []word
	cond  *list
	until bool
	body  *list
}

// function defines a command.
type function struct {
	name string
	body *list
}

type parser struct {
	lex   lexer
	tok   token
	depth int
}

// parse reads a whole configuration.
func parse(src string) (*list, error) {
	p := &parser{lex: lexer{src: src}}
	if err := p.advance(); err != nil {
		return nil, err
	}
	l, err := p.list()
	if err != nil {
		return nil, err
	}
	if !p.tok.end {
		return nil, p.unexpected()
	}
	return l, nil
}

func (p *parser) advance() (err error) {
	p.tok, err = p.lex.next()
	return err
}

func (p *parser) unexpected() error {
	what := "the end of the file"
	switch {
	case p.tok.mark != 0:
		what = fmt.Sprintf("%q", p.tok.mark)
	case !p.tok.end:
		what = fmt.Sprintf("%q", p.tok.word.literal())
	}
	return fmt.Errorf("line %d: %s does not belong there", p.tok.line+1, what)
}

// list reads commands up to one of the keywords, a closing brace or the end; that token is left to be read.
func (p *parser) list(until ...string) (*list, error) {
	if p.depth++; p.depth > maxDepth*4 {
		return nil, ErrLimit
	}
	defer func() { p.depth-- }()
	l := &list{}
	for {
		switch {
		case p.tok.end || p.tok.mark == '}':
			return l, nil
		case p.tok.mark == ';':
			if err := p.advance(); err != nil {
				return nil, err
			}
			continue
		}
		for _, k := range until {
			if p.tok.mark == 0 && p.tok.word.literal() == k {
				return l, nil
			}
		}
		c, err := p.command()
		if err != nil {
			return nil, err
		}
		l.cmds = append(l.cmds, c)
	}
}

// expect passes over a keyword.
func (p *parser) expect(keyword string) error {
	for p.tok.mark == ';' {
		if err := p.advance(); err != nil {
			return err
		}
	}
	if p.tok.end || p.tok.mark != 0 || p.tok.word.literal() != keyword {
		return fmt.Errorf("%w: %q is missing", p.unexpected(), keyword)
	}
	return p.advance()
}

func (p *parser) command() (command, error) {
	if p.tok.mark != 0 {
		return nil, p.unexpected()
	}
	switch keyword := p.tok.word.literal(); keyword {
	case "if":
		return p.branch()
	case "while", "until":
		if err := p.advance(); err != nil {
			return nil, err
		}
		cond, err := p.list("do")
		if err != nil {
			return nil, err
		}
		body, err := p.doDone()
		return &loop{cond: cond, until: keyword == "until", body: body}, err
	case "for":
		return p.forLoop()
	case "function":
		return p.function()
	case "then", "elif", "else", "fi", "do", "done":
		return nil, p.unexpected()
	}
	return p.simple()
}

func (p *parser) doDone() (*list, error) {
	if err := p.expect("do"); err != nil {
		return nil, err
	}
	body, err := p.list("done")
	if err != nil {
		return nil, err
	}
	return body, p.expect("done")
}

func (p *parser) branch() (command, error) {
	b := &branch{}
	for {
		if err := p.advance(); err != nil { // if or elif
			return nil, err
		}
		cond, err := p.list("then")
		if err != nil {
			return nil, err
		}
		if err := p.expect("then"); err != nil {
			return nil, err
		}
		body, err := p.list("elif", "else", "fi")
		if err != nil {
			return nil, err
		}
		b.conds, b.bodies = append(b.conds, cond), append(b.bodies, body)
		if p.tok.word.literal() != "elif" {
			break
		}
	}
	if p.tok.word.literal() == "else" {
		if err := p.advance(); err != nil {
			return nil, err
		}
		var err error
		if b.otherwise, err = p.list("fi"); err != nil {
			return nil, err
		}
	}
	return b, p.expect("fi")
}

func (p *parser) forLoop() (command, error) {
	if err := p.advance(); err != nil {
		return nil, err
	}
	f := &loop{name: p.tok.word.literal()}
	if f.name == "" {
		return nil, p.unexpected()
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	if err := p.expect("in"); err != nil {
		return nil, err
	}
	for p.tok.mark == 0 && !p.tok.end {
		f.words = append(f.words, p.tok.word)
		if err := p.advance(); err != nil {
			return nil, err
		}
	}
	var err error
	f.body, err = p.doDone()
	return f, err
}

func (p *parser) function() (command, error) {
	if err := p.advance(); err != nil {
		return nil, err
	}
	f := &function{name: p.tok.word.literal()}
	if f.name == "" {
		return nil, p.unexpected()
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	for p.tok.mark == ';' {
		if err := p.advance(); err != nil {
			return nil, err
		}
	}
	var err error
	f.body, err = p.braces()
	return f, err
}

func (p *parser) braces() (*list, error) {
	if p.tok.mark != '{' {
		return nil, p.unexpected()
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	body, err := p.list()
	if err != nil {
		return nil, err
	}
	if p.tok.mark != '}' {
		return nil, p.unexpected()
	}
	return body, p.advance()
}

func (p *parser) simple() (command, error) {
	s := &simple{line: p.tok.line}
	if p.tok.word.literal() == "!" {
		s.not = true
		if err := p.advance(); err != nil {
			return nil, err
		}
	}
	for !p.tok.end && p.tok.mark != ';' && p.tok.mark != '}' {
		if p.tok.mark == '{' {
			var err error
			if s.body, err = p.braces(); err != nil {
				return nil, err
			}
			break
		}
		s.words = append(s.words, p.tok.word)
		if err := p.advance(); err != nil {
			return nil, err
		}
	}
	if len(s.words) == 0 {
		return nil, p.unexpected()
	}
	return s, nil
}
