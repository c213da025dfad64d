package grub

import (
	"regexp"
	"strconv"
	"strings"
)

// regexpCommand matches a string with a POSIX extended expression; --set=N:NAME gives a variable what group N matched, --set=NAME group 1.
func regexpCommand(s *shell, args []string) (int, error) {
	p, err := parseOptions(args, false, []option{{short: 's', long: "set", value: true}})
	if err != nil || len(p.args) != 2 {
		return badArgument, nil
	}
	re, err := regexp.CompilePOSIX(p.args[0])
	if err != nil {
		return statusFalse, nil
	}
	groups := re.FindStringSubmatch(p.args[1])
	if groups == nil {
		return statusFalse, nil
	}
	for _, v := range p.options["set"] {
		number, name, numbered := strings.Cut(v, ":")
		n := 1
		if !numbered {
			name = v
		} else if n, err = strconv.Atoi(number); err != nil || n < 0 {
			return badNumber, nil
		}
		value := ""
		if n < len(groups) {
			value = groups[n]
		}
		if err := s.set(name, value); err != nil {
			return statusFalse, err
		}
	}
	return ok, nil
}
