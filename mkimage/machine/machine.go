// Package machine starts one QEMU machine from a disk, which stays as it is, and waits for what its serial console
// says. It needs no root: the machine's network is QEMU's own, behind this machine's.
package machine

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/diskcast/diskcast/internal/accel"
	"github.com/diskcast/diskcast/internal/ansi"
	"github.com/diskcast/diskcast/mkimage/scratch"
)

// Options describe the machine.
type Options struct {
	Disk    string // what is written to it is forgotten; empty: the machine has none, or has it from Socket
	Socket  string // of a network block device (NBD) that is the disk, in place of Disk
	Format  string // raw or qcow2
	Bus     string // what the disk is plugged into, one of Buses; empty: virtio
	Card    string // the network card, one of Cards; empty: virtio
	UEFI    *UEFI  // nil: BIOS
	Memory  int    // MiB
	CPUs    int
	Forward []Forward
	Until   *regexp.Regexp // the console says it: what is waited for; nil: that the machine is switched off
	Fail    *regexp.Regexp // the console says it: it failed; nil: nothing
	Console io.Writer      // gets what the console says
	Warn    func(error)    // is called once, when Console takes no more; nil: nobody is
	// Kernel, Initrd and Append start Linux without a disk's boot loader.
	Kernel, Initrd, Append string
	// Meanwhile runs beside the machine, which is switched off when it returns; nil: nothing. Its ctx ends with Run.
	Meanwhile func(context.Context) error
	Accel     accel.Accel
}

// UEFI is firmware's code, and its variables, of which the machine has a copy.
type UEFI struct{ Code, Vars string }

// Forward is a port of this machine's loopback that leads to one of the machine's.
type Forward struct{ Here, There int }

// How a machine ends that did not say what was waited for.
var (
	ErrFailed = errors.New("the console said what --fail waits for")
	ErrOff    = errors.New("the machine ended before what was waited for came")
	ErrTime   = errors.New("the time is over")
	ErrSignal = errors.New("QEMU was ended by a signal from outside, and the machine did not switch itself off")
)

// signaled is what QEMU says when a signal ends it. Its exit status is then that of a machine that switched itself off
// (system/runstate.c, qemu_kill_report).
const signaled = "terminating on signal"

// LogError is what the console said and could not be written.
type LogError struct{ Err error }

func (e *LogError) Error() string { return "what the console said is not all there: " + e.Err.Error() }

func (e *LogError) Unwrap() error { return e.Err }

// drain is how long the console's reader may take for its last words when the machine is off.
const drain = 2 * time.Second

// Run starts the machine, and calls then, if it is not nil, when the console has said what was waited for; the machine
// is switched off afterwards. The ctx of then ends when the console says that it failed or when the machine ends, and
// that is Run's error. ctx's end is ErrTime where its cause is that. A console that could not be written is a
// *LogError where nothing else went wrong.
func Run(ctx context.Context, o Options, then func(context.Context) error) (err error) {
	dir, err := scratch.Make("", "mkimage-run-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dir.Remove()) }()
	args, err := o.args(dir.Path)
	if err != nil {
		return err
	}
	w := newWatch(&o)
	from, to, err := os.Pipe()
	if err != nil {
		return err
	}
	var stderr bytes.Buffer
	cmd := exec.Command(accel.QEMU, args...)
	cmd.Stdout, cmd.Stderr = to, &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	// The signal is sent when the thread ends that started QEMU (prctl(2)).
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err = cmd.Start()
	to.Close()
	if err != nil {
		from.Close()
		return fmt.Errorf("%w; install QEMU (Debian: qemu-system-x86)", err)
	}
	copied := make(chan struct{})
	go func() { // ends with QEMU, or where nobody reads the console, with this program
		defer close(copied)
		defer from.Close()
		_, _ = io.Copy(w, from) // a pipe's end is QEMU's, and Write has no error
	}()
	ended := make(chan struct{})
	var exit error
	go func() { // ends with QEMU
		defer close(ended)
		exit = cmd.Wait()
		if exit == nil { // it ended by itself, and its reader has the time that was given
			select {
			case <-copied:
				return
			case <-ctx.Done():
			}
		}
		select {
		case <-copied:
		case <-time.After(drain):
			w.refuse(errors.New("nobody reads it"))
		}
	}()
	over := make(chan error, 1)
	if o.Meanwhile != nil {
		beside, cancel := context.WithCancel(ctx)
		done := make(chan struct{})
		defer func() { <-done }()
		defer cancel()
		go func() { // ends with Run
			defer close(done)
			over <- o.Meanwhile(beside)
		}()
	}
	off := func() error {
		_ = cmd.Process.Kill()
		<-ended
		return w.lost()
	}
	select {
	case <-w.until:
		if then != nil {
			err = beside(ctx, then, w.failed, ended)
		}
		lost := off()
		select {
		case failed := <-w.failed: // while the machine was switched off
			return failed
		default:
		}
		return cmp.Or(err, lost)
	case failed := <-w.failed:
		_ = off()
		return failed
	case <-ended:
		select {
		case failed := <-w.failed: // its last words
			return failed
		case <-w.until:
			if then != nil {
				return errors.New("the machine switched itself off, and nothing can be run beside it")
			}
			return w.lost()
		default:
		}
		lost := w.lost()
		switch {
		case exit != nil:
			return fmt.Errorf("%s: %w: %s", accel.QEMU, exit, bytes.TrimSpace(stderr.Bytes()))
		case bytes.Contains(stderr.Bytes(), []byte(signaled)):
			return fmt.Errorf("%w: %s", ErrSignal, bytes.TrimSpace(stderr.Bytes()))
		case o.Until != nil || o.Meanwhile != nil:
			return ErrOff
		}
		return lost
	case err := <-over:
		lost := off()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return cmp.Or(err, lost)
	case <-ctx.Done():
		_ = off()
		return context.Cause(ctx)
	}
}

// beside calls then until the machine fails or ends, which is the error then.
func beside(ctx context.Context, then func(context.Context) error, failed <-chan *FailedError,
	ended <-chan struct{}) error {
	whole := ctx
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	done := make(chan error, 1)
	go func() { done <- then(ctx) }() // ends with ctx
	select {
	case err := <-done:
		if whole.Err() != nil {
			return context.Cause(whole)
		}
		return err
	case err := <-failed:
		cancel(err)
	case <-ended:
		cancel(fmt.Errorf("%w: the command still ran", ErrOff))
	}
	err := <-done
	return cmp.Or(context.Cause(ctx), err)
}

// args are QEMU's; what they need lies in dir.
func (o *Options) args(dir string) ([]string, error) {
	board := accel.Board
	if o.UEFI == nil {
		board += ",graphics=off" // SeaBIOS talks on the serial line
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
		a = append(a, "-drive", "if=pflash,format=raw,unit=0,readonly=on,file="+accel.Quote(o.UEFI.Code),
			"-drive", "if=pflash,format=raw,unit=1,file="+accel.Quote(own))
	}
	if o.Disk != "" || o.Socket != "" { // with snapshot, QEMU writes to a file of its own that has no name
		name, err := filepath.Abs(o.Disk) // names that begin otherwise can be a protocol of QEMU's
		if err != nil {
			return nil, err
		}
		file := ",file=" + accel.Quote(name)
		if o.Socket != "" {
			file = ",file.driver=nbd,file.server.type=unix,file.server.path=" + accel.Quote(o.Socket)
		}
		a = append(a, "-drive", "if=none,id=disk,cache=unsafe,snapshot=on,format="+o.Format+file)
		devices := buses[cmp.Or(o.Bus, virtio)]
		for i, dev := range devices {
			if i == len(devices)-1 && o.Kernel == "" { // else the kernel is what is started first
				dev += ",bootindex=0"
			}
			a = append(a, "-device", dev)
		}
	}
	if o.Kernel != "" {
		a = append(a, "-kernel", o.Kernel, "-initrd", o.Initrd, "-append", o.Append)
	}
	net := "user,id=net"
	for _, f := range o.Forward {
		net += fmt.Sprintf(",hostfwd=tcp:127.0.0.1:%d-:%d", f.Here, f.There)
	}
	return append(a, "-netdev", net, "-device", cards[cmp.Or(o.Card, virtio)]+",netdev=net,romfile="), nil
}

const virtio = "virtio"

// buses are the devices of a disk, the disk itself last; cards are network cards.
var (
	buses = map[string][]string{virtio: {"virtio-blk-pci,drive=disk"}, "nvme": {"nvme,serial=disk,drive=disk"},
		"ahci": {"ahci,id=ahci", "ide-hd,drive=disk,bus=ahci.0"},
		"scsi": {"virtio-scsi-pci,id=scsi", "scsi-hd,drive=disk,bus=scsi.0"},
		"usb":  {"qemu-xhci,id=xhci", "usb-storage,drive=disk,bus=xhci.0"}}
	cards = map[string]string{virtio: "virtio-net-pci", "e1000": "e1000", "e1000e": "e1000e", "rtl8139": "rtl8139",
		"vmxnet3": "vmxnet3"}
)

// Buses are the words for what a disk is plugged into.
func Buses() []string { return slices.Sorted(maps.Keys(buses)) }

// Cards are the words for network cards.
func Cards() []string { return slices.Sorted(maps.Keys(cards)) }

// window is how much of the console's end is looked at, in bytes: what is waited for is not longer.
const window = 64 << 10

// FailedError is ErrFailed with what the console said, as far as the pattern goes.
type FailedError struct{ Said string }

func (e *FailedError) Error() string { return ErrFailed.Error() }

func (e *FailedError) Unwrap() error { return ErrFailed }

// watch looks for words on the console.
type watch struct {
	wanted, fails *regexp.Regexp
	to            io.Writer
	warn          func(error)
	filter        ansi.Filter
	text          []byte            // the end of what it said, without what only terminals are told
	until         chan struct{}     // closed: the console said what was waited for
	failed        chan *FailedError // once
	said, broken  bool              // until is closed, failed was told

	mu      sync.Mutex
	refused error
}

func newWatch(o *Options) *watch {
	return &watch{wanted: o.Until, fails: o.Fail, to: o.Console, warn: o.Warn, until: make(chan struct{}),
		failed: make(chan *FailedError, 1)}
}

// lost is why the console's words are not all where they should be, nil if they are.
func (w *watch) lost() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.refused == nil {
		return nil
	}
	return &LogError{w.refused}
}

func (w *watch) Write(p []byte) (int, error) {
	// A log that fails must not stop the machine.
	if _, err := w.to.Write(p); err != nil && w.refuse(err) && w.warn != nil {
		w.warn(err)
	}
	w.text = append(w.text, w.filter.Write(p)...)
	if over := len(w.text) - window; over > 0 {
		w.text = append(w.text[:0], w.text[over:]...)
	}
	if !w.broken && w.fails != nil && w.fails.Match(w.text) {
		w.broken = true
		w.failed <- &FailedError{Said: string(w.fails.Find(w.text))}
		return len(p), nil
	}
	if !w.said && !w.broken && w.wanted != nil && w.wanted.Match(w.text) {
		w.said = true
		close(w.until)
	}
	return len(p), nil
}

// refuse notes the first error of the console's writer, and says whether this is it.
func (w *watch) refuse(err error) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	first := w.refused == nil
	if first {
		w.refused = err
	}
	return first
}

// Deadline is ctx with ErrTime as the cause of its end after so long.
func Deadline(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, limit, ErrTime)
}
