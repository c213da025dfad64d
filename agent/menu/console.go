package menu

import (
	"log/slog"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Open opens terminals, such as /dev/ttyS0, so that each key comes at once and is shown by nobody but the menu. Those
// that are none, or have no hardware behind them, are left out and said.
func Open(paths []string, log *slog.Logger) []Console {
	var out []Console
	for _, path := range paths {
		c, err := open(path)
		if err != nil {
			log.Warn("no menu on a console", "console", path, "error", err)
			continue
		}
		out = append(out, c)
	}
	return out
}

// terminal is a console in raw mode, which it leaves when it is closed.
type terminal struct {
	f   *os.File
	was *unix.Termios
}

func open(path string) (*terminal, error) {
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	t := &terminal{f: f}
	if err := t.control(func(fd int) error {
		if t.was, err = unix.IoctlGetTermios(fd, unix.TCGETS); err != nil {
			return err
		}
		raw := *t.was
		raw.Lflag &^= unix.ICANON | unix.ECHO | unix.ISIG | unix.IEXTEN
		raw.Iflag &^= unix.ICRNL | unix.INLCR | unix.IGNCR
		raw.Cc[unix.VMIN], raw.Cc[unix.VTIME] = 1, 0
		return unix.IoctlSetTermios(fd, unix.TCSETSF, &raw) // what was typed before anything was asked is dropped
	}); err != nil {
		f.Close()
		return nil, err
	}
	return t, nil
}

// control runs f with the descriptor, without making it one that blocks.
func (t *terminal) control(f func(fd int) error) error {
	raw, err := t.f.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil {
		return err
	}
	return inner
}

func (t *terminal) Read(p []byte) (int, error) { return t.f.Read(p) }

// Write does not wait for a console that takes nothing: a serial line whose far end holds it.
func (t *terminal) Write(p []byte) (int, error) {
	if err := t.f.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
		return 0, err
	}
	return t.f.Write(p)
}

func (t *terminal) Close() error {
	err := t.control(func(fd int) error { return unix.IoctlSetTermios(fd, unix.TCSETS, t.was) })
	if closed := t.f.Close(); err == nil {
		err = closed
	}
	return err
}
