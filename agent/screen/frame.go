package screen

import "strings"

// Sizes of a terminal that has room for the screen and for some lines of the log below it.
const (
	leastColumns = 60
	leastRows    = 22
	// Height is the rows of the screen: two rows of large signs, a bar, what went wrong, and a line.
	Height = 2*signHigh + 5
)

// Frame is the screen in so many columns: Height lines, shorter than the terminal is wide. In them # is where a sign or
// a bar is, and a line that begins with ! is to be seen at once.
func (s *State) Frame(columns int) []string {
	columns--
	var lines []string
	name := s.Machine
	if fits(name, columns) {
		for _, row := range large(name) {
			lines = append(lines, strings.TrimRight(row, " "))
		}
	} else {
		lines = append(lines, "", "", name, "", "")
	}
	lines = append(lines, "")
	lines = append(lines, s.middle(columns)...)
	lines = append(lines, "", s.bar(columns))
	trouble := ""
	if s.trouble != "" {
		trouble = "! " + s.trouble
	}
	lines = append(lines, trouble, strings.Repeat("-", columns))
	for i, l := range lines {
		lines[i] = cut(l, columns)
	}
	return lines
}

// middle is how far it is, in large signs, and what is known besides, to the right of them.
func (s *State) middle(columns int) []string {
	const left = 6*signWide + 2 // FAILED
	facts := s.facts()
	var lines []string
	for y, row := range large(s.big()) {
		l := row
		if y < len(facts) {
			l += strings.Repeat(" ", max(left-len(row), 1)) + facts[y]
		}
		lines = append(lines, strings.TrimRight(cut(l, columns), " "))
	}
	return lines
}

// bar is how far the phase is.
func (s *State) bar(columns int) string {
	if s.share < 0 {
		return ""
	}
	width := columns - 2
	done := int(s.share * float64(width))
	return "[" + strings.Repeat("#", done) + strings.Repeat(".", width-done) + "]"
}

func cut(s string, columns int) string {
	r := []rune(s)
	if len(r) > columns {
		return string(r[:columns])
	}
	return s
}
