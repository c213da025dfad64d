package menu

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/diskcast/diskcast/internal/session"
)

func hall() *session.Menu {
	return &session.Menu{ID: "1", Title: "lab-07: what shall this machine do?", Seconds: 30,
		Default: session.MenuOwnDisk,
		Entries: []session.MenuEntry{{Entry: "own-disk", Words: "Start its own disk"},
			{Entry: "wait", Words: "Wait for a session"}, {Entry: "image=debian", Words: "Write the image debian"},
			{Entry: "memtest", Words: "Test its memory", Refused: "it is not there"}}}
}

// fake is a console that somebody types at, and a server.
type fake struct {
	keys   *io.PipeReader
	typist *io.PipeWriter

	mu      sync.Mutex
	screen  strings.Builder
	asked   []session.MenuChoice
	restart []string
	away    bool
	refuse  error
}

func newFake() *fake {
	f := &fake{}
	f.keys, f.typist = io.Pipe()
	return f
}

func (f *fake) Read(p []byte) (int, error) { return f.keys.Read(p) }
func (f *fake) Close() error               { return f.keys.Close() }
func (f *fake) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.screen.Write(p)
}

func (f *fake) types(t *testing.T, s string) {
	t.Helper()
	if _, err := io.WriteString(f.typist, s); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
}

func (f *fake) options() Options {
	return Options{Consoles: func() []Console { return []Console{f} },
		Restart: func(_ context.Context, why string) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.restart = append(f.restart, why)
		},
		Choose: func(ctx context.Context, c *session.MenuChoice) (*session.MenuReply, error) {
			f.mu.Lock()
			f.asked = append(f.asked, *c)
			away, refuse := f.away, f.refuse
			f.mu.Unlock()
			switch {
			case away:
				<-ctx.Done()
				return nil, context.Cause(ctx)
			case refuse != nil:
				return nil, refuse
			case c.Entry == "image=debian" && c.Disk == nil:
				return &session.MenuReply{V: 1, Ask: &session.MenuAsk{Words: "the image debian over /dev/sda",
					Disk:  session.DiskID{Model: "Fast SSD", Serial: "S123", Size: 512 << 30, Path: "/dev/sda"},
					Notes: []string{"it has the partitions 1 Windows"}}}, nil
			case c.Entry == "image=debian":
				return &session.MenuReply{V: 1, Session: "s4"}, nil
			}
			return &session.MenuReply{V: 1, Restart: true}, nil
		}}
}

// sits runs a menu with somebody at its console, in time that the test moves.
func sits(t *testing.T, m *session.Menu, somebody func(f *fake)) *fake {
	t.Helper()
	f := newFake()
	synctest.Test(t, func(t *testing.T) {
		f.keys, f.typist = io.Pipe()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); Run(ctx, m, f.options()) }()
		synctest.Wait()
		somebody(f)
		cancel()
		<-done
		if _, err := f.typist.Write([]byte("x")); err == nil {
			t.Error("the console is open after the menu's end")
		}
	})
	return f
}

// entries are what the server was asked, and whether with a disk.
func (f *fake) entries() string {
	var out []string
	for _, c := range f.asked {
		e := c.Entry
		if c.Disk != nil {
			e += " on " + c.Disk.Serial
		}
		out = append(out, e)
	}
	return strings.Join(out, ", ")
}

// TestRun is what people do at a console.
func TestRun(t *testing.T) {
	wait := hall()
	wait.Default = session.MenuWait
	for _, c := range []struct {
		name     string
		menu     *session.Menu
		somebody func(t *testing.T, f *fake)
		asked    string // of the server
		restarts int
		says     []string
	}{
		{"nobody", hall(), func(_ *testing.T, _ *fake) { time.Sleep(31 * time.Second) }, "own-disk", 1,
			[]string{"3  Write the image debian", "4  Test its memory - not now: it is not there",
				"In 1 s: start its own disk"}},
		{"nobody, and it waits", wait, func(_ *testing.T, _ *fake) { time.Sleep(time.Hour) }, "", 0,
			[]string{"This machine waits for a session. Enter shows the menu."}},
		{"wakes the menu", wait, func(t *testing.T, f *fake) {
			time.Sleep(time.Hour)
			f.types(t, "\r")
			f.types(t, "1\r")
		}, "own-disk", 1, nil},
		{"nobody, and the server is away", hall(), func(_ *testing.T, f *fake) {
			f.away = true
			time.Sleep(time.Minute)
		}, "own-disk", 1, []string{"The server does not answer."}},
		{"an image", hall(), func(t *testing.T, f *fake) {
			f.types(t, "3\r")
			f.types(t, "yes\r")
			time.Sleep(time.Hour)
		}, "image=debian, image=debian on S123", 0, []string{"ALL THAT IS ON THIS DISK IS LOST", "Fast SSD", "S123",
			"549.8 GB (549755813888 bytes)", "1 Windows", "Session s4 has a part"}},
		{"an image, and no", hall(), func(t *testing.T, f *fake) {
			f.types(t, "3\r")
			f.types(t, "y\r")
		}, "image=debian", 0, []string{"Nothing was done."}},
		{"an image, and goes away", hall(), func(t *testing.T, f *fake) {
			f.types(t, "3\r")
			time.Sleep(Patience*time.Second + 31*time.Second)
		}, "image=debian, own-disk", 1, []string{"Nobody went on choosing."}},
		{"an image, and the server is away", hall(), func(t *testing.T, f *fake) {
			f.types(t, "3")
			f.away = true
			f.types(t, "\r")
			time.Sleep(21 * time.Second)
		}, "image=debian", 0, []string{"The server does not answer: nothing was done."}},
		{"the server refuses", hall(), func(t *testing.T, f *fake) {
			f.refuse = errors.New("the disk is in use")
			f.types(t, "3\r")
		}, "image=debian", 0, []string{"That could not be done: the disk is in use"}},
		{"the server refuses the default", hall(), func(_ *testing.T, f *fake) {
			f.refuse = errors.New("another menu")
			time.Sleep(70 * time.Second)
		}, "own-disk, own-disk", 0, []string{"That could not be done: another menu"}},
		{"a key stops the clock", hall(), func(t *testing.T, f *fake) {
			f.types(t, "\x1b[A")
			time.Sleep(100 * time.Second)
		}, "", 0, []string{"Any key stops the clock"}},
		{"a mistake", hall(), func(t *testing.T, f *fake) {
			f.types(t, "9\r7\x7f\x7f\x7f4\r")
			f.types(t, "nonsense that is long\r\x15\r")
			f.types(t, "\x1bOA12\x08\r")
		}, "own-disk", 1, []string{`"9" is none of 1 to 4.`, "That cannot be chosen now: it is not there.",
			`"nonsense that is" is none`}},
		{"wait", hall(), func(t *testing.T, f *fake) {
			f.types(t, "2\r")
			time.Sleep(time.Hour)
		}, "", 0, []string{"This machine waits"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := sits(t, c.menu, func(f *fake) { c.somebody(t, f) })
			screen := f.screen.String()
			if got := f.entries(); got != c.asked || len(f.restart) != c.restarts {
				t.Errorf("the server was asked %q, and the machine restarted: %q; want %q and %d times\n%s", got,
					f.restart, c.asked, c.restarts, screen)
			}
			for _, want := range c.says {
				if !strings.Contains(screen, want) {
					t.Errorf("the console does not say %q:\n%s", want, screen)
				}
			}
		})
	}
}

// FuzzKeys: whatever is typed, nothing is written to a disk that nobody said yes to.
func FuzzKeys(f *testing.F) {
	f.Add([]byte("3\ryes\r"))
	f.Add([]byte("\x1b[A3\r\x15yes\ry\r"))
	f.Fuzz(func(t *testing.T, keys []byte) {
		s := newScreen(hall())
		s.step(started{})
		said := ""
		for _, b := range keys {
			before := s.state
			said += string(rune(b))
			e := s.step(key(b))
			if len(s.line) > maxLine {
				t.Fatalf("a line of %d bytes", len(s.line))
			}
			if e.ask == nil {
				continue
			}
			if e.ask.Disk != nil && (before != confirming || !strings.Contains(strings.ToLower(said), "y")) {
				t.Fatalf("%q: a disk is written in state %d", said, before)
			}
			if e.ask.Entry == "image=debian" && e.ask.Disk == nil {
				s.step(answer{reply: &session.MenuReply{V: 1, Ask: &session.MenuAsk{Words: "x",
					Disk: session.DiskID{Size: 1}}}})
				continue
			}
			s.step(answer{reply: &session.MenuReply{V: 1, Session: "s1"}})
		}
	})
}
