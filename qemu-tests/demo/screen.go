package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// screen prints lines for good, and below them, on a terminal, lines that change. Elsewhere the changing lines are
// printed now and then.
type screen struct {
	mu       sync.Mutex
	out      io.Writer
	terminal bool
	height   int // changing lines on the terminal now
	last     time.Time
}

// quietPace is how often changing lines are printed where there is no terminal.
const quietPace = 5 * time.Second

func newScreen(out io.Writer) *screen {
	f, ok := out.(*os.File)
	return &screen{out: out, terminal: ok && term.IsTerminal(int(f.Fd()))}
}

func (s *screen) line(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
	fmt.Fprintln(s.out, text)
}

// live shows the changing lines.
func (s *screen) live(lines []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(lines) == 0 {
		return
	}
	if !s.terminal {
		if time.Since(s.last) < quietPace {
			return
		}
		s.last = time.Now()
		fmt.Fprintln(s.out, strings.Join(lines, "\n"))
		return
	}
	s.erase()
	for _, l := range lines {
		fmt.Fprintln(s.out, l)
	}
	s.height = len(lines)
}

// stopLive lets the changing lines stand as they are.
func (s *screen) stopLive() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.height = 0
}

// erase takes the changing lines off the terminal. s.mu is held.
func (s *screen) erase() {
	if s.height > 0 {
		fmt.Fprintf(s.out, "\x1b[%dA\x1b[J", s.height) // cursor up, clear to the end of the screen
		s.height = 0
	}
}
