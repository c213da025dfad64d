// Package watchdog has the machine restarted by its hardware when the agent, or the kernel below it, hangs: nobody may
// be near it, and without the agent nobody reaches it.
//
// The device restarts the machine unless it is fed in time. A program that ends without saying so leaves it running
// (Documentation/watchdog/watchdog-api.rst), so an agent that is started again in time goes on feeding, and one that is
// not ends in a restart. Before the machine is handed on to another system it is stopped.
package watchdog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Devices are the watchdogs of the machine.
const Devices = "/dev/watchdog[0-9]"

// Default is how long it may not be fed: longer than the agent's longest pause before it is started again.
const Default = 120 * time.Second

// Bounds of the setting: below, an agent that is started again would be too late; above, hardware counts no further.
const (
	Least = 60 * time.Second
	Most  = 600 * time.Second
)

// device is what the kernel shows of a watchdog.
type device interface {
	Name() string
	SetTimeout(seconds int) (int, error)
	Feed() error
	// Expired reports whether the machine was last restarted by it.
	Expired() bool
	// Disable stops it; unix.EBUSY says that it cannot be (nowayout).
	Disable() error
	// Close lets go, and says that this is meant.
	Close() error
}

// Dog is a watchdog that runs. Its methods may be called from several goroutines.
type Dog struct {
	log     *slog.Logger
	timeout time.Duration

	mu  sync.Mutex
	dev device // nil: stopped
}

// Open starts the first watchdog of those that the pattern means. The error wraps fs.ErrNotExist where there is none.
func Open(pattern string, timeout time.Duration, log *slog.Logger) (*Dog, error) {
	paths, err := filepath.Glob(pattern)
	if err == nil && len(paths) == 0 {
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, fmt.Errorf("watchdog %s: %w", pattern, err)
	}
	f, err := os.OpenFile(paths[0], os.O_WRONLY, 0)
	if err != nil {
		return nil, fmt.Errorf("watchdog: %w", err)
	}
	return start(&linux{f: f}, timeout, log), nil
}

func start(dev device, timeout time.Duration, log *slog.Logger) *Dog {
	d := &Dog{log: log, dev: dev}
	got, err := dev.SetTimeout(int(timeout / time.Second))
	if err != nil || got <= 0 {
		got, err = dev.SetTimeout(int(Least / time.Second)) // some count to 255 s or less
	}
	if err != nil || got <= 0 {
		got = 30 // what drivers have by themselves is 30 s and more
		log.Warn("the watchdog takes no other time than its own; it is fed often", "watchdog", dev.Name(), "err", err)
	}
	d.timeout = time.Duration(got) * time.Second
	if dev.Expired() {
		log.Warn("the machine was restarted by its watchdog: something hung before", "watchdog", dev.Name())
	}
	log.Info("the watchdog restarts the machine when the agent or the kernel hangs", "watchdog", dev.Name(), "after",
		d.timeout)
	return d
}

// Run feeds the watchdog until ctx ends or it is stopped, as long as alive says that the agent does its work.
func (d *Dog) Run(ctx context.Context, alive func() bool) {
	tick := time.NewTicker(max(min(d.timeout/4, 15*time.Second), time.Second))
	defer tick.Stop()
	hungry := false
	for {
		ok := alive()
		switch {
		case !ok && !hungry:
			d.log.Error("the agent hangs; its watchdog is no longer fed and restarts the machine", "within", d.timeout)
		case ok && hungry:
			d.log.Warn("the agent goes on; its watchdog is fed again")
		}
		if hungry = !ok; ok && !d.feed() {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// feed reports whether there is something to feed.
func (d *Dog) feed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dev == nil {
		return false
	}
	if err := d.dev.Feed(); err != nil {
		d.log.Error("the watchdog cannot be fed, and may restart the machine", "within", d.timeout, "err", err)
	}
	return true
}

// Stop stops the watchdog for good: the machine goes on to another system, which does not know that it has to feed it.
// The error says when it cannot be stopped, and what follows.
func (d *Dog) Stop() error {
	if d == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dev == nil {
		return nil
	}
	dev := d.dev
	d.dev = nil
	if err := dev.Disable(); errors.Is(err, unix.EBUSY) {
		left := d.timeout
		if got, err := dev.SetTimeout(int(Most / time.Second)); err == nil && got > 0 {
			left = time.Duration(got) * time.Second
		}
		_ = dev.Feed() // as late as may be; what went wrong is in the words below
		_ = dev.Close()
		return fmt.Errorf("the watchdog %s cannot be stopped (nowayout): it restarts the machine in %v unless the "+
			"started system feeds it; start nodes with diskcast.watchdog=off on the kernel's command line", dev.Name(),
			left)
	}
	if err := dev.Close(); err != nil {
		return fmt.Errorf("stopping the watchdog %s: %w; it may restart the machine within %v", dev.Name(), err,
			d.timeout)
	}
	return nil
}

// linux is a watchdog of the kernel's.
type linux struct{ f *os.File }

func (l *linux) Name() string {
	info, err := unix.IoctlGetWatchdogInfo(int(l.f.Fd()))
	if err != nil {
		return l.f.Name()
	}
	return strings.TrimRight(string(info.Identity[:]), "\x00")
}

func (l *linux) SetTimeout(seconds int) (int, error) {
	if err := unix.IoctlSetPointerInt(int(l.f.Fd()), unix.WDIOC_SETTIMEOUT, seconds); err != nil {
		return 0, err
	}
	return unix.IoctlGetInt(int(l.f.Fd()), unix.WDIOC_GETTIMEOUT)
}

func (l *linux) Feed() error { return unix.IoctlWatchdogKeepalive(int(l.f.Fd())) }

func (l *linux) Expired() bool {
	status, err := unix.IoctlGetInt(int(l.f.Fd()), unix.WDIOC_GETBOOTSTATUS)
	return err == nil && status&unix.WDIOF_CARDRESET != 0
}

func (l *linux) Disable() error {
	return unix.IoctlSetPointerInt(int(l.f.Fd()), unix.WDIOC_SETOPTIONS, unix.WDIOS_DISABLECARD)
}

// Close writes the magic character that makes closing it stop it, where Disable is not known.
func (l *linux) Close() error {
	_, err := l.f.Write([]byte("V"))
	if cerr := l.f.Close(); err == nil {
		err = cerr
	}
	return err
}

// Parse reads the setting: off, or seconds; empty is Default. 0 is off.
func Parse(s string) (time.Duration, error) {
	switch s {
	case "", "on":
		return Default, nil
	case "off", "0", "no":
		return 0, nil
	}
	d, err := time.ParseDuration(strings.TrimSuffix(s, "s") + "s")
	if err != nil || d < Least || d > Most || d%time.Second != 0 {
		return 0, fmt.Errorf("watchdog %q is neither off nor whole seconds from %d to %d", s, int(Least.Seconds()),
			int(Most.Seconds()))
	}
	return d, nil
}
