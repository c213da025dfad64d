package lvm

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
)

const (
	maxDepth  = 8
	maxValues = 1 << 21
)

// section is a named block of the metadata text: values (int64, string or a list of these) and further sections, in
// order.
type section struct {
	name     string
	values   map[string]any
	children []*section
}

func (s *section) only() (string, *section) {
	if len(s.children) != 1 {
		return "", nil
	}
	return s.children[0].name, s.children[0]
}

func (s *section) child(name string) *section {
	if s != nil {
		for _, c := range s.children {
			if c.name == name {
				return c
			}
		}
	}
	return nil
}

func (s *section) sections() []*section {
	if s == nil {
		return nil
	}
	return s.children
}

func (s *section) number(name string) int64 { n, _ := s.values[name].(int64); return n }
func (s *section) text(name string) string  { t, _ := s.values[name].(string); return t }
func (s *section) list(name string) []any   { l, _ := s.values[name].([]any); return l }

// flag tells whether the section's status has a word.
func (s *section) flag(word string) bool {
	return slices.ContainsFunc(s.list("status"), func(v any) bool { return v == word })
}

// strings calls f with every string in the section.
func (s *section) strings(f func(string)) {
	for _, v := range s.values {
		switch v := v.(type) {
		case string:
			f(v)
		case []any:
			for _, e := range v {
				if t, ok := e.(string); ok {
					f(t)
				}
			}
		}
	}
	for _, c := range s.children {
		c.strings(f)
	}
}

// parse reads the text format of vgcfgbackup(8): `name = value`, `name { ... }`, numbers, quoted strings, lists,
// comments.
func parse(text []byte) (*section, error) {
	p := parser{text: text}
	root := &section{values: map[string]any{}}
	if err := p.body(root, 0); err != nil {
		return nil, fmt.Errorf("at byte %d: %w", p.at, err)
	}
	return root, nil
}

type parser struct {
	text   []byte
	at     int
	values int
}

// skip moves to the next byte that means something and returns it; 0 is the end.
func (p *parser) skip() byte {
	for ; p.at < len(p.text); p.at++ {
		switch c := p.text[p.at]; {
		case c == '#':
			for p.at+1 < len(p.text) && p.text[p.at] != '\n' {
				p.at++
			}
		case c > ' ':
			return c
		}
	}
	return 0
}

func word(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' || c == '.' ||
		c == '+'
}

func (p *parser) word() string {
	from := p.at
	for p.at < len(p.text) && word(p.text[p.at]) {
		p.at++
	}
	return string(p.text[from:p.at])
}

func (p *parser) body(s *section, depth int) error {
	if depth > maxDepth {
		return errors.New("sections are nested too deeply")
	}
	for {
		c := p.skip()
		if c == 0 && depth == 0 {
			return nil
		}
		if c == '}' && depth > 0 {
			p.at++
			return nil
		}
		name := p.word()
		if name == "" {
			return errors.New("a name is expected")
		}
		if p.values++; p.values > maxValues {
			return errors.New("it has too many values")
		}
		switch p.skip() {
		case '{':
			p.at++
			child := &section{name: name, values: map[string]any{}}
			if err := p.body(child, depth+1); err != nil {
				return err
			}
			s.children = append(s.children, child)
		case '=':
			p.at++
			v, err := p.value()
			if err != nil {
				return err
			}
			s.values[name] = v
		default:
			return fmt.Errorf("%q is followed by neither = nor {", name)
		}
	}
}

func (p *parser) value() (any, error) {
	if p.skip() != '[' {
		return p.scalar()
	}
	p.at++
	list := []any{}
	for {
		switch p.skip() {
		case ']':
			p.at++
			return list, nil
		case ',':
			p.at++
		default:
			v, err := p.scalar()
			if err != nil {
				return nil, err
			}
			if p.values++; p.values > maxValues {
				return nil, errors.New("it has too many values")
			}
			list = append(list, v)
		}
	}
}

func (p *parser) scalar() (any, error) {
	if p.skip() != '"' {
		w := p.word()
		n, err := strconv.ParseInt(w, 10, 64)
		if err != nil {
			if _, ferr := strconv.ParseFloat(w, 64); ferr == nil {
				return w, nil
			}
			return nil, fmt.Errorf("%q is not a number", w)
		}
		return n, nil
	}
	p.at++
	var out []byte
	for ; p.at < len(p.text); p.at++ {
		switch c := p.text[p.at]; c {
		case '"':
			p.at++
			return string(out), nil
		case '\\':
			if p.at++; p.at < len(p.text) {
				out = append(out, p.text[p.at])
			}
		default:
			out = append(out, c)
		}
	}
	return nil, errors.New("a string does not end")
}
