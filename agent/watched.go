package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/diskcast/diskcast/agent/site"
	"github.com/diskcast/diskcast/agent/watchdog"
)

// hangs is how long the agent may not ask for descriptors before it counts as hanging: many times what a request that
// nobody answers takes.
const hangs = 10 * time.Minute

// lives notes that the agent asks for descriptors.
func (a *agent) lives() { a.beat.Store(int64(sinceBoot())) }

// alive reports whether the agent does its work. Before its first question it looks for a network, for as long as that
// takes. What waits here for a lock that is never given back is not fed either.
func (a *agent) alive() bool {
	a.events.Lost()
	a.client.Node()
	last := time.Duration(a.beat.Load())
	return last == 0 || sinceBoot()-last < hangs
}

// watch starts the machine's watchdog, if there is one and the kernel's command line does not forbid it.
func (a *agent) watch(ctx context.Context) error {
	if a.o.noBoot {
		return nil // the machine is somebody else's
	}
	timeout, err := a.watchdogTime()
	if err != nil || timeout == 0 {
		return err
	}
	a.dog, err = watchdog.Open(watchdog.Devices, timeout, a.log)
	if errors.Is(err, fs.ErrNotExist) {
		a.log.Info("this machine has no watchdog that its kernel knows: one that hangs stays so")
		return nil
	}
	if err != nil {
		a.log.Warn("the watchdog is not used", "err", err)
		return nil
	}
	// Ends with ctx, or when it is stopped. An agent that ends leaves it running, and the next one feeds it.
	go a.dog.Run(ctx, a.alive)
	return nil
}

// watchdogTime is what the kernel's command line says of it; 0: off.
func (a *agent) watchdogTime() (time.Duration, error) {
	cmdline, err := os.ReadFile(a.o.cmdline)
	if err != nil {
		return 0, fmt.Errorf("kernel command line: %w", err)
	}
	setting := ""
	for _, w := range site.Words(string(cmdline)) {
		if v, ok := strings.CutPrefix(w, "diskcast.watchdog="); ok {
			setting = v
		}
	}
	timeout, err := watchdog.Parse(setting)
	if err != nil {
		return 0, fmt.Errorf("diskcast.watchdog= on the kernel's command line: %w", err)
	}
	return timeout, nil
}

// watched is the machine, whose watchdog is stopped before another system has it.
type watched struct {
	machine
	a *agent
}

func (w watched) free() {
	if err := w.a.dog.Stop(); err != nil {
		w.a.log.Error(err.Error())
	}
}

// Reboot restarts the machine.
func (w watched) Reboot() error { w.free(); return w.machine.Reboot() }

// Poweroff switches it off.
func (w watched) Poweroff() error { w.free(); return w.machine.Poweroff() }

// Kexec starts the kernel that was loaded.
func (w watched) Kexec() error { w.free(); return w.machine.Kexec() }
