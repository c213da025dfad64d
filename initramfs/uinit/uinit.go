package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/u-root/u-root/pkg/cmdline"
	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/initramfs/hardware"
	"github.com/diskcast/diskcast/internal/archiveend"
	"github.com/diskcast/diskcast/internal/kmod"
	"github.com/diskcast/diskcast/internal/uevent"
)

const (
	agentPath = "/bbin/agent"
	shellPath = "/bbin/gosh"
	logPath   = "/var/log/agent.log"

	// hasteGC is how much garbage there may be for each byte in use, in percent, while everything waits for this
	// program: 16 MB, since it uses little.
	hasteGC = 400

	lowest = 19 // of the priorities that a thread may have, getpriority(2)
)

func run(ctx context.Context, args []string, _ io.Reader, stdout, _ io.Writer) error {
	if first() {
		args = nil // words of the kernel's command line that nobody knows
	}
	if err := onNode(args, "/"); err != nil {
		return err
	}
	usual := debug.SetGCPercent(hasteGC)
	started := time.Now()
	linkErr := modprobe("/")
	mountErr := mountAll()
	console := newConsole(stdout)
	defer console.Close()
	file, err := openLog(logPath)
	if err != nil {
		fmt.Fprintln(console, "uinit: no log is kept:", err)
		file = &logFile{}
	}
	out := io.MultiWriter(console, file)
	level := slog.LevelInfo
	if cmdline.ContainsFlag("diskcast.debug") {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: level, ReplaceAttr: dropTime})).With("at",
		"uinit")
	if mountErr != nil {
		log.Error("file systems of the kernel", "err", mountErr)
	}
	if linkErr != nil {
		log.Error("the kernel cannot ask for modules", "err", linkErr)
	}
	if first() {
		prepare(log)
		go reapAll(ctx.Done(), log) // ends with ctx
	}
	shells := &shells{path: shellPath, log: log}
	if cmdline.ContainsFlag("diskcast.shell") {
		shells.start(ctx)
	}
	if err := archiveend.Check("/", memory()); err != nil {
		log.Error(err.Error())
	}
	loaded := make(chan struct{})
	go prepareHardware(ctx, log, started, func() { // ends with ctx, which is never
		debug.SetGCPercent(usual)
		close(loaded)
	})
	s := &supervisor{
		command: []string{agentPath, "-after-stdin"}, output: out, log: log, after: time.After, begin: loaded,
		failed: func() { shells.start(ctx) },
	}
	return s.run(ctx)
}

// newConsole is where people see what this program and the agent say: all consoles of the first program, and what it
// was given of any other.
func newConsole(stdout io.Writer) screens {
	if !first() {
		return screens{newAsync(stdout)}
	}
	return openConsoles("/sys/class/tty/console/active", "/dev", stdout)
}

// onNode refuses to be what it is anywhere but on a node, whose root is the archive that the kernel unpacked: on
// another machine it would mount over /tmp and /run, and load drivers.
func onNode(args []string, root string) error {
	var st unix.Statfs_t
	if err := unix.Statfs(root, &st); err != nil {
		return fmt.Errorf("%s: %w", root, err)
	}
	if st.Type != unix.RAMFS_MAGIC && st.Type != unix.TMPFS_MAGIC {
		return fmt.Errorf("this is the first program of a diskcast node, which runs from the boot archive; the root " +
			"of this machine is on a file system of its own, so nothing was done")
	}
	if len(args) > 0 {
		return fmt.Errorf("it takes no arguments, and was given %q; nothing was done", args)
	}
	return nil
}

// memory is the node's memory in bytes, as far as the kernel uses it.
func memory() int64 {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return 0
	}
	return int64(info.Totalram) * int64(info.Unit)
}

// dropTime leaves the time of day out of the log: a node's clock is often wrong. The kernel's own clock is what events
// carry.
func dropTime(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey {
		return slog.String("up", uptime())
	}
	return a
}

func uptime() string {
	data, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return "?"
	}
	up, _, _ := strings.Cut(string(data), " ")
	return up
}

// prepareHardware loads the machine's drivers, calls loaded when the agent has what it needs of them, and goes on
// loading them for what is plugged in later.
func prepareHardware(ctx context.Context, log *slog.Logger, started time.Time, loaded func()) {
	drivers, err := newDrivers(log)
	if err != nil {
		// A kernel with everything built in, or an archive made with --modules none.
		log.Warn("no drivers are loaded", "err", err)
		loaded()
		return
	}
	if err := drivers.Settle(ctx); err != nil {
		log.Error("drivers", "err", err)
	}
	drivers.byName(log)
	log.Info("drivers are loaded", "modules", drivers.Loaded(), "seconds", time.Since(started).Seconds())
	loaded()
	aside(log, drivers.Later)
	err = drivers.Follow(ctx, nil)
	log.Error("new devices are no longer noticed", "err", err)
}

// aside calls f in a thread that has a processor when no other program wants it, and returns when f has.
func aside(log *slog.Logger, f func()) {
	done := make(chan struct{})
	go func() { // ends with f
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends with its low priority
		if err := unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), lowest); err != nil {
			log.Warn("some drivers are loaded beside the agent's work", "err", err)
		}
		f()
	}()
	<-done
}

// drivers are those of hardware, and those that no hardware asks for.
type drivers struct {
	*hardware.Drivers
	loader *kmod.Loader
	denied []string // modprobe.blacklist
}

// byName loads what no device names: where UEFI firmware keeps the last words of a kernel that crashed, and a watchdog
// of the kernel's own where the machine has none.
func (d *drivers) byName(log *slog.Logger) {
	var names []string
	if _, err := os.Stat("/sys/firmware/efi"); err == nil {
		names = append(names, "efi_pstore")
	}
	if dogs, _ := filepath.Glob("/dev/watchdog[0-9]"); len(dogs) == 0 {
		names = append(names, "softdog")
	}
	for _, name := range names {
		if _, known := d.loader.Index.Module(name); !known || slices.Contains(d.denied, name) {
			continue
		}
		if _, err := d.loader.Load(name); err != nil {
			log.Warn("a driver cannot be loaded", "module", name, "err", err)
		}
	}
}

func newDrivers(log *slog.Logger) (*drivers, error) {
	dir, err := kmod.SystemDir()
	if err != nil {
		return nil, err
	}
	index, err := kmod.Load(os.DirFS(dir))
	if err != nil {
		return nil, err
	}
	events, err := uevent.Listen()
	if err != nil {
		return nil, err
	}
	blacklist, _ := cmdline.Flag("modprobe.blacklist")
	denied := strings.FieldsFunc(kmod.Name(blacklist), func(r rune) bool { return r == ',' })
	bootif, _ := cmdline.Flag("BOOTIF")
	nic := &card{mac: bootCard(bootif), sys: "/sys/class/net", setUp: setUp, log: log}
	nic.look() // a kernel may have its driver built in
	loader := &kmod.Loader{
		Index: index, Dir: os.DirFS(dir), Kernel: looking{kmod.System{}, nic}, Params: cmdline.FlagsForModule, Log: log,
		Skip: func(m *kmod.Module) bool { return unhelpful(m) || slices.Contains(denied, m.Name) },
	}
	return &drivers{Drivers: &hardware.Drivers{Sys: hardware.Sys(), Events: events, Log: log, Loader: loader},
		loader: loader, denied: denied}, nil
}

// unhelpful are drivers that an archive with all modules has, and that do a node no good: some take the console's
// picture away.
func unhelpful(m *kmod.Module) bool {
	return slices.ContainsFunc([]string{"kernel/drivers/gpu/", "kernel/drivers/media/", "kernel/sound/"},
		func(dir string) bool {
			return strings.HasPrefix(filepath.ToSlash(m.Path), dir)
		})
}
