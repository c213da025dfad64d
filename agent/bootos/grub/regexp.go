package grub

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
)

// regexpCommand matches a string with a POSIX extended expression; --set=N:NAME gives a variable what group N matched,
// --set=NAME group 1.
func regexpCommand(s *shell, args []string) (int, error) {
	p, err := parseOptions(args, false, []option{{short: 's', long: "set", value: true}})
	if err != nil || len(p.args) != 2 {
		return badArgument, nil
	}
	pattern, text := p.args[0], p.args[1]
	if len(pattern) > maxPattern || len(text) > maxMatched {
		return statusFalse, limit("regexp with an expression of more than %d bytes or a text of more than %d",
			maxPattern, maxMatched)
	}
	expression, ambiguous, err := posixToGo(pattern)
	groups := len(p.options["set"]) > 0
	switch {
	case errors.Is(err, errUnclosed):
		return statusFalse, nil
	case err == nil && !plainText(text):
		err = fmt.Errorf("%w: the text has bytes other than ASCII's", errOtherRegexp)
	case err == nil && ambiguous && groups:
		err = fmt.Errorf("%w: what its groups are", errOtherRegexp)
	}
	if err != nil {
		return statusFalse, &Restart{Why: fmt.Sprintf("its configuration matches the expression %q, which %v", pattern,
			err)}
	}
	if err := s.chargeMatch(expression, text); err != nil {
		return statusFalse, err
	}
	re, err := regexp.CompilePOSIX(expression)
	if err != nil {
		return statusFalse, &Restart{Why: fmt.Sprintf("its configuration matches the expression %q, which %v: %v",
			pattern, errOtherRegexp, err)}
	}
	matched := re.FindStringSubmatch(text)
	if matched == nil {
		return statusFalse, nil
	}
	for _, v := range p.options["set"] {
		number, name, numbered := strings.Cut(v, ":")
		n := 1
		if !numbered {
			name = v
		} else if n, err = decimal(number); err != nil {
			return badArgument, nil
		}
		value := ""
		if n < len(matched) {
			value = matched[n]
		}
		if err := s.set(name, value); err != nil {
			return statusFalse, err
		}
	}
	return ok, nil
}

// chargeMatch spends what a match costs: every byte of the text may be held against every instruction of the
// expression, whose repeats are written out.
func (s *shell) chargeMatch(pattern, text string) error {
	parsed, err := syntax.Parse(pattern, syntax.POSIX)
	if err != nil {
		return nil // it does not compile
	}
	prog, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return nil
	}
	if len(prog.Inst) > maxPatternSize {
		return limit("regexp with an expression that becomes more than %d instructions", maxPatternSize)
	}
	return s.charge(len(prog.Inst) * (stepBytes/2 + len(text)))
}
