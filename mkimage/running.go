package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/accel"
	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/mkimage/machine"
	"github.com/diskcast/diskcast/mkimage/scratch"
)

// codeError ends the program with a code of its own.
type codeError struct {
	error
	code int
}

func (e codeError) Unwrap() error { return e.error }

// codeTime is how `mkimage run` ends when the time is over.
const codeTime = 4

// runOptions are the flags of `mkimage run`.
type runOptions struct {
	image, store, state, server, disk string
	firmware, ovmf, serial            string
	until, fail                       string
	forward                           []string
	memory, cpus                      int
	limit                             time.Duration
	export                            bool
	command                           []string
}

func runCommand() *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:   "run --image IMAGE|--disk FILE [flags] [-- COMMAND...]",
		Short: "Start an image of the store in QEMU, and wait for what its console says",
		Long: `Starts an image of the store, or a disk's file, in QEMU as one machine, and prints its serial ` +
			`console. The disk stays as
it is: what the machine writes is forgotten. No root is needed: the machine reaches the network through this one, and
its ports by --forward.

An image's blocks are read from the store when the machine reads them, each hashed then, and no disk is written for it;
with --export the whole of it is hashed and written to a temporary file before the start.

With --until it ends as soon as the console says that (a regular expression), or, with a COMMAND, when the command has
ended that is run then, here, beside the machine. Without, it ends when the machine is switched off.

The exit code is 0 for what was waited for, the command's when it failed, 4 when the time was over, 2 for a wrong
command line, and else 1: the console said what --fail waits for, or the machine ended, before the command did; or what
it said could not be written. A command that is still running then is ended, with all of its process group.

The processor runs the machine's code where a trial shows that this works (nested virtualisation), else QEMU translates
it, some ten times slower; DISKCAST_ACCEL=kvm or tcg skips the trial.`,
		Example: `  mkimage run --image web --until 'login:' --time 5m
  mkimage run --image web --forward 8080:80 --until 'login:' -- curl -fsS --retry 5 http://127.0.0.1:8080/
  mkimage run --disk disk.qcow2 --firmware uefi --fail 'Kernel panic' --until 'TESTS PASSED' --serial console.log`,
		SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 && cmd.ArgsLenAtDash() != 0 {
				return usageError{fmt.Errorf("%q is not understood: a command to run stands behind --", args[0])}
			}
			o.command = args
			return o.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.image, "image", "", "an image of the store, by its name or digest")
	f.StringVar(&o.store, "store", "", "image store (default: as 'diskcast image' has it)")
	f.StringVar(&o.state, "state", "", "state directory of the server (default: as diskcast has it)")
	f.StringVar(&o.server, "server", "", "take the image from the server with this API")
	f.BoolVar(&o.export, "export", false, "write the image's disk to a temporary file first, every chunk of it hashed")
	f.StringVar(&o.disk, "disk", "", "file of a disk, raw or qcow2 without a backing file, in place of an image")
	f.StringVar(&o.firmware, "firmware", "",
		"bios or uefi (default: what the image or the disk needs; bios where either will do)")
	f.StringVar(&o.ovmf, "ovmf", "", "UEFI firmware for QEMU: CODE,VARS (default: where distributions install it)")
	f.StringVar(&o.serial, "serial", "", "file for the serial console, in place of standard output")
	f.StringVar(&o.until, "until", "", "end when the console says this (regular expression)")
	f.StringVar(&o.fail, "fail", "", "fail when the console says this (regular expression)")
	f.StringSliceVar(&o.forward, "forward", nil, "HERE:THERE, TCP ports: of 127.0.0.1 here, of the machine")
	f.IntVar(&o.memory, "memory", 1024, "MiB of memory")
	f.IntVar(&o.cpus, "cpus", 1, "processors")
	f.DurationVar(&o.limit, "time", 10*time.Minute, "how long it may take, from power-on on")
	return cmd
}

// check makes the machine's description of the flags.
func (o *runOptions) check() (*machine.Options, error) {
	m := &machine.Options{Disk: o.disk, Memory: o.memory, CPUs: o.cpus}
	switch {
	case (o.image == "") == (o.disk == ""):
		return nil, errors.New("give --image or --disk")
	case o.disk != "" && (o.store != "" || o.state != "" || o.server != "" || o.export):
		return nil, errors.New("--store, --state, --server and --export are for --image")
	case o.firmware != "" && o.firmware != "bios" && o.firmware != "uefi":
		return nil, fmt.Errorf("--firmware %q is neither bios nor uefi", o.firmware)
	case o.memory < 16 || o.memory > 1<<20 || o.cpus < 1 || o.cpus > 256:
		return nil, errors.New("--memory is 16 to 1048576 MiB, and --cpus 1 to 256")
	case o.limit <= 0:
		return nil, errors.New("--time must be more than nothing")
	case o.ovmf != "" && o.firmware == "bios":
		return nil, errors.New("--ovmf is for --firmware uefi")
	case len(o.command) > 0 && o.until == "":
		return nil, errors.New("a command needs --until: it is run when the console says that")
	}
	for _, x := range []struct {
		flag, text string
		into       **regexp.Regexp
	}{{"--until", o.until, &m.Until}, {"--fail", o.fail, &m.Fail}} {
		if x.text == "" {
			continue
		}
		re, err := regexp.Compile("(?m)" + x.text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", x.flag, err)
		}
		if re.MatchString("") {
			return nil, fmt.Errorf("%s %q fits a console that says nothing", x.flag, x.text)
		}
		*x.into = re
	}
	for _, word := range o.forward {
		here, there, ok := strings.Cut(word, ":")
		a, err := strconv.ParseUint(here, 10, 16)
		b, err2 := strconv.ParseUint(there, 10, 16)
		if !ok || err != nil || err2 != nil || a == 0 || b == 0 {
			return nil, fmt.Errorf("--forward %q is not HERE:THERE, two TCP ports", word)
		}
		if slices.ContainsFunc(m.Forward, func(f machine.Forward) bool { return f.Here == int(a) }) {
			return nil, fmt.Errorf("--forward names port %d of this machine twice", a)
		}
		m.Forward = append(m.Forward, machine.Forward{Here: int(a), There: int(b)})
	}
	return m, nil
}

func (o *runOptions) run(ctx context.Context, stdout, stderr io.Writer) (err error) {
	m, err := o.check()
	if err != nil {
		return usageError{err}
	}
	if _, err := exec.LookPath(accel.QEMU); err != nil {
		return fmt.Errorf("%w; install QEMU (Debian: qemu-system-x86)", err)
	}
	if len(o.command) > 0 {
		if _, err := exec.LookPath(o.command[0]); err != nil {
			return fmt.Errorf("the command behind -- cannot be run, and no machine was started: %w", err)
		}
	}
	if err := o.free(ctx, m); err != nil {
		return err
	}
	// A reader of the standard output that goes away is a console that cannot be written; the signal would end all.
	signal.Notify(make(chan os.Signal, 1), unix.SIGPIPE)
	m.Console = newScreen(stdout)
	m.Warn = func(err error) {
		fmt.Fprintln(stderr, "mkimage: the console's words are not kept any more; the machine runs on:", err)
	}
	temp, err := scratch.Make("", "mkimage-image-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, temp.Remove()) }()
	if o.image != "" {
		var done func() error
		if ctx, done, err = o.open(ctx, m, temp.Path, stderr); err != nil {
			return err
		}
		defer func() { err = worst(done(), err) }()
	} else if err := o.look(m); err != nil {
		return fmt.Errorf("--disk: %w", err)
	}
	if o.ovmf != "" && o.firmware == "" {
		o.firmware = "uefi"
	}
	if o.ovmf != "" && o.firmware != "uefi" {
		return fmt.Errorf("--ovmf is UEFI firmware, and %s starts by %s: leave it out, or add --firmware uefi",
			cmp.Or(o.image, o.disk), o.firmware)
	}
	if o.firmware == "uefi" {
		if m.UEFI, err = findOVMF(o.ovmf); err != nil {
			return err
		}
	}
	if m.Accel, err = accel.Choose(ctx); err != nil {
		return err
	}
	if o.serial != "" { // now, since all else is there
		if m.UEFI != nil {
			if err := overwrites(o.serial, m.UEFI.Code, m.UEFI.Vars); err != nil {
				return err
			}
		}
		f, createErr := createSerial(o.serial)
		if createErr != nil {
			return createErr
		}
		defer func() {
			if closeErr := f.Close(); closeErr != nil && err == nil {
				err = fmt.Errorf("--serial: %w", closeErr)
			}
		}()
		m.Console = f
	}
	ctx, cancel := machine.Deadline(ctx, o.limit)
	defer cancel()
	began := time.Now()
	say := func(words string) { fmt.Fprintf(stderr, "%6.1f s  %s\n", time.Since(began).Seconds(), words) }
	say("power on, " + m.Accel.Name)
	var then func(context.Context) error
	if len(o.command) > 0 {
		then = func(ctx context.Context) error {
			say("the console said it; " + plain.Line(o.command[0], 0) + " is run")
			return runBeside(ctx, o.command, stdout, stderr)
		}
	}
	err = machine.Run(ctx, *m, then)
	switch {
	case errors.Is(err, machine.ErrTime):
		return codeError{fmt.Errorf("%w: %v (--time)", err, o.limit), codeTime}
	case err != nil:
		return err
	case o.until == "":
		say("the machine is off")
	case then == nil:
		say("the console said it")
	default:
		say("the command succeeded")
	}
	return nil
}

// free refuses ports that something else has, and a console's file that the machine is made of.
func (o *runOptions) free(ctx context.Context, m *machine.Options) error {
	for _, f := range m.Forward {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", f.Here))
		if err != nil {
			return fmt.Errorf("--forward %d:%d: %w; name another port (`ss -ltnp` says what has it)",
				f.Here, f.There, err)
		}
		if err := l.Close(); err != nil {
			return err
		}
	}
	return overwrites(o.serial, o.disk)
}

// runBeside runs a command in a process group of its own, all of which ends with ctx, or when this program is killed.
func runBeside(ctx context.Context, command []string, stdout, stderr io.Writer) error {
	// The kernel's signal is sent when the thread ends that started it (prctl(2)).
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = stdout, stderr, time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	err := cmd.Run()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() > 0 {
		return codeError{fmt.Errorf("%s: %w", command[0], err), exit.ExitCode()}
	}
	return err
}

// ovmfPlaces are where Debian, Fedora, Arch and SUSE have firmware for a machine without Secure Boot.
var ovmfPlaces = []machine.UEFI{
	{Code: "/usr/share/OVMF/OVMF_CODE_4M.fd", Vars: "/usr/share/OVMF/OVMF_VARS_4M.fd"},
	{Code: "/usr/share/OVMF/OVMF_CODE.fd", Vars: "/usr/share/OVMF/OVMF_VARS.fd"},
	{Code: "/usr/share/edk2/ovmf/OVMF_CODE.fd", Vars: "/usr/share/edk2/ovmf/OVMF_VARS.fd"},
	{Code: "/usr/share/edk2/x64/OVMF_CODE.4m.fd", Vars: "/usr/share/edk2/x64/OVMF_VARS.4m.fd"},
	{Code: "/usr/share/qemu/ovmf-x86_64-code.bin", Vars: "/usr/share/qemu/ovmf-x86_64-vars.bin"},
}

func findOVMF(words string) (*machine.UEFI, error) {
	places := ovmfPlaces
	if words != "" {
		code, vars, ok := strings.Cut(words, ",")
		if !ok {
			return nil, usageError{fmt.Errorf("--ovmf %q is not CODE,VARS: two files", words)}
		}
		places = []machine.UEFI{{Code: code, Vars: vars}}
	}
	var errs []error
	for _, p := range places {
		_, err := os.Stat(p.Code)
		if err == nil {
			_, err = os.Stat(p.Vars)
		}
		if err == nil {
			return &p, nil
		}
		errs = append(errs, err)
	}
	if words != "" {
		return nil, fmt.Errorf("--ovmf: %w", errs[0])
	}
	return nil, fmt.Errorf("no UEFI firmware for QEMU: install the package ovmf, or name it with --ovmf: %w",
		fs.ErrNotExist)
}
