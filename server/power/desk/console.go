package desk

import (
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/diskcast/diskcast/server/power"
)

// HasConsole says why a machine has no serial console by what its power is reached by; nil: it has one.
func (d *Desk) HasConsole(ctx context.Context, m Machine) error {
	_, _, err := d.consoleOf(ctx, m)
	return err
}

func (d *Desk) consoleOf(ctx context.Context, m Machine) (*power.Driver, *record, error) {
	r, err := d.read(ctx, m)
	if err != nil {
		return nil, nil, err
	}
	driver, err := d.cfg.Drivers.Of(r.Driver)
	if err == nil && driver.Console == nil {
		err = power.Fail(power.Cannot, "by the driver %s no console is reached: set its power up by ipmi or redfish, "+
			"where it has a BMC", r.Driver)
	}
	return driver, r, err
}

// Console is a machine's serial console: see power.Driver. Nobody else speaks to the BMC while it is opened; then
// others do, each in a session of its own. take has it end somebody else's at the BMC.
func (d *Desk) Console(ctx context.Context, m Machine, take bool, in io.Reader, out io.Writer, opened func()) error {
	driver, r, err := d.consoleOf(ctx, m)
	if err != nil {
		return err
	}
	gate := d.gates.Of(r.Driver + " " + r.Address)
	if err := gate.Enter(ctx); err != nil {
		return err
	}
	leave := sync.OnceFunc(gate.Leave)
	defer leave()
	conf, err := d.config(m, r)
	if err != nil {
		return err
	}
	err = driver.Console(ctx, conf, &power.Host{Gate: gate, Take: take}, in, out, func() {
		leave()
		opened()
	})
	if err != nil {
		return fmt.Errorf("console of %s: %w", m.ID, err)
	}
	return nil
}
