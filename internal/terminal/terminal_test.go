package terminal_test

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/terminal"
)

// pty is a new pseudo-terminal.
func pty(t *testing.T) (master, tty *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	var n int
	err = terminal.Control(master, func(fd int) (err error) {
		if err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err == nil {
			n, err = unix.IoctlGetInt(fd, unix.TIOCGPTN)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tty.Close() })
	return master, tty
}

// TestModes types and prints through a pseudo-terminal in each mode, and after it was put back.
func TestModes(t *testing.T) {
	for name, c := range map[string]struct {
		mode    terminal.Mode
		printed string
	}{"keys": {terminal.Keys, "a\r\nb"}, "bytes": {terminal.Bytes, "a\nb"}} {
		master, tty := pty(t)
		if _, err := master.WriteString("typed before\n"); err != nil {
			t.Fatal(err)
		}
		echoed := make([]byte, len("typed before\r\n"))
		for got := 0; got < len(echoed); {
			n, err := master.Read(echoed[got:])
			if err != nil {
				t.Fatal(err)
			}
			got += n
		}
		plain, err := terminal.Set(tty, c.mode, true)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := master.WriteString("\r\x03"); err != nil { // Enter, and what would interrupt
			t.Fatal(err)
		}
		typed := make([]byte, 2)
		for got := 0; got < 2; {
			n, err := tty.Read(typed[got:])
			if err != nil {
				t.Fatal(err)
			}
			got += n
		}
		if string(typed) != "\r\x03" {
			t.Errorf("%s: typed came as %q", name, typed)
		}
		if _, err := tty.WriteString("a\nb"); err != nil {
			t.Fatal(err)
		}
		printed := make([]byte, len(c.printed))
		for got := 0; got < len(printed); {
			n, err := master.Read(printed[got:])
			if err != nil {
				t.Fatal(err)
			}
			got += n
		}
		if string(printed) != c.printed {
			t.Errorf("%s: printed is %q, want %q, without an echo", name, printed, c.printed)
		}
		if err := plain(); err != nil {
			t.Error(err)
		}
		if _, err := master.WriteString("x"); err != nil {
			t.Fatal(err)
		}
		if n, err := master.Read(printed); err != nil || string(printed[:n]) != "x" {
			t.Errorf("%s: put back, the echo is %q, %v", name, printed[:n], err)
		}
	}
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := terminal.Set(f, terminal.Keys, false); err == nil {
		t.Error("what is no terminal was set")
	}
}

// TestSize: a terminal whose size nobody told gets that of a VT100, and so does one that is told half of one.
func TestSize(t *testing.T) {
	_, tty := pty(t)
	if columns, rows, err := terminal.Size(tty); err != nil || columns != 0 || rows != 0 {
		t.Fatalf("a new one has %d columns and %d rows, %v", columns, rows, err)
	}
	for _, c := range []struct{ columns, rows, wantColumns, wantRows int }{
		{0, 0, 80, 24}, {132, 50, 132, 50}, {132, 0, 80, 24}, {0, 50, 80, 24}, {-1, 50, 80, 24},
		{1 << 30, 50, 1 << 15, 50},
	} {
		if err := terminal.SetSize(tty, c.columns, c.rows); err != nil {
			t.Fatal(err)
		}
		if columns, rows, err := terminal.Size(tty); err != nil || columns != c.wantColumns || rows != c.wantRows {
			t.Errorf("told %d x %d it is %d x %d, want %d x %d (%v)", c.columns, c.rows, columns, rows, c.wantColumns,
				c.wantRows, err)
		}
	}
}
