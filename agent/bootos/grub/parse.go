package grub

import "fmt"

// list is commands one after another.
type list struct {
	cmds []command
	ends []int // how many commands came before an end of line, where that is not in one of them
}

// lines cuts a list at the ends of its lines. The last one may be without a command.
func (l *list) lines() (out []*list) {
	begin := 0
	for _, end := range l.ends {
		out = append(out, &list{cmds: l.cmds[begin:end]})
		begin = end
	}
	return append(out, &list{cmds: l.cmds[begin:]})
}

// command is a *simple, *branch, *loop or *function.
type command any

// simple is a command with its words and, for menuentry and submenu, a body.
type simple struct {
	words []word
	body  *list  // the block among the words, nil without
	block string // its text, braces and all
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
	*meter
	lex   lexer
	tok   token
	depth int

	blockEnd int // byte after the last block's brace
}

// parse reads a whole configuration.
func parse(src string, m *meter) (*list, error) {
	p := &parser{meter: m, lex: newLexer(src, m)}
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
	if p.tok, err = p.lex.next(); err != nil {
		return err
	}
	return p.spend(1)
}

// separator tells whether the token ends a command.
func (p *parser) separator() bool { return p.tok.mark == ';' || p.tok.mark == '\n' }

func (p *parser) separators() error {
	for p.separator() {
		if err := p.advance(); err != nil {
			return err
		}
	}
	return nil
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
		return nil, limit("more than %d commands inside each other", maxDepth*4)
	}
	defer func() { p.depth-- }()
	l := &list{}
	for {
		switch {
		case p.tok.end || p.tok.mark == '}':
			return p.some(l)
		case p.separator():
			if n := len(l.ends); p.tok.mark == '\n' && (n == 0 || l.ends[n-1] < len(l.cmds)) {
				l.ends = append(l.ends, len(l.cmds))
			}
			if err := p.advance(); err != nil {
				return nil, err
			}
			continue
		}
		for _, k := range until {
			if p.tok.mark == 0 && p.tok.word.literal() == k {
				return p.some(l)
			}
		}
		c, err := p.command()
		if err != nil {
			return nil, err
		}
		l.cmds = append(l.cmds, c)
	}
}

// some refuses a list without a command: GRUB wants one everywhere but in the file itself.
func (p *parser) some(l *list) (*list, error) {
	if len(l.cmds) == 0 && p.depth > 1 {
		return nil, p.unexpected()
	}
	return l, nil
}

// expect passes over a keyword.
func (p *parser) expect(keyword string) error {
	if err := p.separators(); err != nil {
		return err
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
		if p.depth > 1 {
			return nil, fmt.Errorf("line %d: a function is inside another command", p.tok.line+1)
		}
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
	err := p.separators()
	if err != nil {
		return nil, err
	}
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
	p.blockEnd = p.tok.stop
	return body, p.advance()
}

// simple reads a command's words. One of them may be a block in braces, of which menuentry and submenu make their body.
func (p *parser) simple() (command, error) {
	s := &simple{line: p.tok.line}
	for !p.tok.end && !p.separator() && p.tok.mark != '}' {
		if p.tok.mark == '{' {
			if len(s.words) == 0 || s.body != nil {
				return nil, p.unexpected()
			}
			start := p.tok.start
			body, err := p.braces()
			if err != nil {
				return nil, err
			}
			s.body, s.block = body, p.lex.src[start:p.blockEnd]
			continue
		}
		s.words = append(s.words, p.tok.word)
		if err := p.advance(); err != nil {
			return nil, err
		}
	}
	return s, nil
}
