package grub

import (
	"fmt"
)

// test is the command [ and test of the GRUB manual: strings, numbers, files, and, or, not, parentheses. Its order is
// GRUB's: three words with an operator in the middle first, then two with one in front, then single words. Without any
// word it is true.
func test(s *shell, args []string) (int, error) {
	if n := len(args); n > 0 && args[n-1] == "]" {
		args = args[:n-1]
	}
	t := tester{s: s, args: args}
	if t.run(0) {
		return ok, t.err
	}
	return statusFalse, t.err
}

type tester struct {
	s    *shell
	args []string
	err  error
}

func (t *tester) run(depth int) bool {
	if depth > maxDepth {
		t.err = limit("more than %d parentheses inside each other", maxDepth)
		return false
	}
	or, and, not := false, true, false
	update := func(v bool) { and, not = and && v != not, false }
	for len(t.args) > 0 && t.err == nil {
		if n := len(t.args); n >= 3 {
			if v, is := t.binary(t.args[0], t.args[1], t.args[2]); is {
				t.args = t.args[3:]
				update(v)
				continue
			}
		}
		if len(t.args) >= 2 {
			if v, is := t.unary(t.args[0], t.args[1]); is {
				t.args = t.args[2:]
				update(v)
				continue
			}
		}
		word := t.args[0]
		t.args = t.args[1:]
		switch word {
		case ")":
			return or || and
		case "(":
			update(t.run(depth + 1))
		case "!":
			not = !not
		case "-a":
		case "-o":
			or, and = or || and, true
		default:
			update(word != "")
		}
	}
	return or || and
}

func (t *tester) binary(a, op, b string) (value, known bool) {
	switch op {
	case "=", "==":
		return a == b, true
	case "!=":
		return a != b, true
	case "<":
		return a < b, true
	case "<=":
		return a <= b, true
	case ">":
		return a > b, true
	case ">=":
		return a >= b, true
	case "-pgt", "-plt":
		a, b = afterCommonPrefix(a, b)
		x, y := t.numbers(unsigned, a, b)
		if op == "-pgt" {
			return x > y, true
		}
		return x < y, true
	case "-nt", "-ot":
		t.err = &Restart{Why: "its configuration compares the ages of files"}
		return false, true
	}
	compare, is := comparisons[op]
	if !is {
		return false, false
	}
	x, y := t.numbers(integer, a, b)
	return compare(x, y), true
}

// numbers reads two numbers that are compared.
func (t *tester) numbers(read func(string) (int64, error), a, b string) (x, y int64) {
	x, err1 := read(a)
	y, err2 := read(b)
	if err1 != nil || err2 != nil {
		t.err = &Restart{Why: fmt.Sprintf("its configuration compares %q with %q, and one of them %v", a, b, errWide)}
	}
	return x, y
}

var comparisons = map[string]func(a, b int64) bool{
	"-eq": func(a, b int64) bool { return a == b }, "-ne": func(a, b int64) bool { return a != b },
	"-lt": func(a, b int64) bool { return a < b }, "-le": func(a, b int64) bool { return a <= b },
	"-gt": func(a, b int64) bool { return a > b }, "-ge": func(a, b int64) bool { return a >= b },
}

// afterCommonPrefix cuts off what two words have in common, but no digits of a number that goes on.
func afterCommonPrefix(a, b string) (string, string) {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	for i > 0 && a[i-1] >= '0' && a[i-1] <= '9' {
		i--
	}
	return a[i:], b[i:]
}

func (t *tester) unary(op, v string) (value, known bool) {
	switch op {
	case "-n":
		return v != "", true
	case "-z":
		return v == "", true
	case "-d", "-e", "-f", "-s":
	default:
		return false, false
	}
	// A file that GRUB could see and we cannot is not the same as none.
	if t.err = t.s.missing(v); t.err != nil {
		return false, true
	}
	f, err := t.s.locateTested(v)
	if err != nil {
		return false, true
	}
	if op == "-s" {
		b, err := t.s.files.ReadFile(f.Device, f.Path, MaxConfig)
		if err != nil && t.s.files.Exists(f.Device, f.Path, false) {
			t.err = &Restart{Why: fmt.Sprintf("its configuration asks for the size of %v: %v", f, err)}
		}
		return err == nil && len(b) > 0, true
	}
	// GRUB looks for the name in its directory, and not where a link leads.
	dir, is := t.s.files.Listed(f.Device, f.Path)
	return is && (op == "-e" || dir == (op == "-d")), true
}
