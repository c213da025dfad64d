package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/diskcast/diskcast/internal/terminal"
)

// shells keeps a shell on every console.
type shells struct {
	path string
	log  *slog.Logger
	once sync.Once
}

// start starts the shells; from then on each is started again when it ends. Further calls do nothing.
func (s *shells) start(ctx context.Context) {
	s.once.Do(func() {
		data, err := os.ReadFile("/sys/class/tty/console/active")
		if err != nil {
			s.log.Error("no console for a shell", "err", err)
			return
		}
		for _, tty := range consoles(string(data)) {
			go s.keep(ctx, tty) // ends with ctx
		}
	})
}

// consoles are the terminals that the kernel uses as consoles. tty0 stands for whichever virtual one is shown; a shell
// needs one of its own.
func consoles(active string) []string {
	names := strings.Fields(active)
	for i, n := range names {
		if n == "tty0" {
			names[i] = "tty1"
		}
	}
	return names
}

const banner = "\r\ndiskcast: a shell on the node. The agent's log: more %s. Settings: /etc/diskcast/site.json. " +
	"Leave with: shutdown -r\r\n"

func (s *shells) keep(ctx context.Context, tty string) {
	for ctx.Err() == nil {
		began := time.Now()
		err := s.one(ctx, "/dev/"+tty)
		// A console without hardware behind it fails at once, for ever.
		if err != nil && time.Since(began) < time.Second {
			s.log.Warn("no shell on a console", "console", tty, "err", err)
			return
		}
	}
}

func (s *shells) one(ctx context.Context, dev string) error {
	f, err := os.OpenFile(dev, os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := terminal.CopySize(f, f); err != nil { // of a serial line, which has none
		return err
	}
	if _, err := fmt.Fprintf(f, banner, logPath); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, s.path)
	cmd.Dir = "/root"
	// The shell edits its line only on a terminal that has a name.
	cmd.Env = append(cmd.Environ(), "HOME=/root", "TERM=linux")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = f, f, f
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	return own.run(cmd)
}
