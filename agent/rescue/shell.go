package rescue

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/terminal"
)

// program is the shell, or with a line that line in it. When ctx ends, it and all that it started in its session's
// process group are killed.
func (o *Options) program(ctx context.Context, term, line string) *exec.Cmd {
	var args []string
	if line != "" {
		args = []string{"-c", line}
	}
	cmd := exec.CommandContext(ctx, o.Shell, args...)
	cmd.Dir = o.Home
	cmd.Env = append(os.Environ(), "HOME="+o.Home, "TERM="+term)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// onTerminal starts the program on a terminal that is its own.
func onTerminal(cmd *exec.Cmd, tty *os.File) error {
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.SysProcAttr.Setctty, cmd.SysProcAttr.Ctty = true, 0
	return cmd.Start()
}

// Consoles are the names in the kernel's list of consoles; none where it cannot be read. tty0 stands for whichever
// virtual one is shown; a shell needs one of its own.
func Consoles(list string) []string {
	text, err := os.ReadFile(list)
	if err != nil {
		return nil
	}
	names := strings.Fields(string(text))
	for i, n := range names {
		if n == "tty0" {
			names[i] = "tty1"
		}
	}
	return names
}

// line is words on a line of their own.
func line(words string) string { return "\r\ndiskcast: " + words + "\r\n" }

// onConsole keeps a shell on a console until ctx ends or it is left; it is started again while others are logged in.
func (o *Options) onConsole(ctx context.Context, name string, g *guests) {
	dev := o.Dev + "/" + name
	for ctx.Err() == nil {
		began := time.Now()
		err := o.oneShell(ctx, dev)
		if ctx.Err() != nil {
			o.say(dev, line(o.said.over))
			return
		}
		// A console without hardware behind it fails at once, for ever; so does one that has a shell already.
		if err != nil && time.Since(began) < time.Second {
			o.Log.Warn("no shell on a console", "console", name, "error", err)
			return
		}
		if g.left(fmt.Sprintf("the shell on the console %s was left", name)) {
			return
		}
		o.say(dev, line("others are logged in, so this goes on."))
	}
}

// oneShell has a shell on a console until it is left or ctx ends. The shell's terminal is a pseudo-terminal of its own:
// when the leader of a session ends whose terminal is a serial line, the kernel hangs that up, and from then on what
// anybody writes to /dev/console waits for ever.
func (o *Options) oneShell(ctx context.Context, dev string) error {
	f, err := os.OpenFile(dev, os.O_RDWR|syscall.O_NOCTTY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	tell(f, line(o.said.hello), time.Second)
	plain, err := terminal.Set(f, terminal.Bytes, false)
	if err != nil {
		return err
	}
	defer func() { _ = plain() }() // a console that is gone needs none
	master, tty, err := openPTY()
	if err != nil {
		return err
	}
	defer master.Close()
	defer tty.Close()
	if err := terminal.CopySize(master, f); err != nil {
		return err
	}
	cmd := o.program(ctx, "linux", "")
	if err := onTerminal(cmd, tty); err != nil {
		return err
	}
	tty.Close() // the shell's now: reads of the master end with the last program that has it
	var typed, shown sync.WaitGroup
	typed.Go(func() { _, _ = io.Copy(master, f) }) // ends with f's deadline
	shown.Go(func() { _, _ = io.Copy(f, master) }) // ends with the shell, or with the deadlines
	err = cmd.Wait()
	// What the shell said last is shown, by a console that takes it; a program left behind keeps nobody waiting.
	late := time.Now().Add(time.Second)
	bounds := errors.Join(master.SetReadDeadline(late), f.SetWriteDeadline(late), f.SetReadDeadline(time.Now()))
	if bounds != nil {
		return bounds
	}
	typed.Wait()
	shown.Wait()
	if err != nil {
		o.Log.Info("a shell on a console ended", "console", dev, "how", err)
	}
	return nil
}

// say writes words to a console that may be gone.
func (o *Options) say(dev, words string) {
	f, err := os.OpenFile(dev, os.O_WRONLY|syscall.O_NOCTTY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return
	}
	defer f.Close()
	tell(f, words, time.Second)
}

// tell writes words to a console, and does not wait long for one that takes none: a serial line whose far end holds it,
// a virtual console without a screen. Who does not see them can look at the log. The bound is of these words alone: a
// shell speaks there later.
func tell(f *os.File, words string, within time.Duration) {
	if f.SetWriteDeadline(time.Now().Add(within)) != nil {
		return
	}
	_, _ = io.WriteString(f, words)
	_ = f.SetWriteDeadline(time.Time{}) // it was set just now
}
