// Package machine starts one QEMU machine from a disk, which stays as it is, and waits for what its serial console
// says. It needs no root: the machine's network is QEMU's own, behind this machine's.
package machine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"github.com/diskcast/diskcast/internal/accel"
)

// Options describe the machine.
type Options struct {
	Disk    string // what is written to it is forgotten
	Format  string // raw or qcow2
	UEFI    *UEFI  // nil: BIOS
	Memory  int    // MiB
	CPUs    int
	Forward []Forward
	Until   *regexp.Regexp // the console says it: what is waited for; nil: that the machine is switched off
	Fail    *regexp.Regexp // the console says it: it failed; nil: nothing
	Console io.Writer      // gets what the console says
	Accel   accel.Accel
}

// UEFI is firmware's code, and its variables, of which the machine has a copy.
type UEFI struct{ Code, Vars string }

// Forward is a port of this machine's loopback that leads to one of the machine's.
type Forward struct{ Here, There int }

// How a machine ends that did not say what was waited for.
var (
	ErrFailed = errors.New("the console said what --fail waits for")
	ErrOff    = errors.New("the machine ended before its console said what --until waits for")
	ErrTime   = errors.New("the time is over")
)

// Run starts the machine, and calls then, if it is not nil, when the console has said what was waited for; the machine
// is switched off afterwards. ctx's end is ErrTime where its cause is that.
func Run(ctx context.Context, o Options, then func(context.Context) error) (err error) {
	dir, err := os.MkdirTemp("", "mkimage-run-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	args, err := o.args(dir)
	if err != nil {
		return err
	}
	w := &watch{until: o.Until, fail: o.Fail, to: o.Console, said: make(chan error, 1)}
	var stderr bytes.Buffer
	cmd := exec.Command(accel.QEMU, args...)
	cmd.Stdout, cmd.Stderr = w, &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	// The signal is sent when the thread ends that started QEMU (prctl(2)).
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("%w; install QEMU (Debian: qemu-system-x86)", err)
	}
	ended := make(chan struct{})
	var exit error
	go func() { // ends with QEMU
		exit = cmd.Wait()
		close(ended)
	}()
	off := func() {
		_ = cmd.Process.Kill()
		<-ended
	}
	select {
	case err := <-w.said:
		if err == nil && then != nil {
			err = then(ctx)
		}
		off()
		return err
	case <-ended:
		select {
		case said := <-w.said: // its last words
			if said == nil && then != nil {
				return errors.New("the machine switched itself off, and nothing can be run beside it")
			}
			return said
		default:
		}
		if exit != nil {
			return fmt.Errorf("%s: %w: %s", accel.QEMU, exit, bytes.TrimSpace(stderr.Bytes()))
		}
		if o.Until != nil {
			return ErrOff
		}
		return nil
	case <-ctx.Done():
		off()
		return context.Cause(ctx)
	}
}

// args are QEMU's; what they need lies in dir.
func (o *Options) args(dir string) ([]string, error) {
	board := "pc,graphics=off"
	if o.UEFI != nil {
		board = "q35"
	}
	a := append([]string{"-nodefaults", "-no-user-config", "-machine", board, "-display", "none",
		"-m", strconv.Itoa(o.Memory), "-smp", strconv.Itoa(o.CPUs), "-chardev", "stdio,id=console,signal=off",
		"-serial", "chardev:console", "-device", "virtio-rng-pci"}, o.Accel.Args...)
	if o.UEFI != nil {
		vars, err := os.ReadFile(o.UEFI.Vars)
		if err != nil {
			return nil, fmt.Errorf("firmware: %w", err)
		}
		own := filepath.Join(dir, "vars.fd")
		if err := os.WriteFile(own, vars, 0o600); err != nil {
			return nil, err
		}
		a = append(a, "-drive", "if=pflash,format=raw,unit=0,readonly=on,file="+quote(o.UEFI.Code),
			"-drive", "if=pflash,format=raw,unit=1,file="+quote(own))
	}
	// With snapshot, QEMU writes to a file of its own that has no name.
	a = append(a, "-drive", "if=none,id=disk,cache=unsafe,snapshot=on,format="+o.Format+",file="+quote(o.Disk),
		"-device", "virtio-blk-pci,drive=disk,bootindex=0")
	net := "user,id=net"
	for _, f := range o.Forward {
		net += fmt.Sprintf(",hostfwd=tcp:127.0.0.1:%d-:%d", f.Here, f.There)
	}
	return append(a, "-netdev", net, "-device", "virtio-net-pci,netdev=net,romfile="), nil
}

// quote doubles commas, which end an option's value.
func quote(file string) string {
	return string(bytes.ReplaceAll([]byte(file), []byte(","), []byte(",,")))
}

// window is how much of the console's end is looked at, in bytes: what is waited for is not longer.
const window = 64 << 10

// watch looks for words on the console.
type watch struct {
	until, fail *regexp.Regexp
	to          io.Writer
	text        []byte
	told        bool
	said        chan error // once: nil for until, ErrFailed for fail
}

// escapes are what terminals are told in between (ECMA-48, 5.4), and carriage returns.
var escapes = regexp.MustCompile(`\x1b\[[0-?]*[ -/]*[@-~]|\r`)

func (w *watch) Write(p []byte) (int, error) {
	_, _ = w.to.Write(p) // a log that fails must not stop the machine
	w.text = append(w.text, p...)
	if over := len(w.text) - window; over > 0 {
		w.text = append(w.text[:0], w.text[over:]...)
	}
	text := escapes.ReplaceAll(w.text, nil)
	switch {
	case w.told:
	case w.fail != nil && w.fail.Match(text):
		w.told = true
		w.said <- ErrFailed
	case w.until != nil && w.until.Match(text):
		w.told = true
		w.said <- nil
	}
	return len(p), nil
}

// Deadline is ctx with ErrTime as the cause of its end after so long.
func Deadline(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, limit, ErrTime)
}
