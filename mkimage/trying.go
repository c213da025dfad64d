package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/diskcast/diskcast/internal/accel"
	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/mkimage/bootdir"
	"github.com/diskcast/diskcast/mkimage/look"
	"github.com/diskcast/diskcast/mkimage/machine"
	"github.com/diskcast/diskcast/mkimage/scratch"
)

// testOptions are the flags of `mkimage test`.
type testOptions struct {
	serial, bus, card string
	memory            int
	limit             time.Duration
	json              bool
}

func testCommand() *cobra.Command {
	var o testOptions
	var r tried
	c := reader("test DIR", "Start a boot directory in QEMU, to the agent's hello at a server of its own",
		`Starts kernel and archive of a boot directory in QEMU, with a server of their own (diskcast serve, on `+
			`127.0.0.1,
without DHCP), until the node's agent has said hello to it, and prints the steps with their times. No root is needed.
The node has the memory that the archive wants, a blank disk (--disk) and a network card (--card), whose drivers must be
in the directory: one that is made --for machines has theirs.

Firmware, DHCP and boot loaders are not tried: QEMU starts the kernel itself. The server and the pin in the directory
are not used, the words of its command line are.

The exit code is 0 when the hello came and the node has its disk, its card and no problem, 4 when the time was over, 2
for a wrong command line, and else 1, also where what the console said could not be written. With --json there is one
document in each case, with the reason as "error".`, 1,
		func(cmd *cobra.Command, dirs []*look.Directory) error {
			return o.run(cmd.Context(), dirs[0], &r, cmd.ErrOrStderr())
		})
	run := c.RunE
	c.RunE = func(cmd *cobra.Command, args []string) error {
		return o.tell(cmd.Context(), &r, run(cmd, args), cmd.OutOrStdout(), cmd.ErrOrStderr())
	}
	f := c.Flags()
	f.StringVar(&o.serial, "serial", "", "file for the serial console (default: its end is shown when no hello came)")
	f.StringVar(&o.bus, "disk", "virtio", "what the node's disk is plugged into: "+strings.Join(machine.Buses(), ", "))
	f.StringVar(&o.card, "card", "virtio", "the node's network card: "+strings.Join(machine.Cards(), ", "))
	f.IntVar(&o.memory, "memory", 0, "MiB of memory (default: what a node needs for this archive)")
	f.DurationVar(&o.limit, "time", 5*time.Minute, "how long it may take, from power-on on")
	f.BoolVar(&o.json, "json", false, "print what came of it as JSON")
	return c
}

// tried is what came of a test.
type tried struct {
	Accelerator string            `json:"accelerator"`
	Memory      int               `json:"memory"` // MiB
	Steps       []triedStep       `json:"steps"`
	Node        session.Inventory `json:"node"`
	Problems    []string          `json:"problems,omitempty"`
	Error       string            `json:"error,omitempty"` // why no hello came, or what went wrong beside it

	dir, end string // of the boot directory, and of the console of a node that said no hello
	came     bool   // the hello
}

type triedStep struct {
	Seconds float64 `json:"seconds"` // since power-on
	Step    string  `json:"step"`
	Words   string  `json:"words,omitempty"`
}

// triedNode is what of a node as the server shows it is looked at.
type triedNode struct {
	Agent     string
	Inventory session.Inventory
	Trace     map[string]struct {
		Time    time.Time
		Message string
	}
}

// tell prints what came of it, when the temporary folder is gone: who does not read it leaves nothing behind.
func (o *testOptions) tell(ctx context.Context, r *tried, err error, stdout, stderr io.Writer) error {
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		err = context.Cause(ctx) // which signal it was
	}
	if r.end != "" {
		fmt.Fprintf(stderr, "the console's end:\n%s\n", r.end)
	}
	if err == nil && len(r.Problems) > 0 {
		err = fmt.Errorf("%s: the node came up, but: %s", r.dir, strings.Join(r.Problems, "; "))
	} else if err != nil {
		r.Error = err.Error()
	}
	switch {
	case o.json:
		return errors.Join(err, writeJSON(stdout, r))
	case r.came:
		return errors.Join(err, r.print(stdout))
	}
	return err
}

// check says what is wrong with the flags by themselves.
func (o *testOptions) check() error {
	switch {
	case o.limit <= 0 || o.memory < 0:
		return errors.New("--time must be more than nothing, and --memory not less")
	case !slices.Contains(machine.Buses(), o.bus):
		return fmt.Errorf("--disk %q is none of %s", o.bus, strings.Join(machine.Buses(), ", "))
	case !slices.Contains(machine.Cards(), o.card):
		return fmt.Errorf("--card %q is none of %s", o.card, strings.Join(machine.Cards(), ", "))
	}
	return nil
}

func (o *testOptions) run(ctx context.Context, d *look.Directory, r *tried, stderr io.Writer) (err error) {
	r.dir = d.Path
	if err := o.check(); err != nil {
		return usageError{err}
	}
	if err := d.AsMade(bootdir.KernelFile, bootdir.ArchiveFile); err != nil {
		return err
	}
	program, err := diskcast()
	if err != nil {
		return err
	}
	if _, err := exec.LookPath(accel.QEMU); err != nil {
		return fmt.Errorf("%w; install QEMU (Debian: qemu-system-x86)", err)
	}
	temp, err := scratch.Make("", "mkimage-test-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, temp.Remove()) }()
	r.Memory = o.memory
	if r.Memory == 0 {
		r.Memory = int(max(look.LeastMemory, look.MemoryNeed(d.Manifest)) >> 20)
	}
	a, err := accel.Choose(ctx)
	if err != nil {
		return err
	}
	r.Accelerator = a.Name
	own := filepath.Join(temp.Path, "console.log")
	files := []string{filepath.Join(d.Path, bootdir.ManifestFile)}
	for name := range d.Files {
		files = append(files, filepath.Join(d.Path, name))
	}
	if err := overwrites(o.serial, files...); err != nil {
		return err
	}
	console, err := createSerial(cmp.Or(o.serial, own))
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := console.Close(); closeErr != nil && err == nil {
			err = fmt.Errorf("--serial: %w", closeErr)
		}
	}()
	ctx, cancel := machine.Deadline(ctx, o.limit)
	defer cancel()
	s, err := startServer(ctx, program, temp.Path, d.Path)
	if err != nil {
		return err
	}
	defer s.stop()
	disk := filepath.Join(temp.Path, "disk.raw")
	if err := errors.Join(os.WriteFile(disk, nil, 0o600), os.Truncate(disk, 1<<30)); err != nil {
		return err
	}
	began := time.Now()
	var node *triedNode
	err = machine.Run(ctx, machine.Options{Disk: disk, Format: "raw", Memory: r.Memory, CPUs: 1, Accel: a,
		Console: console, Bus: o.bus, Card: o.card,
		Warn: func(err error) {
			fmt.Fprintln(stderr, "mkimage: the console's words are not kept any more; the machine runs on:", err)
		},
		Kernel: filepath.Join(d.Path, bootdir.KernelFile), Initrd: filepath.Join(d.Path, bootdir.ArchiveFile),
		// 10.0.2.2 is QEMU's host in its user network.
		Append: d.Manifest.Cmdline + " console=ttyS0 diskcast.server=https://10.0.2.2:" + s.port + " diskcast.pin=" +
			s.pin,
		Fail: regexp.MustCompile(`Kernel panic|` + session.NoCard),
		Meanwhile: func(ctx context.Context) (err error) {
			node, err = s.hello(ctx)
			return err
		}}, nil)
	if failed := (*machine.FailedError)(nil); errors.As(err, &failed) {
		err = errors.New("the node's kernel panicked")
		if failed.Said == session.NoCard {
			err = fmt.Errorf("%s: the node has no network card: the directory lacks the driver of what it was given "+
				"(--card %s); make it with --modules net, or name another --card", d.Path, o.card)
		}
	}
	if errors.Is(err, machine.ErrTime) {
		err = codeError{fmt.Errorf("%w: %v (--time), and no agent said hello", err, o.limit), codeTime}
	}
	// A console that could not be written is Run's error only where the hello came.
	if _, lost := errors.AsType[*machine.LogError](err); err == nil || lost && node != nil {
		r.of(node, began)
	} else if o.serial == "" {
		r.end = consoleEnd(own)
	}
	return err
}

// of looks at what the node said.
func (r *tried) of(n *triedNode, began time.Time) {
	inv := n.Inventory
	r.Node, r.came = inv, true
	for step, m := range n.Trace {
		r.Steps = append(r.Steps, triedStep{m.Time.Sub(began).Seconds(), step, m.Message})
	}
	slices.SortFunc(r.Steps, func(a, b triedStep) int { return cmp.Compare(a.Seconds, b.Seconds) })
	for _, u := range inv.Undriven {
		r.Problems = append(r.Problems, "no driver for "+u)
	}
	if inv.Problem != "" {
		r.Problems = append(r.Problems, inv.Problem)
	}
	if len(inv.Disks) == 0 {
		r.Problems = append(r.Problems, "it has no disk: the directory lacks the driver of what it is plugged into "+
			"(--disk)")
	}
}

func (r *tried) print(w io.Writer) error {
	fmt.Fprintf(w, "%6.1f s  power on, %s, %d MiB of memory\n", 0.0, r.Accelerator, r.Memory)
	for _, s := range r.Steps {
		fmt.Fprintf(w, "%6.1f s  %s  %s\n", s.Seconds, plain.Line(s.Step, 0), plain.Line(s.Words, 0))
	}
	inv := &r.Node
	_, err := fmt.Fprintf(w, "Linux %s with %d MiB of memory left to it, %d disks, %d network cards\n",
		plain.Line(inv.Kernel, 0), inv.Memory>>20, len(inv.Disks), len(inv.NICs))
	return err
}
