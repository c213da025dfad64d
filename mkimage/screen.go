package main

import (
	"io"

	"github.com/diskcast/diskcast/internal/ansi"
)

// screen passes a machine's console on as text.
type screen struct {
	to   io.Writer
	text ansi.Filter
}

func newScreen(w io.Writer) *screen { return &screen{to: w} }

// Write implements io.Writer.
func (s *screen) Write(p []byte) (int, error) {
	if _, err := s.to.Write(s.text.Write(p)); err != nil {
		return 0, err
	}
	return len(p), nil
}
