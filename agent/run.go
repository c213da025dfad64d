package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/agent/client"
	"github.com/diskcast/diskcast/agent/contents"
	"github.com/diskcast/diskcast/agent/disk"
	"github.com/diskcast/diskcast/agent/efiboot"
	"github.com/diskcast/diskcast/agent/events"
	"github.com/diskcast/diskcast/agent/inventory"
	"github.com/diskcast/diskcast/agent/kernellog"
	"github.com/diskcast/diskcast/agent/lldp"
	"github.com/diskcast/diskcast/agent/network"
	"github.com/diskcast/diskcast/agent/node"
	"github.com/diskcast/diskcast/agent/screen"
	"github.com/diskcast/diskcast/agent/site"
	"github.com/diskcast/diskcast/agent/watchdog"
	"github.com/diskcast/diskcast/internal/archiveend"
	"github.com/diskcast/diskcast/internal/diskrule"
	"github.com/diskcast/diskcast/internal/session"
)

// release is the file that the build of the userland leaves its version in. A variable set by the linker does not do:
// the commands of a busybox lose their initialisers to init functions.
const release = "/etc/diskcast/release"

// hasteGC is how much garbage there may be for each byte in use, in percent, until the server has answered for the
// first time: 16 MB, since little is in use then.
const hasteGC = 400

// version is the release, "dev" where there is none.
func version() string {
	text, err := os.ReadFile(release)
	if v := strings.TrimSpace(string(text)); err == nil && v != "" {
		return v
	}
	return "dev"
}

type options struct {
	site, cmdline     string
	whatBoots         string
	passphrase        string // the name of a file with it
	noNetwork, noBoot bool
	afterStdin        bool
	disks             []string
}

func parseArgs(args []string, stderr io.Writer) (*options, error) {
	o := &options{}
	f := flag.NewFlagSet("agent", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.site, "site", site.File, "settings `file`")
	f.StringVar(&o.cmdline, "cmdline", "/proc/cmdline", "kernel command line `file`")
	f.BoolVar(&o.noNetwork, "no-network", false, "leave the network as it is")
	f.BoolVar(&o.noBoot, "no-boot", false, "never restart the machine")
	f.BoolVar(&o.afterStdin, "after-stdin", false,
		"the drivers are loaded at the end of the standard input: wait for it with all that is not the network's")
	f.Func("disk", "offer only this disk or `file`; may be given several times", func(v string) error {
		o.disks = append(o.disks, v)
		return nil
	})
	f.StringVar(&o.whatBoots, "what-boots", "",
		"say what would be started from this disk or `file`, and do nothing else")
	f.StringVar(&o.passphrase, "passphrase-file", "",
		"with -what-boots: the first line of this `file` is typed where a boot loader asks for a passphrase")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if o.passphrase != "" && o.whatBoots == "" {
		return nil, errors.New("-passphrase-file goes with -what-boots: a node gets its passphrase from the server")
	}
	if f.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	return o, nil
}

// run is the agent.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	o, err := parseArgs(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	if o.whatBoots != "" {
		passphrase, err := firstLine(o.passphrase)
		if err != nil {
			return err
		}
		return whatBoots(ctx, o.whatBoots, passphrase, slog.New(slog.DiscardHandler), stdout)
	}
	cmdline, err := os.ReadFile(o.cmdline)
	if err != nil {
		return fmt.Errorf("kernel command line: %w", err)
	}
	settings, err := site.Load(o.site, string(cmdline))
	if err != nil {
		return err
	}
	pin, err := client.ParsePin(settings.Pin)
	if err != nil {
		return err
	}
	if !o.afterStdin {
		stdin = strings.NewReader("")
	}
	a := &agent{o: o, drivers: ended(stdin), settings: settings, pin: pin, boot: newBoot(),
		inventory: &inventory.Reader{Root: "/", Addrs: network.Addrs}}
	a.disks = &disk.Hardware{Inventory: a.inventory, Only: o.disks}
	a.contents = contents.New(contents.Options{List: a.disks.List, Open: contents.File, InUse: a.disks.InUse,
		Tell: a.tellDisks, Forget: func() { a.starts.Store(nil) }})
	a.screen = a.newScreen()
	a.events = events.New(events.Options{
		Boot: a.boot, Console: stdout, Since: sinceBoot, Watch: a.screen.Watch,
		Post: func(ctx context.Context, b session.Events) error {
			err := a.client.PostEvents(ctx, b)
			a.events.Every(a.client.ReportEvery())
			return err
		},
	})
	a.kernel.Path = "/dev/kmsg"
	level := slog.LevelInfo
	if settings.Debug {
		level = slog.LevelDebug
	}
	a.log = a.events.Logger(level)
	return a.run(ctx)
}

// ended returns a channel that is closed at the end of a reader.
func ended(r io.Reader) <-chan struct{} {
	end := make(chan struct{})
	go func() { // ends with r, or the program
		defer close(end)
		_, _ = io.Copy(io.Discard, r) // who breaks off has ended
	}()
	return end
}

// agent is the program with its parts.
type agent struct {
	began     time.Time // when the drivers were loaded
	o         *options
	drivers   <-chan struct{} // closed when they are loaded
	settings  *site.Settings
	pin       client.Pin
	boot      string
	inventory *inventory.Reader
	disks     *disk.Hardware
	contents  *contents.Surveyor
	events    *events.Reporter
	log       *slog.Logger
	client    *client.Client
	plugged   atomic.Pointer[lldp.Neighbour] // what the node's NIC is plugged into; nil: nobody said it yet
	starts    atomic.Pointer[session.Starts] // what the firmware starts of its disks; nil: it is not known
	firmware  *efiboot.Machine               // that has the last restore's boot entry; nil for none
	dog       *watchdog.Dog                  // nil: none
	beat      atomic.Int64                   // nanoseconds since boot: when it last asked for descriptors; 0: not yet
	crashed   atomic.Pointer[string]         // of what the machine died before this start
	kernel    kernellog.Ring
	screen    *screen.Screen
}

// newBoot is a name for this start of the agent, so that the server can tell it from the last one.
func newBoot() string {
	var b [16]byte
	rand.Read(b[:]) // never fails: crypto/rand
	return hex.EncodeToString(b[:])
}

// sinceBoot is the time since the kernel started; it needs no clock that is right.
func sinceBoot() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

func (a *agent) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	usual := debug.SetGCPercent(hasteGC)
	a.log.Info("diskcast agent", "version", version(), "server", a.settings.Server)
	if !a.o.noBoot {
		mountFilesystems(a.log)
	}
	memory := limitMemory(a.inventory)
	var err error
	a.client, err = client.New(client.Options{Server: a.settings.Server, Pin: a.pin, Hello: a.hello,
		Beat: a.lives, Log: a.log})
	if err != nil {
		return err
	}
	for _, w := range a.settings.Warnings {
		a.log.Warn(w)
	}
	connected := a.online(ctx)
	if err := waitFor(ctx, a.drivers); err != nil {
		return err
	}
	a.began = time.Now()
	a.lacks()
	if err := a.watch(ctx); err != nil {
		return err
	}
	crashes := a.crashes()
	g, ctx := errgroup.WithContext(ctx)
	nic, card, waited := "", "", time.Duration(0)
	link, err := connected()
	if err != nil {
		return err
	}
	if link != nil {
		nic, card, waited = link.Name, link.NIC, link.Waited
		a.inventory.BootNIC, a.inventory.Above = card, nic
		g.Go(func() error { return link.Keep(ctx) })
	}
	switched := a.hearSwitch(ctx, g, card)
	told := a.plugged.Load()
	if err := a.client.Connect(ctx); err != nil {
		return err
	}
	debug.SetGCPercent(usual)
	g.Go(func() error { return a.tellSwitch(ctx, switched, told) })
	a.tellEarlier(uinitLog)
	a.events.Step(session.StepAgent, session.Info, a.greeting(), nil)
	g.Go(func() error { return a.events.Run(ctx) })
	g.Go(func() error { return a.tellCrashes(ctx, crashes) })
	late := a.listenDisks(ctx)
	g.Go(func() error { return a.watchDisks(ctx, late) })
	g.Go(func() error { return a.contents.Run(ctx) })
	m := a.machine()
	n := node.New(node.Options{API: a.client, Report: a.events, Machine: m, Actions: a.actions(m, memory, nic),
		Look: func(ctx context.Context, l *session.Look) { a.lookAround(ctx, l, nic, waited) },
		Menu: a.menu(), Failing: a.kernelWords, Beat: a.lives, Log: a.log})
	g.Go(func() error { return n.Run(ctx) })
	err = g.Wait()
	if errors.Is(err, context.Canceled) {
		return nil // asked to end
	}
	return err
}

func (a *agent) hello() session.Hello {
	return session.Hello{V: session.Version, Boot: a.boot, Agent: version(), Inventory: a.look()}
}

// look reads the inventory, with the disks that a descriptor may choose from.
func (a *agent) look() session.Inventory { return a.complete(a.inventory.Read()) }

// glance is look without the devices of all buses, which only the server wants.
func (a *agent) glance() session.Inventory { return a.complete(a.inventory.Glance()) }

// complete adds what the agent knows to what the machine says.
func (a *agent) complete(inv session.Inventory) session.Inventory {
	inv.Disks, inv.Survey, inv.Starts = a.disks.List(), a.contents.Latest(), a.starts.Load()
	if at := a.plugged.Load(); at != nil {
		for i := range inv.NICs {
			if inv.NICs[i].Boot {
				inv.NICs[i].Switch, inv.NICs[i].Port = at.Switch, at.Port
			}
		}
	}
	if c := a.crashed.Load(); c != nil {
		inv.Crashed = *c
	}
	if err := archiveend.Check("/", inv.Memory); err != nil {
		inv.Problem = err.Error()
	}
	return inv
}

// patience is how long disks may take to come. Those that the command line names are all there are.
func (a *agent) patience() disk.Wait {
	w := disk.Patience(a.began)
	if len(a.o.disks) > 0 {
		w.Quiet = 0
	}
	return w
}

// lacks says, before there is a network to say it through, what the node has no driver for: it may be the network.
func (a *agent) lacks() {
	inv := a.glance()
	if inv.Problem != "" {
		a.log.Error(inv.Problem)
	}
	// A machine that has disks and network may do without its other controllers.
	level := slog.LevelInfo
	if len(inv.Disks) == 0 || len(inv.NICs) == 0 {
		level = slog.LevelWarn
	}
	for _, what := range inv.Undriven {
		a.log.Log(context.Background(), level, "no driver for the "+what+
			": is its module in the boot directory (mkimage --modules), and its firmware (--firmware)?")
	}
	if len(inv.NICs) == 0 {
		a.log.Error(session.NoCard + "; it cannot reach the server")
	}
}

// greeting is what this node is, in one line.
func (a *agent) greeting() string {
	inv := a.glance()
	what := strings.TrimSpace(inv.Vendor + " " + inv.Product)
	if what == "" {
		what = "machine"
	}
	var disks []string
	for _, d := range inv.Disks {
		disks = append(disks, diskrule.Describe(d))
	}
	if len(disks) == 0 {
		disks = []string{"none that the kernel knows"}
	}
	words := fmt.Sprintf("node %s: %s, %s firmware, %s of memory, disks: %s",
		a.client.Node(), what, inv.Firmware, diskrule.Bytes(inv.Memory), strings.Join(disks, "; "))
	if len(inv.Undriven) > 0 {
		words += "; without driver: " + strings.Join(inv.Undriven, "; ")
	}
	if inv.Problem != "" {
		words += "; " + inv.Problem
	}
	return words
}
