package menu

import (
	"log/slog"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/terminal"
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

// keyed is a console whose keys come one by one, until it is closed.
type keyed struct {
	f     *os.File
	plain func() error
}

func open(path string) (*keyed, error) {
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	plain, err := terminal.Set(f, terminal.Keys, true) // what was typed before anything was asked is dropped
	if err != nil {
		f.Close()
		return nil, err
	}
	return &keyed{f, plain}, nil
}

func (t *keyed) Read(p []byte) (int, error) { return t.f.Read(p) }

// Write does not wait for a console that takes nothing: a serial line whose far end holds it.
func (t *keyed) Write(p []byte) (int, error) {
	if err := t.f.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
		return 0, err
	}
	return t.f.Write(p)
}

func (t *keyed) Close() error {
	err := t.plain()
	if closed := t.f.Close(); err == nil {
		err = closed
	}
	return err
}
