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
	"syscall"
	"time"

	"github.com/diskcast/diskcast/internal/accel"
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
)

// Run starts the machine, and calls then, if it is not nil, when the console has said what was waited for; the machine
// is switched off afterwards. ctx's end is ErrTime where its cause is that.
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
		if o.Until != nil || o.Meanwhile != nil {
			return ErrOff
		}
		return nil
	case err := <-over:
		off()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return err
	case <-ctx.Done():
		off()
		return context.Cause(ctx)
	}
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
		a = append(a, "-drive", "if=pflash,format=raw,unit=0,readonly=on,file="+quote(o.UEFI.Code),
			"-drive", "if=pflash,format=raw,unit=1,file="+quote(own))
	}
	if o.Disk != "" || o.Socket != "" { // with snapshot, QEMU writes to a file of its own that has no name
		file := ",file=" + quote(o.Disk)
		if o.Socket != "" {
			file = ",file.driver=nbd,file.server.type=unix,file.server.path=" + quote(o.Socket)
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

// quote doubles commas, which end an option's value.
func quote(file string) string {
	return string(bytes.ReplaceAll([]byte(file), []byte(","), []byte(",,")))
}

// window is how much of the console's end is looked at, in bytes: what is waited for is not longer.
const window = 64 << 10

// FailedError is ErrFailed with what the console said, as far as the pattern goes.
type FailedError struct{ Said string }

func (e *FailedError) Error() string { return ErrFailed.Error() }

func (e *FailedError) Unwrap() error { return ErrFailed }

// watch looks for words on the console.
type watch struct {
	until, fail *regexp.Regexp
	to          io.Writer
	text        []byte
	told        bool
	said        chan error // once: nil for until, a FailedError for fail
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
		w.said <- &FailedError{Said: string(w.fail.Find(text))}
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
