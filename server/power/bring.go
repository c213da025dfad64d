package power

import (
	"context"
	"errors"
	"fmt"
)

// Bring has a machine come to the network: its next start, and no other, is told to boot from there, and it is switched
// on if it is off. One that is on is left alone, or, with cycle, loses its power and is switched on, unless spare says
// right before that it must not. Where the boot cannot be set, the firmware's own order decides, and the note says so.
func (m *Machine) Bring(ctx context.Context, cycle bool, spare func() string) (*Outcome, error) {
	if m.blind != "" {
		o, err := m.On(ctx)
		if err == nil && cycle {
			o.Note += "; if it was on, what it runs goes on, for it cannot be switched off this way"
		}
		return o, err
	}
	state, err := m.State(ctx)
	if err != nil {
		return nil, err
	}
	note, boot := "", Network
	if _, err := m.BootOnce(ctx, Network); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if state == On && cycle && !mayLackBoot(err) {
			return nil, fmt.Errorf("it was to boot from the network, and so its power was left alone: %w", err)
		}
		note, boot = fmt.Sprintf("it could not be told to boot from the network, so its own boot order decides (%v)",
			err), ""
	}
	switch {
	case state == Off:
		o, err := m.On(ctx)
		if err != nil {
			return nil, err
		}
		return &Outcome{State: o.State, Boot: boot, Note: note}, nil
	case !cycle:
		return &Outcome{State: On, Boot: boot, Note: join("it was on, and what it runs was left alone", note)}, nil
	}
	if why := spare(); why != "" {
		return &Outcome{State: On, Boot: boot, Note: join("it was on, and was left alone, for "+why, note)}, nil
	}
	return m.cycleTo(ctx, boot, note)
}

// cycleTo is a cycle in which the boot, if it can be set, is set again before the machine is on: some BMCs forget it
// after a minute, others with the power.
func (m *Machine) cycleTo(ctx context.Context, boot Boot, note string) (*Outcome, error) {
	if _, err := m.Off(ctx); err != nil {
		return nil, fmt.Errorf("switching it off: %w", err)
	}
	err := wait(ctx, m.time.Rest)
	if err == nil && boot != "" {
		if _, again := m.BootOnce(ctx, boot); again != nil && ctx.Err() == nil {
			note = fmt.Sprintf("the boot from the network was set before it was off, and could not be set again (%v)",
				again)
		}
	}
	if err == nil {
		_, err = m.On(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("it was switched off, and not on again: %w", err)
	}
	return &Outcome{State: On, Boot: boot, Note: join("what it ran was ended", note)}, nil
}

// mayLackBoot reports whether the driver or the machine has no way to set what is booted, which plugs have not.
func mayLackBoot(err error) bool {
	var e *Error
	return errors.As(err, &e) && (e.Word == Cannot || e.Word == Refused)
}

func join(a, b string) string {
	if b == "" {
		return a
	}
	return a + "; " + b
}
