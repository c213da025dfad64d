package grub

import (
	"strconv"
	"strings"
)

// test is the command [ and test of the GRUB manual: strings, numbers, files, and, or, not, parentheses.
func test(s *shell, args []string) (int, error) {
	if n := len(args); n > 0 && args[n-1] == "]" {
		args = args[:n-1]
	}
	t := tester{s: s, args: args}
	if t.or() {
		return 0, nil
	}
	return 1, nil
}

type tester struct {
	s     *shell
	args  []string
	depth int
}

func (t *tester) peek(i int) string {
	if i < len(t.args) {
		return t.args[i]
	}
	return ""
}

func (t *tester) take(n int) { t.args = t.args[min(n, len(t.args)):] }

func (t *tester) or() bool {
	v := t.and()
	for t.peek(0) == "-o" {
		t.take(1)
		w := t.and()
		v = v || w
	}
	return v
}

func (t *tester) and() bool {
	v := t.term()
	for len(t.args) > 0 && t.peek(0) != "-o" && t.peek(0) != ")" {
		if t.peek(0) == "-a" {
			t.take(1)
		}
		w := t.term()
		v = v && w
	}
	return v
}

func (t *tester) term() bool {
	if t.depth++; t.depth > maxDepth || len(t.args) == 0 {
		return false
	}
	defer func() { t.depth-- }()
	// A binary operator wins: [ "$x" = "(" ] compares.
	if len(t.args) >= 3 {
		if f, ok := binary[t.peek(1)]; ok {
			a, b := t.peek(0), t.peek(2)
			t.take(3)
			return f(a, b)
		}
	}
	switch op := t.peek(0); op {
	case "!":
		if len(t.args) > 1 {
			t.take(1)
			return !t.term()
		}
	case "(":
		if len(t.args) > 1 {
			t.take(1)
			v := t.or()
			if t.peek(0) == ")" {
				t.take(1)
			}
			return v
		}
	case "-n", "-z", "-e", "-f", "-d", "-s":
		if len(t.args) > 1 {
			v := t.peek(1)
			t.take(2)
			return t.unary(op, v)
		}
	}
	v := t.peek(0)
	t.take(1)
	return v != ""
}

func (t *tester) unary(op, v string) bool {
	switch op {
	case "-n":
		return v != ""
	case "-z":
		return v == ""
	}
	f, err := t.s.locate(v)
	if err != nil {
		return false
	}
	switch op {
	case "-d":
		return t.s.files.Exists(f.Device, f.Path, true)
	case "-s":
		b, err := t.s.files.ReadFile(f.Device, f.Path, maxConfig)
		return err == nil && len(b) > 0
	case "-e":
		return t.s.files.Exists(f.Device, f.Path, false) || t.s.files.Exists(f.Device, f.Path, true)
	}
	return t.s.files.Exists(f.Device, f.Path, false)
}

var binary = map[string]func(a, b string) bool{
	"=": func(a, b string) bool { return a == b }, "==": func(a, b string) bool { return a == b },
	"!=": func(a, b string) bool { return a != b },
	"<":  func(a, b string) bool { return a < b }, ">": func(a, b string) bool { return a > b },
	"<=": func(a, b string) bool { return a <= b }, ">=": func(a, b string) bool { return a >= b },
	"-eq": numbers(func(a, b int64) bool { return a == b }), "-ne": numbers(func(a, b int64) bool { return a != b }),
	"-lt": numbers(func(a, b int64) bool { return a < b }), "-le": numbers(func(a, b int64) bool { return a <= b }),
	"-gt": numbers(func(a, b int64) bool { return a > b }), "-ge": numbers(func(a, b int64) bool { return a >= b }),
}

// numbers compares as integers; what is no number counts as 0.
func numbers(f func(a, b int64) bool) func(a, b string) bool {
	return func(a, b string) bool {
		x, _ := strconv.ParseInt(strings.TrimSpace(a), 0, 64)
		y, _ := strconv.ParseInt(strings.TrimSpace(b), 0, 64)
		return f(x, y)
	}
}
