package screen

import (
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/terminal"
)

// pty opens a pair of terminals: what is at the far end, and the path of what a node has.
func pty(t *testing.T) (far *os.File, path string) {
	t.Helper()
	far, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { far.Close() })
	err = terminal.Control(far, func(fd int) error {
		if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
			return err
		}
		n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
		path = "/dev/pts/" + itoa(n)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return far, path
}

func itoa(n int) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + itoa(n%10)
}

// TestOpen has something at the far end that says where its cursor is, and something that does not.
func TestOpen(t *testing.T) {
	for name, c := range map[string]struct {
		answer string
		want   bool
	}{"a terminal": {"\x1b[24;80R", true}, "typed before": {"ls\x1b[50;132R", true}, "silence": {"", false},
		"something else": {"login: ", false}} {
		t.Run(name, func(t *testing.T) {
			far, path := pty(t)
			asked := make(chan string, 1)
			go func() { // ends with the answer, or the test
				buf := make([]byte, 256)
				n, err := far.Read(buf)
				if err != nil {
					asked <- err.Error()
					return
				}
				asked <- string(buf[:n])
				_, _ = io.WriteString(far, c.answer)
			}()
			all := Open([]string{path, "/dev/ttyNowhere"}, slog.New(slog.DiscardHandler))
			if got := <-asked; !strings.Contains(got, "\x1b[6n") {
				t.Errorf("asked %q", got)
			}
			if (len(all) == 1) != c.want {
				t.Fatalf("%d terminals", len(all))
			}
			for _, x := range all {
				if columns, rows := x.Size(); columns < 80 || rows < 24 {
					t.Errorf("%d x %d", columns, rows)
				}
				if err := x.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func TestOfProcess(t *testing.T) {
	for stat, want := range map[string]bool{"12 (a) b) S 1 12 12 1025 12": true, "12 (sh) S 1": false, "": false,
		"1 (x) S a b c d": false} {
		sid, tty, ok := ofProcess([]byte(stat))
		if ok != want || ok && (sid != 12 || tty != 1025) {
			t.Errorf("%q: %d %d %v", stat, sid, tty, ok)
		}
	}
}
