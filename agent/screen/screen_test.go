package screen

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/diskcast/diskcast/agent/node"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/internal/testenv/need"
)

const mb = 1_000_000

// restored has a restore at 47 % after 20 s.
func restored() *State {
	s := &State{Machine: "pc-17", Doing: "writing image debian", share: -1}
	s.Take(&session.Event{Step: session.StepPlan, Level: session.Info, Message: "image debian goes to /dev/sda"}, 0)
	s.Take(&session.Event{Step: session.StepMulticast, Level: session.Warn,
		Message: "no multicast\x1b[2J for 3 s"}, 0)
	for i := range 21 {
		s.Take(&session.Event{Step: session.StepProgress, Level: session.Info,
			Message:  "received 50 % of 1 GB, written 47 %",
			Progress: &session.Progress{Written: int64(i) * 235 * mb, ToWrite: 10_000 * mb}},
			time.Duration(i)*time.Second)
	}
	return s
}

func TestFrame(t *testing.T) {
	const want = `
####      ####            ##    ######
##  ##  ##              ####        ##
####    ##      ######    ##        ##
##      ##                ##      ##
##        ####          ######    ##

##  ##  ######  ##  ##                            writing image debian
##  ##      ##      ##                            receiving and writing
######      ##    ##                              235 MB/s
    ##    ##    ##                                about 0:23 min left
    ##    ##    ##  ##

[####################################.........................................]
! no multicast` + "\uFFFD" + `[2J for 3 s
-------------------------------------------------------------------------------`
	got := restored().Frame(80)
	if len(got) != Height {
		t.Errorf("%d lines, want %d", len(got), Height)
	}
	if text := "\n" + strings.Join(got, "\n"); text != want {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
}

func TestState(t *testing.T) {
	event := func(step, level, words string) *session.Event {
		return &session.Event{Step: step, Level: level, Message: words}
	}
	for name, c := range map[string]struct {
		events []*session.Event
		want   string // what the frame holds
	}{
		"nothing yet": {nil, "writing image debian"},
		"hashing, in percent": {[]*session.Event{event(session.StepProgress, session.Info,
			"hashing what is on the disk: 12 % of 5.0 GB")}, "hashing what is on the disk"},
		"a failure": {[]*session.Event{event(session.StepFailed, session.Error, "the disk reports an error at 512")},
			"! the disk reports an error at 512"},
		"a phase": {[]*session.Event{event(session.StepVerified, session.Info, "x")}, "read back"},
		"a long name": {[]*session.Event{event(session.StepTable, session.Warn, strings.Repeat("long ", 200))},
			"! long long"},
	} {
		s := &State{Machine: "52:54:00:12:34:56", Doing: "writing image debian", share: -1}
		for i, e := range c.events {
			s.Take(e, time.Duration(i)*time.Second)
		}
		lines := s.Frame(80)
		if text := strings.Join(lines, "\n"); !strings.Contains(text, c.want) ||
			!strings.Contains(text, "52:54:00:12:34:56") {
			t.Errorf("%s: no %q in\n%s", name, c.want, text)
		}
		for _, l := range lines {
			if len([]rune(l)) > 79 {
				t.Errorf("%s: %d columns: %s", name, len(l), l)
			}
		}
	}
}

// fakeTerminal keeps what is written to it.
type fakeTerminal struct {
	mu     sync.Mutex
	text   strings.Builder
	closed bool
	fail   bool
}

func (f *fakeTerminal) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail {
		return 0, errors.New("it takes nothing")
	}
	return f.text.Write(p)
}
func (f *fakeTerminal) Size() (columns, rows int) { return 80, 25 }
func (f *fakeTerminal) Close() error              { f.closed = true; return nil }

type work struct{ run func() error }

func (w work) Run(context.Context) error          { return w.run() }
func (work) Takes(*session.Descriptor, bool) bool { return false }
func (work) Leave(context.Context, *node.Exit)    {}
func (work) Unfinished() string                   { return "" }

// TestAround: the screen is there while the work runs, and its last picture says that it failed. A terminal that takes
// nothing does not hold the work up.
func TestAround(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good, bad := &fakeTerminal{}, &fakeTerminal{fail: true}
		s := New(Options{Terminals: func() []Terminal { return []Terminal{bad, good} },
			Machine: func() string { return "node" }, Since: func() time.Duration { return time.Second }})
		s.Watch(&session.Event{Step: session.StepTable, Level: session.Warn, Message: "before any work"})
		j := s.Around(func(*session.Descriptor) node.Job {
			return work{func() error {
				time.Sleep(1500 * time.Millisecond)
				s.Watch(&session.Event{Step: session.StepPlan, Level: session.Warn, Message: "a warning"})
				time.Sleep(2 * time.Second)
				return errors.New("the disk is gone")
			}}
		}, func(*session.Descriptor) string { return "testing" })(&session.Descriptor{Name: "pc-1"})
		if err := j.Run(t.Context()); err == nil {
			t.Error("no error")
		}
		text := good.text.String()
		for _, want := range []string{"\x1b[16;25r", "testing", "! a warning", "! the disk is gone", "\x1b[r"} {
			if !strings.Contains(text, want) {
				t.Errorf("no %q in %q", want, text)
			}
		}
		if !good.closed || !bad.closed || strings.Contains(text, "before any work") {
			t.Errorf("closed: %v, %v", good.closed, bad.closed)
		}
	})
}

// TestTerminal has tmux, a terminal that others wrote, show the screen and the log below it.
func TestTerminal(t *testing.T) {
	need.Tools(t, "tmux")
	dir := t.TempDir()
	socket := filepath.Join(dir, "tmux")
	tmux := func(args ...string) string {
		out, err := exec.Command("tmux", append([]string{"-f", "/dev/null", "-S", socket}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("tmux %v: %v: %s", args, err, out)
		}
		return string(out)
	}
	d := drawing{columns: 80, rows: 25}
	var all strings.Builder
	for i := range 30 {
		fmt.Fprintf(&all, "before %d\r\n", i)
	}
	all.WriteString(d.begin())
	s := restored()
	all.WriteString(d.frame(s.Frame(80)))
	for i := range 30 {
		fmt.Fprintf(&all, "log line %d\r\n", i)
		all.WriteString(d.frame(s.Frame(80)))
	}
	s.Take(&session.Event{Step: session.StepFailed, Level: session.Error, Message: "it broke"}, 0)
	all.WriteString(d.frame(s.Frame(80)))
	during := filepath.Join(dir, "during")
	if err := os.WriteFile(during, []byte(all.String()+"LAST"), 0o600); err != nil {
		t.Fatal(err)
	}
	after := filepath.Join(dir, "after")
	if err := os.WriteFile(after, []byte(all.String()+d.end()+"\r\nand on\r\nLAST"), 0o600); err != nil {
		t.Fatal(err)
	}
	picture := func(name, file string) []string {
		tmux("new-session", "-d", "-s", name, "-x", "80", "-y", "25", "cat "+file+"; cat")
		for limit := time.Now().Add(20 * time.Second); time.Now().Before(limit); {
			p := strings.Split(strings.TrimRight(tmux("capture-pane", "-p", "-t", name), "\n"), "\n")
			if p[len(p)-1] == "LAST" {
				return p
			}
		}
		t.Fatalf("%s: the last line never came: %s", name, tmux("capture-pane", "-p", "-t", name))
		return nil
	}
	t.Cleanup(func() { _ = exec.Command("tmux", "-S", socket, "kill-server").Run() })
	lines := picture("during", during)
	if lines[Height-2] != "! it broke" || !strings.HasPrefix(lines[Height-1], "-----") ||
		lines[Height] != "log line 21" || lines[Height+8] != "log line 29" {
		t.Errorf("while it works:\n%s", strings.Join(lines, "\n"))
	}
	lines = picture("after", after)
	if text := strings.Join(lines, "\n"); !strings.Contains(text, "log line 29\n") ||
		!strings.Contains(text, "and on\nLAST") ||
		!strings.Contains(text, "! it broke") {
		t.Errorf("afterwards:\n%s", text)
	}
}

func FuzzState(f *testing.F) {
	f.Add("received 40 %", int64(5), int64(10), 80)
	f.Fuzz(func(t *testing.T, words string, done, all int64, columns int) {
		columns = min(max(columns, leastColumns), 300)
		s := &State{Machine: words, Doing: words, share: -1}
		for i := range 3 {
			s.Take(&session.Event{Step: session.StepProgress, Level: session.Info, Message: words,
				Progress: &session.Progress{Read: done * int64(i), ToRead: all}}, time.Duration(i)*time.Second)
		}
		d := drawing{columns: columns, rows: 25}
		lines := s.Frame(columns)
		if len(lines) != Height {
			t.Errorf("%d lines", len(lines))
		}
		for _, l := range lines {
			if len([]rune(l)) > columns {
				t.Errorf("%q", l)
			}
		}
		d.frame(lines)
		position([]byte(words))
		ofProcess([]byte(words))
	})
}
