package grub

import (
	"fmt"
	"strings"
)

// rescue runs the commands inside GRUB's core. They are read by a parser that is simpler than that of grub.cfg (GRUB
// manual, "Embedded configuration"): a line is the words of one command, with quotes and variables, but no ";", blocks
// or wildcards. A command that it does not have, if and all such words among them, is passed over with its line; what
// stands between if and fi runs in any case. A line that the two parsers read in different ways is a restart.
func (s *shell) rescue(text string) error {
	for i, line := range strings.Split(text, "\n") {
		if err := s.charge(len(line)); err != nil {
			return err
		}
		first, _, _ := strings.Cut(strings.TrimLeft(line, " \t"), " ")
		if first == "" || first[0] == '#' || shellWords[first] {
			continue
		}
		s.unknown = ""
		args, err := s.rescueWords(line)
		if err != nil {
			return &Restart{Why: fmt.Sprintf("line %d of the configuration inside GRUB is not followed here: %v", i+1,
				err)}
		}
		if err := s.known(); err != nil {
			return err
		}
		s.pending = nil
		name, value, assigns := "", "", false
		if len(args) > 0 {
			name, value, assigns = strings.Cut(args[0], "=")
		}
		switch {
		case len(args) == 0:
		case assigns && len(args) == 1:
			err = s.set(name, value)
		case assigns: // no command, and with more words no assignment
		default:
			_, err = s.call(args, &simple{line: i})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// shellWords are those of grub.cfg's language that begin a line, and that are no commands.
var shellWords = map[string]bool{
	"if": true, "then": true, "elif": true, "else": true, "fi": true, "for": true, "do": true, "done": true,
	"while": true, "until": true,
	"function": true, "{": true, "}": true,
}

// rescueWords cuts a line into words and fills in variables. A word that comes to nothing is left out.
func (s *shell) rescueWords(line string) (words []string, err error) {
	var word strings.Builder
	flush := func() {
		if word.Len() > 0 {
			words = append(words, word.String())
		}
		word.Reset()
	}
	quote := byte(0)
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case c == quote:
			quote = 0
		case quote == 0 && (c == '\'' || c == '"'):
			quote = c
		case c == '$' && quote != '\'':
			rest := line[i+1:]
			name, after := rest, ""
			if braced, is := strings.CutPrefix(rest, "{"); is {
				name, after, is = strings.Cut(braced, "}")
				if !is {
					return nil, fmt.Errorf("%q has no }", line)
				}
			} else {
				n := 0
				for n < len(rest) && isName(rest[n]) {
					n++
				}
				name, after = rest[:n], rest[n:]
			}
			if name == "" || strings.Trim(name, nameBytes) != "" {
				return nil, fmt.Errorf("%q has a $ without a name", line)
			}
			word.WriteString(s.get(name))
			i = len(line) - len(after) - 1
		case quote == 0 && (c == ' ' || c == '\t'):
			flush()
		case c == '\\' || c == '\r' || quote == 0 && strings.IndexByte("{}|&;<>", c) >= 0:
			return nil, fmt.Errorf("%q has %q in it", line, c)
		default:
			word.WriteByte(c)
		}
		if word.Len() > maxValue {
			return nil, limit("a word of more than %d bytes", maxValue)
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("%q has a quote that is not closed", line)
	}
	flush()
	return words, nil
}

const nameBytes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"

// normal goes over to a configuration, that of $prefix by default, with the variables and the menu that there are.
// Where it comes to no menu GRUB waits at its prompt.
func normal(s *shell, args []string) (int, error) {
	f, name, err := s.next(args)
	if err != nil {
		return statusFalse, err
	}
	if f != nil {
		e, err := s.config(f.Device, f.Path)
		if err != nil {
			return statusFalse, err
		}
		s.loaded = e
		return ok, errBoot
	}
	if err := s.missing(name); err != nil {
		return statusFalse, err
	}
	return statusFalse, &Restart{Why: fmt.Sprintf("its configuration %s is not there: GRUB waits at its prompt", name)}
}
