// Package menu shows on a node's consoles what somebody there may choose while nothing is asked of the node, and has
// the server do what was chosen.
//
// What is on the screen and what a key does is a pure state machine: Step takes a key, a second that passed, or the
// server's answer, and returns what is printed and what is to be done. Run is the shell around it. All consoles show
// the same menu, and any of them may choose.
package menu

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/internal/session"
)

// state is where a menu is.
type state int

const (
	counting   state = iota // nobody touched a key; the default comes by itself
	choosing                // somebody did
	asking                  // the server was asked, and has not answered
	confirming              // somebody has to agree to lose a disk
	resting                 // nothing is counted: Enter shows the menu
	left                    // the machine restarts
)

// Patience is how long, in seconds, somebody who has begun to choose may be silent before the counting starts anew: a
// machine whose keyboard was touched by the way must not stay for ever.
const Patience = 120

// maxLine is how much somebody may type.
const maxLine = 16

// screen is a menu and what somebody does with it.
type screen struct {
	m     *session.Menu
	state state
	left  int    // seconds until the default
	quiet int    // seconds since a key
	line  []byte // what was typed since Enter
	skip  escape
	// What the server was asked, and what it wants to be confirmed.
	choice session.MenuChoice
	auto   bool // nobody chose it: the time was over
	ask    *session.MenuAsk
}

// escape swallows what a key sends that is no character: ESC [ A and the like.
type escape int

const (
	plainKey escape = iota
	afterEscape
	inSequence
)

// Inputs.
type (
	started struct{}
	key     byte
	second  struct{}
	// answer is the server's, or why there is none; away says that it did not answer at all.
	answer struct {
		reply *session.MenuReply
		err   error
		away  bool
	}
)

// effect is what is to be done after a step.
type effect struct {
	print   string
	ask     *session.MenuChoice // of the server
	restart string              // why the machine is restarted; empty: it is not
}

func newScreen(m *session.Menu) *screen { return &screen{m: m, left: m.Seconds} }

// step takes in what happened.
func (s *screen) step(in any) effect {
	switch in := in.(type) {
	case started:
		return effect{print: s.list() + s.count()}
	case second:
		return s.second()
	case key:
		return s.key(byte(in))
	case answer:
		return s.answered(in)
	}
	return effect{}
}

// list is the menu as it is shown.
func (s *screen) list() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\r\n\r\n%s\r\n\r\n", clean(s.m.Title))
	for i, e := range s.m.Entries {
		fmt.Fprintf(&b, "  %2d  %s", i+1, clean(e.Words))
		if e.Refused != "" {
			fmt.Fprintf(&b, " - not now: %s", clean(e.Refused))
		}
		b.WriteString("\r\n")
	}
	b.WriteString("\r\n")
	return b.String()
}

// clean is a line of the server's for a terminal.
func clean(words string) string { return plain.Line(words, 512) }

// count is the line that says what comes by itself. It is written over itself.
func (s *screen) count() string {
	what := "it waits for a session"
	if s.m.Default != session.MenuWait {
		if e := s.m.Entry(s.m.Default); e != nil {
			what = strings.ToLower(e.Words[:1]) + e.Words[1:]
		}
	}
	return fmt.Sprintf("\r\x1b[KType a number and Enter. In %d s: %s. Any key stops the clock. ", s.left, clean(what))
}

const prompt = "\r\x1b[KType a number and Enter: "

// anew shows the menu to whoever was choosing, after words on what came of that.
func (s *screen) anew(words string) effect {
	s.state, s.line, s.quiet, s.ask = choosing, nil, 0, nil
	if words != "" {
		words = "\r\n" + clean(words) + "\r\n"
	}
	return effect{print: words + s.list() + prompt}
}

func (s *screen) second() effect {
	switch s.state {
	case counting:
		if s.left--; s.left > 0 {
			return effect{print: s.count()}
		}
		s.auto = true
		return s.take(s.m.Default)
	case choosing, confirming:
		if s.quiet++; s.quiet < Patience {
			return effect{}
		}
		s.state, s.left, s.line, s.quiet, s.ask = counting, s.m.Seconds, nil, 0, nil
		return effect{print: "\r\nNobody went on choosing." + s.list() + s.count()}
	}
	return effect{}
}

func (s *screen) key(b byte) effect {
	s.quiet = 0
	if s.swallow(b) {
		b = 0 // it only stops the clock
	}
	switch s.state {
	case counting:
		s.state = choosing
		if b == '\r' || b == '\n' {
			return effect{print: prompt}
		}
		e := s.typed(b)
		return effect{print: prompt + e}
	case choosing:
		if b == '\r' || b == '\n' {
			return s.chosen()
		}
		return effect{print: s.typed(b)}
	case confirming:
		if b == '\r' || b == '\n' {
			return s.confirmed()
		}
		return effect{print: s.typed(b)}
	case resting:
		if b == '\r' || b == '\n' {
			return s.anew("")
		}
	}
	return effect{}
}

// swallow takes in the bytes of a key that is no character.
func (s *screen) swallow(b byte) bool {
	switch s.skip {
	case afterEscape:
		s.skip = plainKey
		if b == '[' || b == 'O' {
			s.skip = inSequence
			return true
		}
	case inSequence:
		if b >= 0x40 && b <= 0x7e { // ECMA-48, 5.4: the final byte
			s.skip = plainKey
		}
		return true
	}
	if b == 0x1b {
		s.skip = afterEscape
		return true
	}
	return false
}

// typed takes a character into the line, and returns what the terminal shows of it.
func (s *screen) typed(b byte) string {
	switch {
	case b == 0x7f || b == '\b':
		if len(s.line) == 0 {
			return ""
		}
		s.line = s.line[:len(s.line)-1]
		return "\b \b"
	case b == 0x15: // ^U, as a terminal's own line editing has it
		n := len(s.line)
		s.line = nil
		return strings.Repeat("\b \b", n)
	case b < ' ' || b > '~' || len(s.line) >= maxLine:
		return ""
	}
	s.line = append(s.line, b)
	return string(b)
}

// enter is the line that was typed, which is gone then.
func (s *screen) enter() string {
	line := strings.TrimSpace(string(s.line))
	s.line = nil
	return line
}

func (s *screen) chosen() effect {
	line := s.enter()
	if line == "" {
		return s.anew("")
	}
	n, err := strconv.Atoi(line)
	if err != nil || n < 1 || n > len(s.m.Entries) {
		return s.anew(fmt.Sprintf("%q is none of 1 to %d.", line, len(s.m.Entries)))
	}
	e := &s.m.Entries[n-1]
	if e.Refused != "" {
		return s.anew("That cannot be chosen now: " + e.Refused + ".")
	}
	s.auto = false
	return s.take(e.Entry)
}

// take does what was chosen, or what comes by itself.
func (s *screen) take(entry string) effect {
	if entry == session.MenuWait {
		s.state = resting
		return effect{print: "\r\n\r\nThis machine waits for a session. Enter shows the menu.\r\n"}
	}
	s.state, s.choice = asking, session.MenuChoice{V: session.Version, Menu: s.m.ID, Entry: entry}
	c := s.choice
	return effect{print: "\r\n\r\nAsking the server ...\r\n", ask: &c}
}

func (s *screen) confirmed() effect {
	line := s.enter()
	if !strings.EqualFold(line, "yes") {
		return s.anew("Nothing was done.")
	}
	disk := s.ask.Disk
	s.state, s.ask, s.choice.Disk = asking, nil, &disk
	c := s.choice
	return effect{print: "\r\n\r\nAsking the server ...\r\n", ask: &c}
}

func (s *screen) answered(a answer) effect {
	if s.state != asking {
		return effect{}
	}
	switch {
	case a.err != nil && a.away && s.choice.Entry == session.MenuOwnDisk:
		// What comes next is the firmware's to find, whether the server comes back or not.
		s.state = left
		return effect{print: "\r\nThe server does not answer.\r\n",
			restart: "the server does not answer; its own disk is what the firmware finds next"}
	case a.err != nil && a.away:
		return s.anew("The server does not answer: nothing was done.")
	case a.err != nil && s.auto:
		s.state, s.left = counting, s.m.Seconds
		return effect{print: "\r\nThat could not be done: " + clean(a.err.Error()) + s.list() + s.count()}
	case a.err != nil:
		return s.anew("That could not be done: " + a.err.Error())
	case a.reply.Restart:
		s.state = left
		return effect{restart: "somebody at the console chose " + s.choice.Entry}
	case a.reply.Ask != nil:
		return s.question(a.reply.Ask)
	}
	s.state = resting
	return effect{print: "\r\nSession " + clean(a.reply.Session) + " has a part for this machine now.\r\n"}
}

// question has somebody agree to lose what is on a disk.
func (s *screen) question(ask *session.MenuAsk) effect {
	s.state, s.ask, s.line, s.quiet = confirming, ask, nil, 0
	d := ask.Disk
	var b strings.Builder
	fmt.Fprintf(&b, "\r\nThis writes %s.\r\nALL THAT IS ON THIS DISK IS LOST:\r\n\r\n", clean(ask.Words))
	for _, x := range [][2]string{{"model", d.Model}, {"serial", d.Serial}, {"size", sizeWords(d.Size)},
		{"wwn", d.WWN}, {"place", d.BusPath}, {"now called", d.Path}} {
		if x[1] != "" {
			fmt.Fprintf(&b, "  %-10s  %s\r\n", x[0], clean(x[1]))
		}
	}
	for _, n := range ask.Notes {
		fmt.Fprintf(&b, "  %s\r\n", clean(n))
	}
	b.WriteString("\r\nType yes and Enter to go on; anything else goes back: ")
	return effect{print: b.String()}
}

// sizeWords is a size as it is printed on disks, and exactly.
func sizeWords(n int64) string {
	const gb = 1e9
	if n < gb {
		return fmt.Sprintf("%d MB (%d bytes)", n/1e6, n)
	}
	return fmt.Sprintf("%.1f GB (%d bytes)", float64(n)/gb, n)
}
