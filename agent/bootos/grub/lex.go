package grub

import (
	"fmt"
	"strings"
)

// part is a piece of a word: text, or a variable to be put in.
type part struct {
	text   string
	name   string // of a variable; text is empty then
	quoted bool   // not cut at blanks, no wildcard, and a word even when empty

	translated bool // begins $"text", which GRUB shows in the language of $lang
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

// token is a word, one of the marks ; { } or a line's end, or the end of file.
type token struct {
	word        word
	mark        byte // ';', '\n', '{', '}', 0 for a word
	end         bool
	line        int
	start, stop int // bytes of the source
}

type lexer struct {
	*meter
	src    string
	pos    int
	line   int
	remark map[int]bool // lines that are not in src
}

// newLexer reads source without the lines that begin with "#": GRUB leaves them out before it looks at quotes or a "\\"
// at the end of a line.
func newLexer(src string, m *meter) lexer {
	l := lexer{meter: m, remark: map[int]bool{}}
	var kept strings.Builder
	n := 0
	for line := range strings.Lines(src) {
		if line[0] == '#' {
			l.remark[n] = true
		} else {
			kept.WriteString(line)
		}
		n++
	}
	l.src, l.line = kept.String(), -1
	l.newlines(1)
	return l
}

// newlines counts line ends.
func (l *lexer) newlines(n int) {
	for range n {
		for l.line++; l.remark[l.line]; {
			l.line++
		}
	}
}

// meta are the characters that end a word wherever they stand outside quotes, as in GRUB's own lexer.
const meta = "{}|&;<> \t\r\n"

func (l *lexer) peekByte() byte {
	if l.pos < len(l.src) {
		return l.src[l.pos]
	}
	return 0
}

// next returns the next token.
func (l *lexer) next() (token, error) {
	for l.pos < len(l.src) {
		at := l.pos
		switch c := l.src[l.pos]; {
		case c == ' ' || c == '\t' || c == '\r':
			l.pos++
		case c == '\\' && l.pos+1 < len(l.src) && l.src[l.pos+1] == '\n':
			l.pos += 2
			l.newlines(1)
		case c == '#':
			if i := strings.IndexByte(l.src[l.pos:], '\n'); i >= 0 {
				l.pos += i
			} else {
				l.pos = len(l.src)
			}
		case c == '\n':
			line := l.line
			l.pos++
			l.newlines(1)
			return token{mark: c, line: line, start: at, stop: l.pos}, nil
		case c == ';' || c == '{' || c == '}':
			l.pos++
			return token{mark: c, line: l.line, start: at, stop: l.pos}, nil
		case c == '|' || c == '&' || c == '<' || c == '>':
			return token{}, fmt.Errorf("line %d: GRUB's shell has no %q outside quotes", l.line+1, c)
		default:
			line := l.line
			w, err := l.word()
			return token{word: w, line: line, start: at, stop: l.pos}, err
		}
	}
	return token{end: true, line: l.line, start: l.pos, stop: l.pos}, nil
}

// word reads a word up to a blank or mark.
func (l *lexer) word() (word, error) {
	var w word
	escaped := false
	text := func(s string, quoted bool) {
		if n := len(w); n > 0 && w[n-1].name == "" && w[n-1].quoted == quoted {
			w[n-1].text += s
			return
		}
		w = append(w, part{text: s, quoted: quoted})
	}
	for l.pos < len(l.src) {
		switch c := l.src[l.pos]; {
		case strings.IndexByte(meta, c) >= 0:
			return w, nil
		case c == '\'':
			end := strings.IndexByte(l.src[l.pos+1:], '\'')
			if end < 0 {
				return nil, fmt.Errorf("line %d: a quote is not closed", l.line+1)
			}
			s := l.src[l.pos+1 : l.pos+1+end]
			l.newlines(strings.Count(s, "\n"))
			text(s, true)
			l.pos += end + 2
		case c == '"':
			l.pos++
			if err := l.doubleQuoted(&w, text); err != nil {
				return nil, err
			}
		case c == '\\':
			l.pos++
			switch {
			case l.pos == len(l.src):
			case l.src[l.pos] == '\n':
				l.newlines(1)
				l.pos++
			default:
				escaped = true
				text(l.src[l.pos:l.pos+1], true)
				l.pos++
			}
		case c == '$' && strings.HasPrefix(l.src[l.pos:], `$"`):
			if escaped { // grub-emu keeps some of the backslashes then
				return nil, fmt.Errorf("line %d: a word with a backslash before a translated text is not read here "+
					"as GRUB does", l.line+1)
			}
			l.pos += 2
			w = append(w, part{quoted: true, translated: true})
			if err := l.doubleQuoted(&w, text); err != nil {
				return nil, err
			}
		case c == '$':
			p, err := l.variable()
			if err != nil {
				return nil, err
			}
			w = append(w, p)
		default:
			n := strings.IndexAny(l.src[l.pos:], meta+"'\"\\$")
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
				l.newlines(1)
				l.pos++
			default:
				text(`\`, true)
			}
		case '$':
			p, err := l.variable()
			if err != nil {
				return err
			}
			p.quoted = true
			*w = append(*w, p)
		default:
			n := strings.IndexAny(l.src[l.pos:], "\"\\$")
			if n < 0 {
				n = len(l.src) - l.pos
			}
			s := l.src[l.pos : l.pos+n]
			l.newlines(strings.Count(s, "\n"))
			text(s, true)
			l.pos += n
		}
	}
	return fmt.Errorf("line %d: a quote is not closed", l.line+1)
}

// variable reads $name, ${name}, $12, $@, $*, $# or $?. A $ before anything else is an error in GRUB too.
func (l *lexer) variable() (part, error) {
	if err := l.spend(1); err != nil {
		return part{}, err
	}
	l.pos++
	rest := l.src[l.pos:]
	if strings.HasPrefix(rest, "{") {
		if end := strings.IndexByte(rest, '}'); end > 1 && nameLength(rest[1:end]) == end-1 {
			l.pos += end + 1
			return part{name: rest[1:end]}, nil
		}
		return part{}, fmt.Errorf("line %d: ${ is not followed by a name and }", l.line+1)
	}
	n := nameLength(rest)
	if n == 0 {
		return part{}, fmt.Errorf("line %d: $ is not followed by a name", l.line+1)
	}
	l.pos += n
	return part{name: rest[:n]}, nil
}

// nameLength returns how many bytes at the start of s are a variable's name: a word of letters, a number, or one of @ *
// # ?.
func nameLength(s string) int {
	if s == "" {
		return 0
	}
	if strings.IndexByte("@*#?", s[0]) >= 0 {
		return 1
	}
	n := 0
	number := s[0] >= '0' && s[0] <= '9'
	for n < len(s) && isName(s[n]) && (!number || s[n] >= '0' && s[n] <= '9') {
		n++
	}
	return n
}

func isName(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}
