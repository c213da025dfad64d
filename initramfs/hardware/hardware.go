// Package hardware loads the drivers that a node's machine asks for.
//
// The kernel names each device by a string, its modalias, in a file of its folder in /sys, and says by an event when a
// device comes. Loading a driver can make more devices appear: a controller its disks, a bridge its network cards.
// [Settle] goes on until nothing new comes. Nothing here waits for an amount of time: init_module(2) returns after the
// driver's probing, also the asynchronous part of it, and the events of what was found are in the socket by then.
package hardware

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/diskcast/diskcast/internal/uevent"
)

// Events are the kernel's device events. [uevent.Socket] is the real source.
type Events interface {
	// Pending returns the events that are waiting, without blocking. [uevent.ErrLost] says that some were dropped.
	Pending() ([]uevent.Event, error)
	// Wait blocks until an event waits or ctx ends.
	Wait(ctx context.Context) error
}

// Loader loads the driver for a modalias and says how many modules were new.
type Loader interface {
	Load(alias string) (int, error)
}

// Drivers loads drivers. Its methods are for one goroutine.
type Drivers struct {
	Sys    fs.FS // /sys
	Events Events
	Loader Loader
	Log    *slog.Logger

	seen   map[string]bool
	later  []string
	loaded int
}

// patient are the kinds of devices that a node can begin its work without: features of the processor, whose drivers
// only make ciphers and the like quicker, keyboards and mice.
var patient = []string{"cpu:", "input:", "serio:"}

// parallel is how many drivers start at once. Some wait many seconds for their device to wake up.
const parallel = 8

// Loaded is the number of modules that were loaded.
func (d *Drivers) Loaded() int { return d.loaded }

// Settle loads drivers until no device is left that was not asked about, but for those that are [Drivers.Later]'s.
func (d *Drivers) Settle(ctx context.Context) error {
	aliases, err := d.coldplug()
	for err == nil && ctx.Err() == nil {
		if !d.load(d.leave(aliases)) {
			return nil
		}
		aliases, err = d.Pending()
	}
	return errors.Join(err, ctx.Err())
}

// leave puts devices aside that are patient, and returns the others.
func (d *Drivers) leave(aliases []string) []string {
	return slices.DeleteFunc(aliases, func(alias string) bool {
		waits := slices.ContainsFunc(patient, func(kind string) bool { return strings.HasPrefix(alias, kind) })
		if waits {
			d.later = append(d.later, alias)
		}
		return waits
	})
}

// Later loads the drivers that Settle left, one after another, in the caller's thread: who wants them to cost others
// nothing calls it in one of low priority.
func (d *Drivers) Later() {
	for _, alias := range d.later {
		n, err := d.Loader.Load(alias)
		d.loaded += n
		if err != nil {
			d.notLoaded(alias, err)
		}
	}
	d.later = nil
}

// notLoaded tells of a device without its driver; the machine may do without it.
func (d *Drivers) notLoaded(alias string, err error) {
	d.Log.Warn("driver not loaded", "device", alias, "err", err)
}

// Pending returns the names of devices that came since the last call and that nobody was asked about yet.
func (d *Drivers) Pending() ([]string, error) {
	events, err := d.Events.Pending()
	if errors.Is(err, uevent.ErrLost) {
		d.Log.Warn("device events were lost; looking at all devices again")
		return d.coldplug()
	}
	if err != nil {
		return nil, err
	}
	var aliases []string
	for _, e := range events {
		if e.Action == "add" && e.Modalias != "" {
			aliases = append(aliases, e.Modalias)
		}
	}
	return d.fresh(aliases), nil
}

// Follow goes on after Settle: it loads drivers for devices that come later, until ctx ends. changed, if not nil, is
// called after the drivers for each lot of events are loaded.
func (d *Drivers) Follow(ctx context.Context, changed func()) error {
	for {
		if err := d.Events.Wait(ctx); err != nil {
			return err
		}
		for {
			aliases, err := d.Pending()
			if err != nil {
				return err
			}
			if !d.load(aliases) {
				break
			}
		}
		if changed != nil {
			changed()
		}
	}
}

// load asks for drivers and says whether it did anything that can make devices appear.
func (d *Drivers) load(aliases []string) bool {
	var g errgroup.Group
	g.SetLimit(parallel)
	var mu sync.Mutex
	loaded := 0
	for _, a := range aliases {
		g.Go(func() error {
			n, err := d.Loader.Load(a)
			mu.Lock()
			defer mu.Unlock()
			loaded += n
			if err != nil {
				d.notLoaded(a, err)
			}
			return nil
		})
	}
	_ = g.Wait() // no function returns an error
	d.loaded += loaded
	return loaded > 0
}

// coldplug lists the devices that are there already. Each has a link where its bus or its class lists it, which is
// where udev looks too; going through all of /sys/devices takes several times as long.
func (d *Drivers) coldplug() ([]string, error) {
	dirs := []string{"devices/system"} // a processor's features
	for _, kind := range []struct{ dir, below string }{{"bus", "devices"}, {"class", ""}} {
		names, err := fs.ReadDir(d.Sys, kind.dir)
		if err != nil {
			return nil, fmt.Errorf("devices: %w", err)
		}
		for _, e := range names {
			dirs = append(dirs, path.Join(kind.dir, e.Name(), kind.below))
		}
	}
	var aliases []string
	for _, dir := range dirs {
		names, err := fs.ReadDir(d.Sys, dir)
		if err != nil {
			continue // a driver goes while we look, with its bus
		}
		for _, e := range names {
			// Most devices have no such name, and some go while we look.
			if data, err := fs.ReadFile(d.Sys, path.Join(dir, e.Name(), "modalias")); err == nil {
				aliases = append(aliases, strings.TrimSpace(string(data)))
			}
		}
	}
	return d.fresh(aliases), nil
}

func (d *Drivers) fresh(aliases []string) []string {
	if d.seen == nil {
		d.seen = map[string]bool{}
	}
	var list []string
	for _, a := range aliases {
		if a != "" && !d.seen[a] {
			d.seen[a] = true
			list = append(list, a)
		}
	}
	return list
}

// Sys is the real /sys.
func Sys() fs.FS { return os.DirFS("/sys") }
