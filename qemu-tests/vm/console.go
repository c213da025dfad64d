package vm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"
	"time"
)

// Console is a machine's serial console: everything it said, without terminal escapes, with the time of each piece.
type Console struct {
	log io.Writer

	mu     sync.Mutex
	text   []byte
	marks  []mark // when text grew to which length
	cursor int    // where the next Expect starts to look
	grown  chan struct{}
	in     io.WriteCloser
	esc    escState
}

type mark struct {
	end int
	at  time.Time
}

// Match is what Expect found.
type Match struct {
	Groups []string  // as regexp.FindStringSubmatch
	At     time.Time // when the last byte of it came
}

func newConsole(log io.Writer) *Console {
	return &Console{log: log, grown: make(chan struct{})}
}

// Write takes output of the machine.
func (c *Console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.log != nil {
		_, _ = c.log.Write(p) // a log that fails must not stop the machine
	}
	n := len(c.text)
	c.text = c.esc.strip(c.text, p)
	if len(c.text) > n {
		c.marks = append(c.marks, mark{len(c.text), time.Now()})
		close(c.grown)
		c.grown = make(chan struct{})
	}
	return len(p), nil
}

func (c *Console) setInput(w io.WriteCloser) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.in = w
}

// Send types on the console.
func (c *Console) Send(s string) error {
	c.mu.Lock()
	in := c.in
	c.mu.Unlock()
	if in == nil {
		return errors.New("console: the machine is off")
	}
	_, err := io.WriteString(in, s)
	return err
}

// Expect waits until the pattern, a regular expression in multi-line mode, matches what the console said since the
// last match of Expect.
func (c *Console) Expect(ctx context.Context, pattern string) (Match, error) {
	re, err := regexp.Compile("(?m)" + pattern)
	if err != nil {
		return Match{}, err
	}
	for {
		c.mu.Lock()
		m, ok := c.find(re, c.cursor)
		if ok {
			c.cursor = m.end
		}
		grown := c.grown
		c.mu.Unlock()
		if ok {
			return m.Match, nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return Match{}, fmt.Errorf("console never said %q: %w; it ended with:\n%s", pattern, context.Cause(ctx),
				c.Tail(25))
		}
	}
}

// Find looks for the first match of the pattern in everything said so far, without moving Expect's place.
func (c *Console) Find(pattern string) (Match, bool) {
	re, err := regexp.Compile("(?m)" + pattern)
	if err != nil {
		return Match{}, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	m, ok := c.find(re, 0)
	return m.Match, ok
}

type found struct {
	Match
	end int
}

func (c *Console) find(re *regexp.Regexp, from int) (found, bool) {
	text := c.text[from:]
	loc := re.FindSubmatchIndex(text)
	if loc == nil {
		return found{}, false
	}
	f := found{end: from + loc[1]}
	for i := 0; i < len(loc); i += 2 {
		s := ""
		if loc[i] >= 0 {
			s = string(text[loc[i]:loc[i+1]])
		}
		f.Groups = append(f.Groups, s)
	}
	for _, m := range c.marks {
		if m.end >= f.end {
			f.At = m.at
			break
		}
	}
	return f, true
}

// Text is everything the console said.
func (c *Console) Text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return string(c.text)
}

// Tail is the last n lines.
func (c *Console) Tail(n int) string {
	lines := strings.Split(strings.TrimRight(c.Text(), "\n"), "\n")
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return strings.Join(lines, "\n")
}

// escState removes terminal escape sequences and carriage returns from a stream that comes in pieces:
// firmware paints its screen with them.
type escState int

const (
	plain escState = iota
	escaped
	sequence
)

func (s *escState) strip(dst, p []byte) []byte {
	for _, b := range p {
		switch *s {
		case escaped:
			*s = plain
			if b == '[' {
				*s = sequence
			}
		case sequence:
			if b >= 0x40 && b <= 0x7e { // final byte, ECMA-48 5.4
				*s = plain
			}
		default:
			switch b {
			case 0x1b:
				*s = escaped
			case '\r', 0:
			default:
				dst = append(dst, b)
			}
		}
	}
	return dst
}

// tail keeps the last bytes of QEMU's standard error.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - 2048; over > 0 {
		t.buf = t.buf[over:]
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.buf))
}
