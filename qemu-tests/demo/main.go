// Demo shows diskcast from power-on to login on one machine, with nothing faked but the hardware.
//
// Synopsis:
//
//	demo [-nodes N] [-rate BITS]
//
// Description:
//
//	Makes a small real Debian disk, starts `diskcast serve` in a network namespace, switches on blank virtual machines
//	that boot from their PXE ROM, images them in one session, waits for the login prompt of each, switches them off,
//	and holds their disks against the source. It is what `make demo` runs, as root. It leaves nothing behind but the
//	disk image in build/cache.
//
// Example:
//
//	sudo build/bin/demo -nodes 3
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/qemu-tests/osimage"
	"github.com/diskcast/diskcast/qemu-tests/vm"
)

func main() {
	// make that is killed takes the demo with it.
	_ = unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGTERM), 0, 0, 0)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		if ctx.Err() != nil {
			err = errors.New("interrupted; nothing is left running")
		}
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	flags.SetOutput(stderr)
	count := flags.Int("nodes", 2, "machines to image")
	rate := flags.String("rate", "", "fix the cast's rate, in bits a second, such as 100M")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return errors.New("needs root, for a network namespace with a bridge and for files with other owners: sudo " +
			"build/bin/demo")
	}
	d := &demo{out: newScreen(stdout), start: time.Now(), rate: *rate}
	work := filepath.Join(osimage.ModuleRoot(), "build", "demo")
	sweep(work)
	d.dir = filepath.Join(work, strconv.Itoa(os.Getpid()))
	if err := os.MkdirAll(d.dir, 0o755); err != nil {
		return err
	}
	err := d.run(ctx, *count)
	d.out.stopLive()
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("%w\nconsoles and the server's log are in %s", err, d.keepLogs())
	}
	return errors.Join(err, os.RemoveAll(d.dir))
}

// keepLogs drops the disks of a run that failed and returns where the rest is.
func (d *demo) keepLogs() string {
	disks, _ := filepath.Glob(filepath.Join(d.dir, "*.raw"))
	for _, f := range append(disks, filepath.Join(d.dir, "state"), filepath.Join(d.dir, "boot")) {
		_ = os.RemoveAll(f)
	}
	return d.dir
}

// sweep removes what demos left that were killed or that failed.
func sweep(work string) {
	old, _ := filepath.Glob(filepath.Join(work, "*"))
	for _, dir := range old {
		if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			_ = os.RemoveAll(dir)
		}
	}
}

// accelerator says in words how the machines run.
func accelerator(ctx context.Context) (string, error) {
	a, err := vm.Accelerator(ctx)
	if err != nil {
		return "", err
	}
	if a.Name == "kvm" {
		return "KVM", nil
	}
	return "emulation (KVM does not work here): expect a tenth of the speed", nil
}
