// Package desk is the server's power desk: how each machine's power is reached, with its secret sealed, and the work on
// many machines at a time, paced and cancelled.
package desk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/diskcast/diskcast/internal/nearest"
	"github.com/diskcast/diskcast/internal/sealed"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/power"
	"github.com/diskcast/diskcast/server/serve/task"
	"github.com/diskcast/diskcast/server/store"
)

// prefix + machine is the key of a machine's record.
const prefix = "power/"

// record is what is stored of a machine's power.
type record struct {
	Driver   string   `json:"driver"`
	Address  string   `json:"address,omitempty"`
	User     string   `json:"user,omitempty"`
	Box      []byte   `json:"box,omitempty"` // the password, sealed for this machine
	MACs     []string `json:"macs,omitempty"`
	System   string   `json:"system,omitempty"`
	Command  string   `json:"command,omitempty"`
	Template string   `json:"template,omitempty"`
	Pin      string   `json:"pin,omitempty"`
}

// Config is what a desk works with.
type Config struct {
	Store     store.Store
	Key       *sealed.Key
	Drivers   power.Drivers
	Commands  map[string][]string
	Broadcast string // of the machines' network
	Timing    power.Timing
	Pause     time.Duration // between two messages to one BMC
}

// Desk is the server's. It is a task; when it ends, so does its work.
type Desk struct {
	*task.Crew
	cfg   Config
	gates *power.Gates
	line  line

	mu    sync.Mutex
	seq   int
	epoch string
	runs  []*run // oldest first

	done, failed atomic.Uint64 // what was asked of machines' power
}

// Counts are how often what was asked of machines' power was done, and how often it failed, since the server started.
func (d *Desk) Counts() (done, failed uint64) { return d.done.Load(), d.failed.Load() }

// Machine is one that the desk is asked about.
type Machine struct {
	ID, Name string
	MACs     []string // of the NICs that it boots from
}

// ErrUnset is wrapped by errors about machines whose power is not set up.
var ErrUnset = errors.New("its power is not set up")

// Set sets a machine's power up.
func (d *Desk) Set(ctx context.Context, m Machine, in doc.PowerSet) (*doc.Power, error) {
	if in.V != session.Version {
		return nil, fmt.Errorf("%w: power has v=%d, this server speaks v=%d", session.ErrVersion, in.V, session.Version)
	}
	driver, err := d.cfg.Drivers.Of(in.Driver)
	if err != nil {
		return nil, err
	}
	r := &record{Driver: in.Driver, Address: in.Address, User: in.User, MACs: in.MACs, System: in.System,
		Command: in.Command, Template: in.Template, Pin: in.Pin}
	if in.Password != "" {
		r.Box = d.cfg.Key.Seal(prefix+m.ID, []byte(in.Password))
	}
	conf, err := d.config(m, r)
	if err != nil {
		return nil, err
	}
	if err := driver.Check(conf); err != nil {
		return nil, fmt.Errorf("driver %s: %w", driver.Name, err)
	}
	if _, there := d.cfg.Commands[in.Command]; in.Command != "" && !there {
		return nil, fmt.Errorf("driver %s: power-commands.json of the server's state directory has no command %q%s",
			driver.Name, in.Command, nearest.Hint(in.Command, slices.Sorted(maps.Keys(d.cfg.Commands))))
	}
	var shared []string
	err = d.cfg.Store.Update(ctx, func(tx store.WriteTx) error {
		shared = nil
		if err := store.PutJSON(tx, prefix+m.ID, r); err != nil {
			return err
		}
		return tx.Walk(prefix, func(key string, _ []byte) error {
			other := &record{}
			err := store.GetJSON(tx, key, other)
			if err == nil && key != prefix+m.ID && r.switches(other) {
				shared = append(shared, strings.TrimPrefix(key, prefix))
			}
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	p := d.show(m, r)
	if len(shared) > 0 {
		p.Warnings = append(p.Warnings, fmt.Sprintf("Machine %s is reached by the same (driver %s, address %s): "+
			"what is done to one happens to the other.", strings.Join(shared[:min(len(shared), 5)], ", "), r.Driver,
			r.Address))
	}
	return p, nil
}

// switches reports whether both records are of one BMC or outlet. A magic packet goes by its NICs alone.
func (r *record) switches(o *record) bool {
	return r.Address != "" && r.Driver != "wol" && r.Driver == o.Driver && r.Address == o.Address &&
		r.System == o.System && r.Command == o.Command && r.Template == o.Template
}

// config is the record for a driver, with its secret opened.
func (d *Desk) config(m Machine, r *record) (*power.Config, error) {
	c := &power.Config{Driver: r.Driver, Machine: m.ID, Address: r.Address, User: r.User, MACs: r.MACs,
		System: r.System, Command: r.Command, Template: r.Template, Pin: r.Pin}
	if len(c.MACs) == 0 {
		c.MACs = m.MACs
	}
	if r.Box != nil {
		secret, err := d.cfg.Key.Open(prefix+m.ID, r.Box)
		if err != nil {
			return nil, power.Fail(power.Fault, "its password: %w: set its power up again", err)
		}
		c.Password = string(secret)
	}
	return c, nil
}

func (d *Desk) read(ctx context.Context, m Machine) (*record, error) {
	r := &record{}
	err := d.cfg.Store.View(ctx, func(tx store.Tx) error { return store.GetJSON(tx, prefix+m.ID, r) })
	if errors.Is(err, store.ErrNotFound) {
		return nil, power.Fail(power.Cannot, "%w: `diskcast machine power set %s --driver ...` does it", ErrUnset, m.ID)
	}
	return r, err
}

func (d *Desk) show(m Machine, r *record) *doc.Power {
	p := &doc.Power{Machine: m.ID, Name: m.Name, Driver: r.Driver, Address: r.Address, User: r.User,
		Secret: r.Box != nil, MACs: r.MACs, System: r.System, Command: r.Command, Template: r.Template, Pin: r.Pin}
	if driver, err := d.cfg.Drivers.Of(r.Driver); err == nil {
		p.Console = driver.Console != nil
	}
	if r.Box != nil {
		if _, err := d.cfg.Key.Open(prefix+m.ID, r.Box); err != nil {
			p.Problem = fmt.Sprintf("its password does not open with %s, which is another one since: set its power up "+
				"again", sealed.KeyFile)
		}
	}
	return p
}

// Closed lists the machines whose stored passwords do not open with the server's key.
func (d *Desk) Closed(ctx context.Context) (ids []string, err error) {
	err = d.cfg.Store.View(ctx, func(tx store.Tx) error {
		ids = nil
		return tx.Walk(prefix, func(key string, b []byte) error {
			id, r := strings.TrimPrefix(key, prefix), record{}
			if err := json.Unmarshal(b, &r); err != nil {
				return fmt.Errorf("state of %s is damaged: %w", key, err)
			}
			if d.show(Machine{ID: id}, &r).Problem != "" {
				ids = append(ids, id)
			}
			return nil
		})
	})
	return ids, err
}

// Show shows how a machine's power is reached.
func (d *Desk) Show(ctx context.Context, m Machine) (*doc.Power, error) {
	r, err := d.read(ctx, m)
	if err != nil {
		return nil, err
	}
	return d.show(m, r), nil
}

// Has reports whether the machine's power is set up.
func (d *Desk) Has(ctx context.Context, m Machine) (bool, error) {
	_, err := d.read(ctx, m)
	if errors.Is(err, ErrUnset) {
		return false, nil
	}
	return err == nil, err
}

// Reaches reports whether the power of the machine with the id is set up.
func (d *Desk) Reaches(ctx context.Context, id string) (bool, error) {
	return d.Has(ctx, Machine{ID: id})
}

// Forget takes away what is stored of a machine's power, its secret too.
func (d *Desk) Forget(ctx context.Context, id string) error {
	return d.cfg.Store.Update(ctx, func(tx store.WriteTx) error { return tx.Delete(prefix + id) })
}

// Merge gives a machine the power of one that is gone, unless it has its own.
func (d *Desk) Merge(ctx context.Context, from, into string) error {
	return d.cfg.Store.Update(ctx, func(tx store.WriteTx) error {
		r := &record{}
		err := store.GetJSON(tx, prefix+from, r)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		own, gerr := tx.Get(prefix + into)
		if err = errors.Join(err, gerr); err == nil && own == nil {
			if r.Box != nil {
				secret, err := d.cfg.Key.Open(prefix+from, r.Box)
				if err != nil {
					return err
				}
				r.Box = d.cfg.Key.Seal(prefix+into, secret)
			}
			err = store.PutJSON(tx, prefix+into, r)
		}
		if err != nil {
			return err
		}
		return tx.Delete(prefix + from)
	})
}

// keep stores the pin that was seen first.
func (d *Desk) keep(ctx context.Context, id, pin string) error {
	return d.cfg.Store.Update(ctx, func(tx store.WriteTx) error {
		r := &record{}
		if err := store.GetJSON(tx, prefix+id, r); err != nil {
			return err
		}
		if r.Pin != "" && r.Pin != pin {
			return fmt.Errorf("another certificate, %s, was kept meanwhile", r.Pin)
		}
		r.Pin = pin
		return store.PutJSON(tx, prefix+id, r)
	})
}

// with opens the way to a machine for f, when nobody else speaks to its BMC.
func (d *Desk) with(ctx context.Context, m Machine, f func(*power.Machine) (*power.Outcome, error)) (o *power.Outcome,
	err error) {
	defer func() {
		if err == nil {
			d.done.Add(1)
		} else if !errors.Is(err, ErrUnset) {
			d.failed.Add(1)
		}
	}()
	r, err := d.read(ctx, m)
	if err != nil {
		return nil, err
	}
	driver, err := d.cfg.Drivers.Of(r.Driver)
	if err != nil {
		return nil, err
	}
	door := r.Driver + " " + r.Address
	if r.Address == "" || r.Driver == "wol" { // nothing that two machines share
		door = m.ID
	}
	gate := d.gates.Of(door)
	if err := gate.Enter(ctx); err != nil {
		return nil, err
	}
	defer gate.Leave()
	if r, err = d.read(ctx, m); err != nil { // who was in before may have kept its pin
		return nil, err
	}
	conf, err := d.config(m, r)
	if err != nil {
		return nil, err
	}
	dev, err := driver.Open(conf, &power.Host{Gate: gate, Commands: d.cfg.Commands, Broadcast: d.cfg.Broadcast,
		Keep: func(ctx context.Context, pin string) error { return d.keep(ctx, m.ID, pin) }})
	if err != nil {
		return nil, err
	}
	defer dev.Close()
	return f(power.NewMachine(driver, dev, d.cfg.Timing))
}

// do works at one machine, and tells what it waits for.
func (d *Desk) do(ctx context.Context, m Machine, spec *doc.PowerSpec, tell func(string)) (*power.Outcome, error) {
	return d.with(ctx, m, func(x *power.Machine) (*power.Outcome, error) {
		x.Tell(tell)
		switch spec.Op {
		case doc.PowerOn:
			return x.On(ctx)
		case doc.PowerOff:
			return x.Off(ctx)
		case doc.PowerCycle:
			return x.Cycle(ctx)
		case doc.PowerBootOnce:
			return x.BootOnce(ctx, power.Boot(spec.Device))
		}
		s, err := x.State(ctx)
		return &power.Outcome{State: s}, err
	})
}
