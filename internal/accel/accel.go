// Package accel chooses how QEMU runs a guest's code: by the processor where that works, which only a trial tells, else
// by translating it.
package accel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"
)

// QEMU is the program that is run.
const QEMU = "qemu-system-x86_64"

// Accel is how QEMU runs guest code.
type Accel struct {
	Name string   // "kvm" or "tcg"
	Args []string // for QEMU
}

// KVM runs guest code on the processor; TCG translates it, some ten times slower, and works everywhere.
var (
	KVM = Accel{"kvm", []string{"-accel", "kvm", "-cpu", "host"}}
	// TCG's processor hides what only costs: nested virtualisation makes the guest load KVM, five-level page tables
	// lengthen each page walk, 256-bit instructions are translated so badly that BLAKE3 is a third faster without, and
	// ERMS has kernels copy and clear byte by byte. No processor has FSRM without ERMS: Linux 6.1 hangs in memmove on
	// one that newer QEMUs would make. From Intel since Linux asks another maker's processors for the time by the HPET,
	// a device, when there are several of them and their TSC is not called invariant, which TCG's is not.
	TCG = Accel{"tcg", []string{"-accel", "tcg,thread=multi",
		"-cpu", "max,svm=off,la57=off,avx2=off,erms=off,fsrm=off,vendor=GenuineIntel"}}
)

// Board is QEMU's, for machines of x86, without its own disk controller: a kernel without its driver would be said to
// lack one. QEMU's older board, pc, has the interrupts' wiring worked out by a loop in ACPI's language, anew for each
// device: seconds, where that is emulated.
const Board = "q35,sata=off"

// Quote doubles a file's commas, which end the value of an option of QEMU's.
func Quote(file string) string { return strings.ReplaceAll(file, ",", ",,") }

// probeLimit is for a guest of 20 instructions behind SeaBIOS: under a second with KVM, one or two with TCG.
// In a virtual machine without working nested virtualisation /dev/kvm may exist, open, and then hang in the first
// instruction: only the time limit tells.
const probeLimit = 10 * time.Second

// bootSector writes "OK" to the first serial port and 0x10 to QEMU's debug-exit port, which ends QEMU with status 0x21.
var bootSector = []byte{
	0xba, 0xf8, 0x03, // mov dx, 0x3f8
	0xb0, 'O', 0xee, // mov al, 'O'; out dx, al
	0xb0, 'K', 0xee, // mov al, 'K'; out dx, al
	0xba, 0xf4, 0x00, // mov dx, 0xf4
	0xb0, 0x10, 0xee, // mov al, 0x10; out dx, al
	0xf4, 0xeb, 0xfd, // hlt; jmp back to it
}

var chosen = struct {
	sync.Mutex
	accel Accel
}{}

// Choose returns the fastest accelerator that really boots a guest here. It is tried once per process;
// DISKCAST_ACCEL=kvm or tcg skips the trial.
func Choose(ctx context.Context) (Accel, error) {
	chosen.Lock()
	defer chosen.Unlock()
	if chosen.accel.Name != "" {
		return chosen.accel, nil
	}
	switch want := os.Getenv("DISKCAST_ACCEL"); want {
	case "kvm":
		chosen.accel = KVM
		return KVM, nil
	case "tcg":
		chosen.accel = TCG
		return TCG, nil
	case "":
	default:
		return Accel{}, fmt.Errorf("DISKCAST_ACCEL=%q: say kvm or tcg", want)
	}
	var errs []error
	for _, a := range []Accel{KVM, TCG} {
		err := Try(ctx, a)
		if err == nil {
			chosen.accel = a
			return a, nil
		}
		if _, mine := errors.AsType[*fs.PathError](err); mine && a.Name == TCG.Name {
			return Accel{}, fmt.Errorf("trying how QEMU runs a guest: %w", err)
		}
		errs = append(errs, err)
	}
	return Accel{}, fmt.Errorf("no accelerator boots a guest here; is %s installed? %w", QEMU, errors.Join(errs...))
}

// virtualizes reports whether a processor of /proc/cpuinfo runs guests itself. Modules are behind /dev/kvm that do
// without (kvm_pvm): they emulate a guest's first steps, so that a boot sector runs, and firmware and kernels hang.
func virtualizes(cpuinfo []byte) bool { return extension.Match(cpuinfo) }

var extension = regexp.MustCompile(`(?m)^flags\s*:.*\b(vmx|svm)\b`)

// Try boots a guest of one sector with the accelerator and returns why it did not come up.
func Try(ctx context.Context, a Accel) error {
	if a.Name == "kvm" {
		f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
		if err != nil {
			return fmt.Errorf("accelerator kvm: %w", err)
		}
		f.Close()
		if cpu, err := os.ReadFile("/proc/cpuinfo"); err != nil || !virtualizes(cpu) {
			return errors.Join(errors.New("accelerator kvm: the processor has neither VMX nor SVM"), err)
		}
	}
	dir, err := os.MkdirTemp("", "diskcast-accel-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	disk := filepath.Join(dir, "boot.raw")
	sector := make([]byte, 64<<10)
	copy(sector, bootSector)
	sector[510], sector[511] = 0x55, 0xaa
	if err := os.WriteFile(disk, sector, 0o600); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	args := append([]string{
		"-nodefaults", "-no-user-config", "-machine", "pc", "-display", "none", "-m", "32",
		"-serial", "stdio", "-device", "isa-debug-exit,iobase=0xf4,iosize=0x04",
		"-drive", "format=raw,file=" + Quote(disk),
	}, a.Args...)
	cmd := exec.CommandContext(ctx, QEMU, args...)
	cmd.WaitDelay = 2 * time.Second
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	err = cmd.Run()
	if ctx.Err() != nil {
		return fmt.Errorf("accelerator %s: a one-sector guest did not finish within %v", a.Name, probeLimit)
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 0x21 && bytes.Contains(out.Bytes(), []byte("OK")) {
		return nil
	}
	return fmt.Errorf("accelerator %s: %v: %s", a.Name, err, bytes.TrimSpace(stderr.Bytes()))
}
