package grub

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// GRUB's regexp is the GNU C library's, with POSIX extended expressions and additions of its own (regex(7), the glibc
// manual, "POSIX Regexp Compilation"). Go's reads another language, which in part looks the same and means something
// else. posixToGo takes what means one thing to both over plain ASCII text, written as Go has it.

// errOtherRegexp is the error of an expression that GRUB may read in another way than Go.
var errOtherRegexp = errors.New("is not read here as GRUB does")

// errUnclosed is the error of an expression that GRUB refuses.
var errUnclosed = errors.New("has a bracket or a parenthesis that is not closed")

// posixExpression is an expression that is being read.
type posixExpression struct {
	src string
	pos int
	out strings.Builder

	depth int
	// ambiguous tells whether what a group matches may differ: where several ways to match are of one length.
	ambiguous bool
}

// posixToGo writes an expression in Go's language. With ambiguous only whether it matches is the same in both, not what
// its groups are.
func posixToGo(src string) (expression string, ambiguous bool, err error) {
	if !plainText(src) {
		return "", false, fmt.Errorf("%w: it has bytes other than ASCII's", errOtherRegexp)
	}
	e := &posixExpression{src: src}
	if err := e.alternatives(); err != nil {
		return "", false, err
	}
	if e.pos < len(e.src) {
		return "", false, fmt.Errorf("%w: a ) without (", errOtherRegexp)
	}
	return e.out.String(), e.ambiguous, nil
}

// plainText tells whether every byte is one that can be printed, which both take for a character.
func plainText(v string) bool {
	return strings.IndexFunc(v, func(r rune) bool { return r < ' ' || r > '~' }) < 0
}

func (e *posixExpression) peek() byte {
	if e.pos < len(e.src) {
		return e.src[e.pos]
	}
	return 0
}

// alternatives reads up to a closing parenthesis or the end.
func (e *posixExpression) alternatives() error {
	if e.depth++; e.depth > maxDepth {
		return fmt.Errorf("%w: it is nested too deep", errOtherRegexp)
	}
	defer func() { e.depth-- }()
	var words []string
	literal := true
	for {
		start := e.pos
		pieces, plain, err := e.sequence()
		switch {
		case err != nil:
			return err
		case pieces == 0:
			return fmt.Errorf("%w: a part of it is empty", errOtherRegexp)
		}
		words, literal = append(words, e.src[start:e.pos]), literal && plain
		if e.peek() != '|' {
			break
		}
		e.pos++
		e.out.WriteByte('|')
	}
	// Of words that do not begin like each other only one can match.
	for i, w := range words {
		begins := func(o string) bool { return strings.HasPrefix(o, w) }
		e.ambiguous = e.ambiguous || len(words) > 1 &&
			(!literal || slices.ContainsFunc(words[:i], begins) || slices.ContainsFunc(words[i+1:], begins))
	}
	return nil
}

// sequence reads pieces, each with what repeats it; plain are those that are letters and the like alone.
func (e *posixExpression) sequence() (pieces int, plain bool, err error) {
	plain = true
	for e.pos < len(e.src) {
		c := e.src[e.pos]
		group, anchor := false, false
		switch c {
		case '|', ')':
			return pieces, plain, nil
		case '*', '+', '?', '{':
			return 0, false, fmt.Errorf("%w: %q repeats nothing", errOtherRegexp, c)
		case '(':
			group, plain = true, false
			if err := e.group(); err != nil {
				return 0, false, err
			}
		case '[':
			plain = false
			if err := e.bracket(); err != nil {
				return 0, false, err
			}
		case '\\':
			plain = false
			if e.pos+1 == len(e.src) || strings.IndexByte(`.[]{}()*+?^$|\/-_:,;=@%&~#!" `, e.src[e.pos+1]) < 0 {
				return 0, false, fmt.Errorf("%w: the escape %q", errOtherRegexp, e.src[e.pos:min(e.pos+2, len(e.src))])
			}
			e.literal(e.src[e.pos+1])
			e.pos += 2
		case '^', '$':
			// In the middle of an expression they are anchors to both, that nothing fits.
			plain, anchor = false, true
			e.out.WriteByte(c)
			e.pos++
		case '.':
			plain = false
			e.out.WriteByte(c)
			e.pos++
		default:
			e.literal(c)
			e.pos++
		}
		pieces++
		repeated, err := e.repeat()
		switch {
		case err != nil:
			return 0, false, err
		case repeated && anchor:
			return 0, false, fmt.Errorf("%w: %q is repeated", errOtherRegexp, c)
		case repeated:
			plain = false
			e.ambiguous = e.ambiguous || group
		}
	}
	return pieces, plain, nil
}

// literal writes a byte that means itself.
func (e *posixExpression) literal(c byte) {
	if strings.IndexByte(`.[]{}()*+?^$|\`, c) >= 0 {
		e.out.WriteByte('\\')
	}
	e.out.WriteByte(c)
}

func (e *posixExpression) group() error {
	e.pos++
	e.out.WriteByte('(')
	if err := e.alternatives(); err != nil {
		return err
	}
	if e.peek() != ')' {
		return errUnclosed
	}
	e.pos++
	e.out.WriteByte(')')
	return nil
}

// posixClasses are the names that [: :] may have.
var posixClasses = strings.Fields("alpha digit alnum upper lower space blank punct print graph cntrl xdigit")

// bracket reads a set: "]" first is itself, "\" always.
func (e *posixExpression) bracket() error {
	e.pos++
	e.out.WriteByte('[')
	if e.peek() == '^' {
		e.pos++
		e.out.WriteByte('^')
	}
	for first := true; ; first = false {
		c := e.peek()
		switch {
		case e.pos == len(e.src):
			return errUnclosed
		case c == ']' && !first:
			e.pos++
			e.out.WriteByte(']')
			return nil
		case c == '[' && strings.HasPrefix(e.src[e.pos:], "[:"):
			name, _, closed := strings.Cut(e.src[e.pos+2:], ":]")
			if !closed || !slices.Contains(posixClasses, name) {
				return fmt.Errorf("%w: a class of characters in it", errOtherRegexp)
			}
			e.out.WriteString("[:" + name + ":]")
			e.pos += len(name) + 4
			if e.peek() == '-' && !strings.HasPrefix(e.src[e.pos:], "-]") {
				return fmt.Errorf("%w: a range from a class of characters", errOtherRegexp)
			}
			continue
		case c == '[' && (strings.HasPrefix(e.src[e.pos:], "[.") || strings.HasPrefix(e.src[e.pos:], "[=")):
			return fmt.Errorf("%w: a character by its name", errOtherRegexp)
		}
		e.pos++
		e.inSet(c)
		if e.peek() != '-' || strings.HasPrefix(e.src[e.pos:], "-]") {
			continue
		}
		if e.pos+1 >= len(e.src) {
			return errUnclosed
		}
		to := e.src[e.pos+1]
		if to < c || to == '[' || c == '-' {
			return fmt.Errorf("%w: a range of characters in it", errOtherRegexp)
		}
		e.out.WriteByte('-')
		e.inSet(to)
		if e.pos += 2; e.peek() == '-' && !strings.HasPrefix(e.src[e.pos:], "-]") {
			return fmt.Errorf("%w: a range of characters in it", errOtherRegexp)
		}
	}
}

// inSet writes a byte of a set.
func (e *posixExpression) inSet(c byte) {
	if strings.IndexByte(`[]\^-`, c) >= 0 {
		e.out.WriteByte('\\')
	}
	e.out.WriteByte(c)
}

// repeat reads * + ? or an interval behind a piece. Of one that is itself repeated the languages differ.
func (e *posixExpression) repeat() (is bool, err error) {
	switch c := e.peek(); c {
	case '*', '+', '?':
		e.pos++
		e.out.WriteByte(c)
	case '{':
		text, _, closed := strings.Cut(e.src[e.pos+1:], "}")
		low, high, several := strings.Cut(text, ",")
		if low == "" && several && high != "" {
			low = "0"
		}
		m, err1 := decimal(low)
		n, err2 := decimal(high)
		if !several || high == "" {
			n, err2 = m, nil
		}
		if !closed || err1 != nil || err2 != nil || m > n || n > 1000 || strings.Trim(text, "0123456789,") != "" {
			return false, fmt.Errorf("%w: the repetition {%s", errOtherRegexp, text)
		}
		if e.out.WriteString("{" + low); several {
			e.out.WriteString("," + high)
		}
		e.out.WriteByte('}')
		e.pos += len(text) + 2
	default:
		return false, nil
	}
	if c := e.peek(); c == '*' || c == '+' || c == '?' || c == '{' {
		return false, fmt.Errorf("%w: a repetition is repeated", errOtherRegexp)
	}
	return true, nil
}
