package rescue

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/rescue"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/internal/testenv/awaited"
	"github.com/diskcast/diskcast/internal/testenv/need"
)

// office is a rescue that runs, and who wants in.
type office struct {
	t      *testing.T
	signer ssh.Signer
	end    context.CancelFunc
	over   chan error // what Run returned

	mu     sync.Mutex
	events []string
	opened chan rescue.Opened
	where  rescue.Opened
}

func (o *office) Step(step, level, message string, _ *session.Progress) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.events = append(o.events, step+" "+level+" "+message)
}

func (o *office) Result(step, level, message string, result json.RawMessage) {
	o.Step(step, level, message, nil)
	opened, err := rescue.ParseOpened(result)
	if err != nil {
		o.t.Error(err)
		opened = &rescue.Opened{}
	}
	o.opened <- *opened
}

func (o *office) said() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Join(o.events, "\n")
}

func newSigner(t *testing.T) ssh.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func keyLine(s ssh.Signer) string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(s.PublicKey()))) + " me@desk"
}

// open begins a rescue; change may be nil.
func open(t *testing.T, seconds int, change func(*Options)) *office {
	t.Helper()
	o := &office{t: t, signer: newSigner(t), over: make(chan error, 1), opened: make(chan rescue.Opened, 1)}
	opts := Options{Report: o, Shell: "/bin/sh", Home: t.TempDir(), Dev: "/dev", Log: slog.New(slog.DiscardHandler),
		Listen: func() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") },
		Addr:   func() netip.Addr { return netip.Addr{} }}
	if change != nil {
		change(&opts)
	}
	d := &session.Descriptor{Session: "s", Action: rescue.Action,
		Job: fmt.Appendf(nil, `{"keys":[%q],"seconds":%d}`, keyLine(o.signer), seconds)}
	ctx, cancel := context.WithCancel(context.Background())
	o.end = cancel
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		o.over <- Action(opts)(d).Run(ctx)
	}()
	t.Cleanup(func() { cancel(); <-ended })
	select {
	case o.where = <-o.opened:
	case err := <-o.over:
		t.Fatal(err)
	}
	return o
}

// dial comes in with the key, and holds the host key against what the rescue told.
func (o *office) dial(s ssh.Signer) (*ssh.Client, error) {
	return ssh.Dial("tcp", o.where.Addr.String(), &ssh.ClientConfig{User: "root",
		Auth: []ssh.AuthMethod{ssh.PublicKeys(s)}, Timeout: 10 * time.Second,
		HostKeyCallback: func(_ string, _ net.Addr, k ssh.PublicKey) error {
			if got := ssh.FingerprintSHA256(k); got != o.where.Fingerprint() {
				return fmt.Errorf("the host key is %s, and the session says %s", got, o.where.Fingerprint())
			}
			return nil
		}})
}

func (o *office) in() *ssh.Client {
	o.t.Helper()
	c, err := o.dial(o.signer)
	if err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(func() { c.Close() })
	return c
}

// TestCommand runs command lines, which end nothing, and tells of each.
func TestCommand(t *testing.T) {
	o := open(t, 600, nil)
	c := o.in()
	for line, want := range map[string]int{"cat; echo err >&2": 0, "exit 7": 7, "kill -9 $$": 255} {
		s, err := c.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		var out, errs bytes.Buffer
		s.Stdin, s.Stdout, s.Stderr = strings.NewReader("hello"), &out, &errs
		err = s.Run(line)
		code := 0
		if bad := (*ssh.ExitError)(nil); errors.As(err, &bad) {
			code = bad.ExitStatus()
		} else if err != nil {
			t.Fatal(err)
		}
		if code != want || want == 0 && (out.String() != "hello" || errs.String() != "err\n") {
			t.Errorf("%s: exit %d, %q, %q; want %d", line, code, &out, &errs, want)
		}
	}
	for _, want := range []string{"login info SHA256:", " me@desk from 127.0.0.1:", "runs: exit 7"} {
		if !strings.Contains(o.said(), want) {
			t.Errorf("%q is not in\n%s", want, o.said())
		}
	}
	select {
	case err := <-o.over:
		t.Errorf("a command line ended the rescue: %v", err)
	default:
	}
}

// TestNotLetIn: another key, a password and what is no shell are refused.
func TestNotLetIn(t *testing.T) {
	o := open(t, 600, nil)
	if _, err := o.dial(newSigner(t)); err == nil || !strings.Contains(err.Error(), "unable to authenticate") {
		t.Errorf("another key: %v", err)
	}
	if _, err := ssh.Dial("tcp", o.where.Addr.String(), &ssh.ClientConfig{User: "root",
		Auth: []ssh.AuthMethod{ssh.Password("")}, HostKeyCallback: ssh.InsecureIgnoreHostKey()}); err == nil {
		t.Error("an empty password was taken")
	}
	if strings.Contains(o.said(), "login") {
		t.Errorf("who was not let in is a login:\n%s", o.said())
	}
	c := o.in()
	if _, err := c.Dial("tcp", "127.0.0.1:1"); err == nil || !strings.Contains(err.Error(), "only shells") {
		t.Errorf("forwarding: %v", err)
	}
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.RequestSubsystem("sftp"); err == nil {
		t.Error("a subsystem was taken")
	}
}

// shell is an interactive shell of the client.
func (o *office) shell(c *ssh.Client) (in io.WriteCloser, out *screen, s *ssh.Session) {
	o.t.Helper()
	s, err := c.NewSession()
	if err != nil {
		o.t.Fatal(err)
	}
	if err := s.RequestPty("xterm", 24, 80, ssh.TerminalModes{}); err != nil {
		o.t.Fatal(err)
	}
	out = &screen{}
	if in, err = s.StdinPipe(); err == nil {
		out.r, err = s.StdoutPipe()
	}
	if err == nil {
		err = s.Shell()
	}
	if err != nil {
		o.t.Fatal(err)
	}
	return in, out, s
}

// screen is what a terminal shows.
type screen struct {
	r     io.Reader
	shown []byte // what came behind what was waited for
}

// until waits until the text has come.
func (s *screen) until(t *testing.T, text string) (before string) {
	t.Helper()
	buf := make([]byte, 512)
	for {
		if i := bytes.Index(s.shown, []byte(text)); i >= 0 {
			before, s.shown = string(s.shown[:i]), s.shown[i+len(text):]
			return before
		}
		n, err := s.r.Read(buf)
		s.shown = append(s.shown, buf[:n]...)
		if err != nil {
			t.Fatalf("%v, before %q came: %q", err, text, s.shown)
		}
	}
}

func (o *office) ends(want string) {
	o.t.Helper()
	if err := <-o.over; err != nil {
		o.t.Errorf("ended with %v", err)
	}
	if !strings.Contains(o.said(), "closed info "+want) {
		o.t.Errorf("%q is not in\n%s", want, o.said())
	}
}

// TestShells: a shell has a terminal of its client's size; a connection that breaks and a shell that is left while
// another one is there end nothing, and the last exit ends all.
func TestShells(t *testing.T) {
	o := open(t, 600, nil)
	first, second := o.in(), o.in()
	in1, out1, s1 := o.shell(first)
	fmt.Fprint(in1, "stty size; echo $TERM-$((6*7))\n")
	out1.until(t, "24 80\r\n")
	out1.until(t, "xterm-42")
	if err := s1.WindowChange(50, 132); err != nil {
		t.Fatal(err)
	}
	// The new size and what is typed after it come by two ways, and either may be first.
	fmt.Fprint(in1, "until stty size | grep '^50'; do :; done\n")
	out1.until(t, "50 132\r\n")
	if err := s1.WindowChange(0, 0); err != nil { // of a client without a terminal
		t.Fatal(err)
	}
	fmt.Fprint(in1, "until stty size | grep '^24'; do :; done\n")
	out1.until(t, "24 80\r\n")
	in2, out2, s2 := o.shell(second)
	fmt.Fprint(in2, "echo in-$((1+1))\n")
	out2.until(t, "in-2")
	fmt.Fprint(in2, "exit\n")
	if err := s2.Wait(); err != nil {
		t.Errorf("the shell that was left: %v", err)
	}
	fmt.Fprint(in1, "echo still-$((1+2))\n")
	out1.until(t, "still-3")

	// It breaks, with a program in it that would run for ever.
	third := o.in()
	in3, out3, _ := o.shell(third)
	fmt.Fprint(in3, "echo pid$((1))=$$=; exec sleep 1000\n")
	out3.until(t, "pid1=")
	pid, err := strconv.Atoi(out3.until(t, "="))
	if err != nil {
		t.Fatal(err)
	}
	program := awaited.Find(t, pid)
	third.Close()
	program.Ends(30 * time.Second)
	fmt.Fprint(in1, "echo there-$((2+2))\n")
	out1.until(t, "there-4")
	fmt.Fprint(in1, "exit\n")
	o.ends("the shell of SHA256:")
}

// TestCancelled: nothing that was started outlives the session.
func TestCancelled(t *testing.T) {
	o := open(t, 600, nil)
	in, out, s := o.shell(o.in())
	fmt.Fprint(in, "echo here-$((1+1)); exec sleep 1000\n")
	out.until(t, "here-2")
	o.end()
	if err := <-o.over; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
	if err := s.Wait(); err == nil {
		t.Error("the program ended well")
	}
	if _, err := o.dial(o.signer); err == nil {
		t.Error("somebody came in afterwards")
	}
	if strings.Contains(o.said(), "closed") {
		t.Errorf("it says that it ended by itself:\n%s", o.said())
	}
}

// console is a terminal that stands for a console: its other end, its folder and its name there.
func console(t *testing.T) (master *os.File, dev, base string) {
	t.Helper()
	master, terminal, err := openPTY()
	if err != nil {
		need.Skip(t, "pseudo-terminals: %v", err)
	}
	t.Cleanup(func() { terminal.Close(); master.Close() })
	name, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", terminal.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	return master, filepath.Dir(name), filepath.Base(name)
}

// TestConsole has a shell on a terminal that stands for a console, and leaves it.
func TestConsole(t *testing.T) {
	master, dev, base := console(t)
	shown := &screen{r: master}
	o := open(t, 600, func(o *Options) { o.Dev, o.Consoles = dev, []string{base, "none"} })
	shown.until(t, "Nothing is written to a disk unless you do it")
	fmt.Fprint(master, "stty size; echo sum-$((40+2))\n")
	shown.until(t, "24 80\r\n") // as of a serial line, nobody told that terminal's size
	shown.until(t, "sum-42")
	// While somebody is in by SSH the console's exit ends nothing.
	in, out, _ := o.shell(o.in())
	fmt.Fprint(in, "echo in-$((1+1))\n")
	out.until(t, "in-2")
	fmt.Fprint(master, "exit\n")
	shown.until(t, "others are logged in")
	shown.until(t, "Nothing is written")
	fmt.Fprint(in, "exit\n")
	o.ends("the shell of SHA256:")
	shown.until(t, "the rescue session is over")
}

// TestTold: the bound of what a console is told is none of what a shell says there later, however late.
func TestTold(t *testing.T) {
	master, dev, base := console(t)
	f, err := os.OpenFile(filepath.Join(dev, base), os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	tell(f, "told", -time.Second) // its time is over
	if _, err := f.WriteString("later\n"); err != nil {
		t.Fatalf("a shell's words: %v", err)
	}
	(&screen{r: master}).until(t, "later")
}

// TestConsoleEnds: the console's exit ends a rescue in which nobody else is.
func TestConsoleEnds(t *testing.T) {
	master, dev, base := console(t)
	shown := &screen{r: master}
	o := open(t, 600, func(o *Options) { o.Dev, o.Consoles = dev, []string{base} })
	shown.until(t, "Nothing is written")
	fmt.Fprint(master, "exit\n")
	o.ends("the shell on the console " + base + " was left")
}

// TestConsoleTakesNothing: a console that takes no words holds nothing up.
func TestConsoleTakesNothing(t *testing.T) {
	_, dev, base := console(t)
	full, err := unix.Open(filepath.Join(dev, base), unix.O_WRONLY|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(full)
	for err == nil {
		_, err = unix.Write(full, bytes.Repeat([]byte("x"), 4096))
	}
	if !errors.Is(err, unix.EAGAIN) {
		t.Fatal(err)
	}
	o := open(t, 600, func(o *Options) { o.Dev, o.Consoles = dev, []string{base} })
	in, out, _ := o.shell(o.in())
	fmt.Fprint(in, "echo in-$((1+1))\n")
	out.until(t, "in-2")
	fmt.Fprint(in, "exit\n")
	o.ends("the shell of SHA256:")
}

func TestConsoles(t *testing.T) {
	file := filepath.Join(t.TempDir(), "active")
	if err := os.WriteFile(file, []byte("tty0 ttyS0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(Consoles(file), " "); got != "tty1 ttyS0" {
		t.Errorf("consoles: %s", got)
	}
	if got := Consoles(file + "x"); len(got) != 0 {
		t.Errorf("consoles of no list: %q", got)
	}
}
