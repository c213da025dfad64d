package main

import (
	"io"
	"regexp"

	"github.com/diskcast/diskcast/internal/plain"
)

// screen passes a machine's console on without what only terminals are told, and without carriage returns.
type screen struct {
	to   *plain.Writer
	rest []byte // the beginning of a sequence that is not complete yet
}

func newScreen(w io.Writer) *screen { return &screen{to: plain.NewWriter(w)} }

var (
	// told are control sequences, other escape sequences and carriage returns (ECMA-48, 5.3 and 5.4).
	told = regexp.MustCompile(`\x1b\[[0-?]*[ -/]*[@-~]|\x1b[ -/]*[0-Z\\-~]|\r`)
	// begun is the beginning of one at the end of what was read. Longer ones than this are passed on as plain text.
	begun = regexp.MustCompile(`\x1b(\[[0-?]{0,32})?[ -/]{0,8}$`)
)

// Write implements io.Writer.
func (s *screen) Write(p []byte) (int, error) {
	text := told.ReplaceAll(append(s.rest, p...), nil)
	s.rest = nil
	if at := begun.FindIndex(text); at != nil {
		s.rest, text = append([]byte(nil), text[at[0]:]...), text[:at[0]]
	}
	if _, err := s.to.Write(text); err != nil {
		return 0, err
	}
	return len(p), nil
}
