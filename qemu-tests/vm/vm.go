// Package vm drives one QEMU machine the way a person at the rack would: switch it on, read and type on its
// serial console, press the power button, pull the plug. It knows nothing of networks or images: a machine's
// tap must exist, and Options.Start decides in which network namespace QEMU runs.
//
// The design names hugelgupf/vmtest for this. It was tried and dropped: it has no QMP (so no power button), no
// way to start QEMU in another network namespace and with a parent-death signal (so nothing is left behind when a
// test is killed), no accelerator probe, and its console helper wants a pseudo-terminal per machine. What remained
// to wrap was the assembly of an argument list.
package vm

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Disk is one disk of a machine, backed by a raw file.
type Disk struct {
	Path       string // raw file; its size is the disk's
	Serial     string // as the guest sees it, at most 20 bytes
	SectorSize int    // 512 when zero
	Bus        Bus
}

// NIC is one network card. Its option ROM is QEMU's stock iPXE: the PXE ROM that a blank machine boots from.
type NIC struct {
	Model string // as QEMU calls the card; virtio-net-pci when empty. usb-net has no ROM
	// Netdev, unless empty, is QEMU's backend in the tap's place.
	Netdev string
	Tap    string // name of a persistent tap in the namespace that QEMU is started in
	MAC    string
	NoROM  bool // no option ROM: UEFI firmware then boots by its own network stack
}

// Firmware is what the machine has in its flash; the zero value is SeaBIOS.
type Firmware struct {
	Code, Vars string // UEFI flash images; the machine is a Q35 then, and writes to its variables
	// SecureBoot is for images that keep their keys behind system management mode.
	SecureBoot bool
	// ARM64 is for images of 64-bit ARM: the machine is QEMU's virt then, and its serial line ttyAMA0.
	ARM64 bool
}

// Options describe a machine. The zero value of a field is what a blank lab machine has.
type Options struct {
	Name    string
	Memory  int // MiB; 512 when zero
	CPUs    int // 1 when zero
	Disks   []Disk
	NICs    []NIC
	UUID    string // DMI system UUID
	BootNIC bool   // boot from the first NIC, then from the first disk; else from the disk only

	// Kernel, Initrd and Append boot a Linux kernel directly, without firmware's boot order.
	Kernel, Initrd, Append string

	Firmware Firmware

	// Program is the QEMU to run; empty: the installed one of the firmware's architecture.
	Program string

	Accel Accel    // none: Accelerator's choice
	Extra []string // more arguments for QEMU

	// Start starts QEMU; nil starts it as a plain child. lab.Lab.Start puts it into the lab's namespace.
	Start func(*exec.Cmd) error
	// Log receives everything the console says, from every power-on.
	Log io.Writer
}

// VM is one machine. It may be switched on and off any number of times; its disks stay.
type VM struct {
	o       Options
	console *Console

	mu     sync.Mutex
	cmd    *exec.Cmd
	qmp    *qmp
	done   chan struct{} // closed when the running QEMU has ended
	err    error         // how it ended
	killed bool
	on     time.Time
	late   map[int]bool // disks that are not plugged in at power-on
	own    bool         // the boot order is the firmware's
}

// New returns a machine that is switched off.
func New(o Options) *VM {
	if o.Memory == 0 {
		o.Memory = 512
	}
	if o.CPUs == 0 {
		o.CPUs = 1
	}
	return &VM{o: o, console: newConsole(o.Log)}
}

// Name is the machine's name.
func (v *VM) Name() string { return v.o.Name }

// Console is the serial console. It spans power-ons.
func (v *VM) Console() *Console { return v.console }

// SwitchedOn is when the machine was last switched on.
func (v *VM) SwitchedOn() time.Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.on
}

// OwnOrder leaves the boot order to the firmware's memory from the next power-on on, as it is on a machine that nobody
// tells what to start. QEMU's firmware otherwise writes its order anew at each start.
func (v *VM) OwnOrder() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.own = true
}

// PowerOn switches the machine on. It returns as soon as QEMU runs.
func (v *VM) PowerOn(ctx context.Context) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.cmd != nil {
		return fmt.Errorf("machine %s is already on", v.o.Name)
	}
	accel, program := v.o.Accel, QEMU
	if v.o.Firmware.ARM64 {
		accel, program = ARM64, QEMUARM64
	}
	program = cmp.Or(v.o.Program, program)
	if accel.Name == "" {
		var err error
		if accel, err = Accelerator(ctx); err != nil {
			return err
		}
	}
	ours, theirs, err := socketPair()
	if err != nil {
		return fmt.Errorf("machine %s: QMP socket: %w", v.o.Name, err)
	}
	defer theirs.Close()
	cmd := exec.Command(program, v.args(accel)...)
	cmd.Stdout = v.console
	stderr := &tail{}
	cmd.Stderr = stderr
	cmd.ExtraFiles = []*os.File{theirs} // descriptor 3
	stdin, err := cmd.StdinPipe()
	if err != nil {
		ours.Close()
		return err
	}
	start := v.o.Start
	if start == nil {
		start = (*exec.Cmd).Start
	}
	v.on = time.Now()
	if err := start(cmd); err != nil {
		ours.Close()
		return fmt.Errorf("machine %s: start %s: %w", v.o.Name, program, err)
	}
	v.console.setInput(stdin)
	v.cmd, v.qmp, v.done, v.killed, v.err = cmd, newQMP(ours), make(chan struct{}), false, nil
	go v.reap(cmd, v.qmp, v.done, stderr)
	return nil
}

// reap waits for QEMU to end; it ends with it.
func (v *VM) reap(cmd *exec.Cmd, q *qmp, done chan struct{}, stderr *tail) {
	err := cmd.Wait()
	q.close()
	v.mu.Lock()
	defer v.mu.Unlock()
	if err != nil && !v.killed {
		v.err = fmt.Errorf("machine %s: qemu: %w: %s", v.o.Name, err, stderr)
	}
	v.cmd = nil
	v.console.setInput(nil)
	close(done)
}

// Unplug cuts the power: QEMU is killed, whatever the guest had in its memory is gone.
func (v *VM) Unplug() {
	v.mu.Lock()
	cmd, done := v.cmd, v.done
	v.killed = true
	v.mu.Unlock()
	if cmd == nil {
		return
	}
	_ = cmd.Process.Kill()
	<-done
}

// PowerButton presses the power button (ACPI); the guest decides what to do.
func (v *VM) PowerButton(ctx context.Context) error { return v.command(ctx, "system_powerdown") }

// Pause stops the machine's CPUs, Resume starts them again: a node that hangs for a while.
func (v *VM) Pause(ctx context.Context) error { return v.command(ctx, "stop") }

// Resume undoes Pause.
func (v *VM) Resume(ctx context.Context) error { return v.command(ctx, "cont") }

// Cable plugs the network cable of the running machine's first card in or pulls it out.
func (v *VM) Cable(ctx context.Context, in bool) error {
	q, err := v.monitor()
	if err != nil {
		return err
	}
	_, err = q.ask(ctx, "set_link", map[string]any{"name": "net0", "up": in})
	return err
}

func (v *VM) command(ctx context.Context, name string) error {
	q, err := v.monitor()
	if err != nil {
		return err
	}
	return q.execute(ctx, name)
}

// Writes counts the requests to write that the machine's disks have carried out since it was switched on.
func (v *VM) Writes(ctx context.Context) (int64, error) {
	q, err := v.monitor()
	if err != nil {
		return 0, err
	}
	raw, err := q.ask(ctx, "query-blockstats", nil)
	if err != nil {
		return 0, err
	}
	var disks []struct {
		Stats struct {
			Writes int64 `json:"wr_operations"`
		} `json:"stats"`
	}
	if err := json.Unmarshal(raw, &disks); err != nil {
		return 0, fmt.Errorf("qmp query-blockstats: %w", err)
	}
	var n int64
	for _, d := range disks {
		n += d.Stats.Writes
	}
	return n, nil
}

// SlowWrites has the disks of the running machine carry out at most so many writes a second, until it is switched off.
func (v *VM) SlowWrites(ctx context.Context, perSecond int) error {
	q, err := v.monitor()
	if err != nil {
		return err
	}
	for i := range v.o.Disks {
		_, err = q.ask(ctx, "block_set_io_throttle", map[string]any{"device": "disk" + itoa(i),
			"bps": 0, "bps_rd": 0, "bps_wr": 0, "iops": 0, "iops_rd": 0, "iops_wr": perSecond})
		if err != nil {
			return err
		}
	}
	return nil
}

// CPU is how much of the host's processors the running machine has taken since it was switched on: what a start costs
// where other programs want the processor too.
func (v *VM) CPU() (time.Duration, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.cmd == nil {
		return 0, fmt.Errorf("machine %s is off", v.o.Name)
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", v.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	// The program's name may hold anything; behind its bracket utime and stime are fields 14 and 15 (proc(5)), in
	// hundredths of a second on every Linux.
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, fmt.Errorf("machine %s: /proc/PID/stat has %d fields", v.o.Name, len(fields))
	}
	var ticks int64
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond, nil
}

// monitor is the connection to the running machine's QEMU.
func (v *VM) monitor() (*qmp, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.qmp == nil {
		return nil, fmt.Errorf("machine %s is off", v.o.Name)
	}
	return v.qmp, nil
}

// WaitOff waits until the machine is off: by itself, by the button or by the plug. The error is QEMU's own failure.
func (v *VM) WaitOff(ctx context.Context) error {
	v.mu.Lock()
	done := v.done
	v.mu.Unlock()
	if done == nil {
		return nil
	}
	select {
	case <-done:
		v.mu.Lock()
		defer v.mu.Unlock()
		return v.err
	case <-ctx.Done():
		return fmt.Errorf("machine %s is still on: %w; its console ended with:\n%s", v.o.Name, context.Cause(ctx),
			v.console.Tail(20))
	}
}

// Expect waits for a pattern on the console, and fails early when the machine goes off without having said it.
func (v *VM) Expect(ctx context.Context, pattern string) (Match, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	v.mu.Lock()
	done := v.done
	v.mu.Unlock()
	if done != nil {
		go func() { // ends with this call or with QEMU
			select {
			case <-done:
				cancel(errOff)
			case <-ctx.Done():
			}
		}()
	}
	m, err := v.console.Expect(ctx, pattern)
	if err != nil {
		err = fmt.Errorf("machine %s: %w", v.o.Name, err)
		v.mu.Lock()
		defer v.mu.Unlock()
		if v.err != nil && errors.Is(err, errOff) {
			err = fmt.Errorf("%w (%w)", err, v.err)
		}
	}
	return m, err
}

var errOff = errors.New("the machine went off")

// socketPair returns QEMU's QMP connection: no socket file that could be left behind.
func socketPair() (net.Conn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	mine := os.NewFile(uintptr(fds[0]), "qmp")
	defer mine.Close()
	theirs := os.NewFile(uintptr(fds[1]), "qmp-qemu")
	c, err := net.FileConn(mine)
	if err != nil {
		theirs.Close()
		return nil, nil, err
	}
	return c, theirs, nil
}

func itoa(n int) string { return strconv.Itoa(n) }
