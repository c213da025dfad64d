package grub

import (
	"fmt"
	"strings"
)

// part is a piece of a word: text, or a variable to be put in.
type part struct {
	text   string
	name   string // of a variable; text is empty then
	quoted bool   // not cut at blanks, and a word even when empty
}

// word is one word of a command before variables are put in.
type word []part

// literal returns the word's text when it has no quotes and no variables: only such a word can be a keyword.
func (w word) literal() string {
	if len(w) == 1 && !w[0].quoted && w[0].name == "" {
		return w[0].text
	}
	return ""
}

// token is a word or one of the marks ; { } and end of file.
type token struct {
	word word
	mark byte // ';' for both ; and a line's end, '{', '}', 0 for a word
	end  bool
	line int
}

type lexer struct {
	src  string
	pos  int
	line int
}

func (l *lexer) peekByte() byte {
	if l.pos < len(l.src) {
		return l.src[l.pos]
	}
	return 0
}

// next returns the next token. Marks are ; { } on their own: "a{b" is a word.
func (l *lexer) next() (token, error) {
	for l.pos < len(l.src) {
		switch c := l.src[l.pos]; {
		case c == ' ' || c == '\t' || c == '\r':
			l.pos++
		case c == '\\' && l.pos+1 < len(l.src) && l.src[l.pos+1] == '\n':
			l.pos += 2
			l.line++
		case c == '#':
			if i := strings.IndexByte(l.src[l.pos:], '\n'); i >= 0 {
				l.pos += i
			} else {
				l.pos = len(l.src)
			}
		case c == '\n':
			l.pos++
			l.line++
			return token{mark: ';', line: l.line - 1}, nil
		case c == ';' || c == '&' || c == '|':
			l.pos++
			return token{mark: ';', line: l.line}, nil
		case (c == '{' || c == '}') && l.alone():
			l.pos++
			return token{mark: c, line: l.line}, nil
		default:
			w, err := l.word()
			return token{word: w, line: l.line}, err
		}
	}
	return token{end: true, line: l.line}, nil
}

// alone tells whether the brace at pos is a mark: nothing of a word follows it.
func (l *lexer) alone() bool {
	if l.src[l.pos] == '}' || l.pos+1 == len(l.src) {
		return true
	}
	return strings.IndexByte(" \t\r\n;", l.src[l.pos+1]) >= 0
}

// word reads a word up to a blank or mark.
func (l *lexer) word() (word, error) {
	var w word
	text := func(s string, quoted bool) {
		if n := len(w); n > 0 && w[n-1].name == "" && w[n-1].quoted == quoted {
			w[n-1].text += s
			return
		}
		w = append(w, part{text: s, quoted: quoted})
	}
	for l.pos < len(l.src) {
		switch c := l.src[l.pos]; c {
		case ' ', '\t', '\r', '\n', ';', '&', '|':
			return w, nil
		case '\'':
			end := strings.IndexByte(l.src[l.pos+1:], '\'')
			if end < 0 {
				return nil, fmt.Errorf("line %d: a quote is not closed", l.line+1)
			}
			s := l.src[l.pos+1 : l.pos+1+end]
			l.line += strings.Count(s, "\n")
			text(s, true)
			l.pos += end + 2
		case '"':
			l.pos++
			if err := l.doubleQuoted(&w, text); err != nil {
				return nil, err
			}
		case '\\':
			l.pos++
			switch {
			case l.pos == len(l.src):
			case l.src[l.pos] == '\n':
				l.line++
				l.pos++
			default:
				text(l.src[l.pos:l.pos+1], true)
				l.pos++
			}
		case '$':
			if p, ok := l.variable(); ok {
				w = append(w, p)
			} else {
				text("$", false)
			}
		default:
			n := strings.IndexAny(l.src[l.pos:], " \t\r\n;&|'\"\\$")
			if n < 0 {
				n = len(l.src) - l.pos
			}
			text(l.src[l.pos:l.pos+n], false)
			l.pos += n
		}
	}
	return w, nil
}

// doubleQuoted reads up to the closing quote; \ takes away the meaning of $ " \ and a line's end only.
func (l *lexer) doubleQuoted(w *word, text func(string, bool)) error {
	text("", true)
	for l.pos < len(l.src) {
		switch c := l.src[l.pos]; c {
		case '"':
			l.pos++
			return nil
		case '\\':
			l.pos++
			switch next := l.peekByte(); next {
			case '$', '"', '\\':
				text(string(next), true)
				l.pos++
			case '\n':
				l.line++
				l.pos++
			default:
				text(`\`, true)
			}
		case '$':
			if p, ok := l.variable(); ok {
				p.quoted = true
				*w = append(*w, p)
			} else {
				text("$", true)
			}
		default:
			n := strings.IndexAny(l.src[l.pos:], "\"\\$")
			if n < 0 {
				n = len(l.src) - l.pos
			}
			s := l.src[l.pos : l.pos+n]
			l.line += strings.Count(s, "\n")
			text(s, true)
			l.pos += n
		}
	}
	return fmt.Errorf("line %d: a quote is not closed", l.line+1)
}

// variable reads $name, ${name}, $1, $@, $* or $?; without one of them only the $ is passed over.
func (l *lexer) variable() (part, bool) {
	l.pos++
	rest := l.src[l.pos:]
	if strings.HasPrefix(rest, "{") {
		end := strings.IndexByte(rest, '}')
		if end < 0 || strings.ContainsAny(rest[:end], " \t\n") {
			return part{}, false
		}
		l.pos += end + 1
		return part{name: rest[1:end]}, end > 1
	}
	n := 0
	for n < len(rest) && isName(rest[n]) {
		n++
		if n == 1 && rest[0] >= '0' && rest[0] <= '9' {
			break // $10 is $1 and a 0
		}
	}
	if n == 0 && rest != "" && strings.IndexByte("@*#?", rest[0]) >= 0 {
		n = 1
	}
	l.pos += n
	return part{name: rest[:n]}, n > 0
}

func isName(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}
