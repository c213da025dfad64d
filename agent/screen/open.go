package screen

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/rx"
	"github.com/diskcast/diskcast/internal/terminal"
)

// virtualRE are the kernel's own terminals, on a screen; others are serial lines, with whatever is at their far end.
var virtualRE = rx.New(`^/dev/tty[0-9]+$`)

// answers is how long the far end of a serial line may take to say where its cursor is: it may be a BMC and a network
// away.
const answers = 700 * time.Millisecond

// Open opens the terminals that the screen can be shown on: those of the kernel, and serial lines at whose far end
// something understands control sequences. One on which somebody has a shell is his.
func Open(paths []string, log *slog.Logger) []Terminal {
	var out []Terminal
	for _, path := range paths {
		t, err := open(path)
		if err != nil {
			log.Debug("no screen on a console, which has the log alone", "console", path, "why", err)
			continue
		}
		out = append(out, t)
	}
	return out
}

// console is an open terminal.
type console struct {
	f             *os.File
	columns, rows int
}

func open(path string) (*console, error) {
	if taken(path) {
		return nil, errors.New("somebody has a shell there")
	}
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	c := &console{f: f}
	if virtualRE().MatchString(path) {
		err = c.ofKernel()
	} else {
		err = c.ask()
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return c, nil
}

func (c *console) ofKernel() (err error) {
	c.columns, c.rows, err = terminal.Size(c.f)
	return err
}

// ask moves the cursor further than any terminal is large, and asks where it is (ECMA-48, DSR): what does not answer is
// no terminal, or nobody looks at it.
func (c *console) ask() (err error) {
	plain, err := terminal.Set(c.f, terminal.Keys, true)
	if err != nil {
		return err
	}
	defer func() {
		if perr := plain(); err == nil {
			err = perr
		}
	}()
	if _, err := c.Write([]byte(save + esc + "[999;999H" + esc + "[6n" + restore)); err != nil {
		return err
	}
	if err := c.f.SetReadDeadline(time.Now().Add(answers)); err != nil {
		return err
	}
	var got []byte
	for buf := make([]byte, 64); len(got) < 1024; {
		n, err := c.f.Read(buf)
		got = append(got, buf[:n]...)
		if columns, rows, ok := position(got); ok {
			c.columns, c.rows = columns, rows
			return nil
		}
		if err != nil {
			return fmt.Errorf("it does not say where its cursor is: %w", err)
		}
	}
	return errors.New("it says something else than where its cursor is")
}

var positionRE = rx.New(`\x1b\[([0-9]{1,3});([0-9]{1,3})R`)

// position finds the answer in what a terminal sent.
func position(b []byte) (columns, rows int, ok bool) {
	m := positionRE().FindSubmatch(b)
	if m == nil {
		return 0, 0, false
	}
	rows, _ = strconv.Atoi(string(m[1])) // the pattern has digits only
	columns, _ = strconv.Atoi(string(m[2]))
	return columns, rows, true
}

func (c *console) Size() (columns, rows int) { return c.columns, c.rows }

// Write does not wait for a console that takes nothing.
func (c *console) Write(p []byte) (int, error) {
	if err := c.f.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
		return 0, err
	}
	return c.f.Write(p)
}

func (c *console) Close() error { return c.f.Close() }

// taken reports whether a session other than the agent's own has the terminal: a shell, which reads from it.
func taken(path string) bool {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return false
	}
	own, err := unix.Getsid(0)
	if err != nil {
		return true
	}
	number := int(unix.Major(uint64(st.Rdev)))<<8 | int(unix.Minor(uint64(st.Rdev)))
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return true
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // it has ended
		}
		sid, tty, ok := ofProcess(b)
		if ok && sid != own && sid != 1 && tty == number {
			return true
		}
	}
	return false
}

// ofProcess reads session and terminal of /proc/PID/stat (proc(5)): the sixth and seventh word, the second being a name
// in brackets that may hold anything.
func ofProcess(stat []byte) (sid, tty int, ok bool) {
	i := bytes.LastIndexByte(stat, ')')
	if i < 0 {
		return 0, 0, false
	}
	w := strings.Fields(string(stat[i+1:]))
	if len(w) < 5 {
		return 0, 0, false
	}
	sid, err := strconv.Atoi(w[3])
	tty, err2 := strconv.Atoi(w[4])
	return sid, tty, err == nil && err2 == nil
}
