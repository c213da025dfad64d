package grub

import (
	"fmt"
	"strings"
)

// option is one that a command knows.
type option struct {
	short    byte // 0 for none
	long     string
	value    bool // it takes a value
	optional bool // the value may be left out
}

// parsed is a command's options, by long name with the values in their order ("" for one without), and what is left.
type parsed struct {
	options map[string][]string
	args    []string
}

func (p parsed) has(name string) bool { return len(p.options[name]) > 0 }

// last returns an option's last value.
func (p parsed) last(name string) string {
	if v := p.options[name]; len(v) > 0 {
		return v[len(v)-1]
	}
	return ""
}

// parseOptions reads words as GRUB's grub_arg_parse does (GRUB manual, "Command-line and menu entry commands"): options
// and arguments in any order; --name=value and --name value; -nv clusters of short ones of which the last may take the
// next word; "--" ends them; a "-" alone is an argument. A value that may be left out is the next word, unless that
// begins with "-" and is longer. With dash, as search and menuentry have it, an option that is not known is an
// argument.
func parseOptions(words []string, dash bool, known []option) (parsed, error) {
	p := parsed{options: map[string][]string{}}
words:
	for i := 0; i < len(words); i++ {
		w := words[i]
		if len(w) < 2 || w[0] != '-' {
			p.args = append(p.args, w)
			continue
		}
		if w == "--" {
			p.args = append(p.args, words[i+1:]...)
			break
		}
		var o option
		value, given := "", false
		if name, long := strings.CutPrefix(w, "--"); long {
			name, value, given = strings.Cut(name, "=")
			var ok bool
			if o, ok = find(known, func(k option) bool { return k.long == name }); !ok {
				if dash {
					p.args = append(p.args, w)
					continue
				}
				return p, fmt.Errorf("unknown argument %q", w)
			}
		} else {
			for j := 1; j < len(w); j++ {
				var ok bool
				if o, ok = find(known, func(k option) bool { return k.short == w[j] && k.short != 0 }); !ok && dash &&
					j == 1 {
					p.args = append(p.args, w)
					continue words
				}
				if !ok {
					return p, fmt.Errorf("unknown argument %q", w)
				}
				if j < len(w)-1 {
					if o.value && !o.optional {
						return p, fmt.Errorf("%q has no value", w)
					}
					p.options[o.long] = append(p.options[o.long], "")
				}
			}
		}
		if o.value && !given && i+1 < len(words) {
			if next := words[i+1]; !o.optional || len(next) < 2 || next[0] != '-' {
				i++
				value, given = next, true
			}
		}
		if given && !o.value || !given && o.value && !o.optional {
			return p, fmt.Errorf("%q: its value is missing, or it takes none", w)
		}
		p.options[o.long] = append(p.options[o.long], value)
	}
	return p, nil
}

func find(known []option, is func(option) bool) (option, bool) {
	for _, o := range known {
		if is(o) {
			return o, true
		}
	}
	return option{}, false
}
