package menu

import (
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// TestTerminal: each key of a terminal comes at once and is not shown; the terminal is as it was afterwards; what is no
// terminal is left out.
func TestTerminal(t *testing.T) {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("/dev/pts", strconv.Itoa(n))
	keep, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0) // else the last one to close it hangs it up
	if err != nil {
		t.Fatal(err)
	}
	defer keep.Close()
	flags := func() uint32 {
		x, err := unix.IoctlGetTermios(int(keep.Fd()), unix.TCGETS)
		if err != nil {
			t.Fatal(err)
		}
		return x.Lflag
	}
	before := flags()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	cs := Open([]string{path, file, file + " that is not there"}, slog.New(slog.DiscardHandler))
	if len(cs) != 1 {
		t.Fatalf("%d consoles", len(cs))
	}
	if flags()&(unix.ICANON|unix.ECHO|unix.ISIG) != 0 {
		t.Errorf("the terminal's flags are %x", flags())
	}
	if _, err := master.WriteString("3\r\x03"); err != nil {
		t.Fatal(err)
	}
	got := ""
	for buf := make([]byte, 8); len(got) < 3; {
		n, err := cs[0].Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		got += string(buf[:n])
	}
	if got != "3\r\x03" {
		t.Errorf("typed comes as %q", got)
	}
	ended := make(chan error, 1)
	go func() { // ends with the console
		_, err := cs[0].Read(make([]byte, 8))
		ended <- err
	}()
	if err := cs[0].Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("a console that is closed is read from")
	}
	if after := flags(); after != before {
		t.Errorf("the terminal's flags were %x, and are %x", before, after)
	}
}
