package power

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// Timing bounds what is done to one machine.
type Timing struct {
	Request time.Duration // that one answer may take; a request may have several
	Limit   time.Duration // that a write may take until it reads back
	Poll    time.Duration // between two looks
	Hold    time.Duration // that it must stay so
	Rest    time.Duration // without power in a cycle
	Backoff time.Duration // before the second try of a request, doubled for each more, and up to half of it again
	Tries   int           // of one request
}

// Usual is the timing of real machines: a server may need half a minute to go off, and some BMCs show it late.
var Usual = Timing{Request: 20 * time.Second, Limit: 90 * time.Second, Poll: 2 * time.Second, Hold: 4 * time.Second,
	Rest: 5 * time.Second, Backoff: 2 * time.Second, Tries: 4}

// Outcome is what a machine came to.
type Outcome struct {
	State State
	Boot  Boot   // that was set and read back
	Note  string // what is to be known of it
	Blind bool   // it was asked for, and cannot be read back
}

// Machine is one machine's power. What it does is read back; errors have a Word. Who uses one is inside its Gate.
type Machine struct {
	dev    Device
	blind  string
	time   Timing
	spoken bool // it has answered
	tell   func(string)
}

// Tell has f told, in words, what is waited for where that takes long. It is called while the machine is at work.
func (m *Machine) Tell(f func(string)) { m.tell = f }

func (m *Machine) say(format string, args ...any) {
	if m.tell != nil {
		m.tell(fmt.Sprintf(format, args...))
	}
}

// NewMachine works by a device.
func NewMachine(d *Driver, dev Device, t Timing) *Machine {
	return &Machine{dev: dev, blind: d.Blind, time: t}
}

// ask sends one request, again when the machine is busy or did not answer, a bounded number of times.
func (m *Machine) ask(ctx context.Context, again bool, f func(context.Context) error) error {
	back := m.time.Backoff
	for try := 1; ; try++ {
		err := m.once(ctx, f)
		var e *Error
		if err == nil || !errors.As(err, &e) || ctx.Err() != nil {
			return err
		}
		if try >= m.time.Tries || !(e.busy || e.Word == Silent && again) {
			if e.Word == Silent && m.spoken {
				return Fail(Frozen, "it answered before, and then no more (%w): give it a minute; if it stays so, "+
					"reset the BMC", e.Err)
			}
			return err
		}
		m.say("try %d of %d failed, and another one follows: %v", try, m.time.Tries, err)
		if err := wait(ctx, back+rand.N(back/2+1)); err != nil {
			return err
		}
		back *= 2
	}
}

func (m *Machine) once(ctx context.Context, f func(context.Context) error) error {
	one, p := patient(ctx, m.time.Request, m.tell)
	defer p.end()
	err := f(one)
	var e *Error
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err == nil:
		m.spoken = true
	case errors.As(err, &e):
		m.spoken = m.spoken || e.Word != Silent && e.Word != Fault
	case one.Err() != nil && m.spoken:
		return Fail(Silent, "one of its answers did not come within %v", m.time.Request)
	case one.Err() != nil:
		return Fail(Silent, "no whole answer within %v: look at its address, and whether the server reaches its "+
			"network", m.time.Request)
	}
	return err
}

// State reads whether the machine is on.
func (m *Machine) State(ctx context.Context) (State, error) {
	if m.blind != "" {
		return Unknown, Fail(Cannot, "%s", m.blind)
	}
	var s State
	err := m.ask(ctx, true, func(ctx context.Context) (err error) {
		s, err = m.dev.State(ctx)
		if err == nil && s != On && s != Off {
			err = Fail(Odd, "it says that its power is %.40q, which is neither on nor off", string(s))
		}
		return err
	})
	return s, err
}

// On switches the machine on; one that is on stays as it is.
func (m *Machine) On(ctx context.Context) (*Outcome, error) { return m.set(ctx, On, m.dev.On) }

// Off switches it off, without asking its system.
func (m *Machine) Off(ctx context.Context) (*Outcome, error) { return m.set(ctx, Off, m.dev.Off) }

func (m *Machine) set(ctx context.Context, want State, write func(context.Context) error) (*Outcome, error) {
	if m.blind != "" {
		if err := m.ask(ctx, true, write); err != nil {
			return nil, err
		}
		return &Outcome{State: Unknown, Note: m.blind, Blind: true}, nil
	}
	s, err := m.State(ctx)
	if err != nil {
		return nil, err
	}
	if s == want {
		return &Outcome{State: s, Note: "it was " + string(s)}, nil
	}
	lost, err := m.write(ctx, write)
	if err != nil {
		return nil, err
	}
	if err := settle(ctx, m, "power", want, lost, m.State); err != nil {
		return nil, err
	}
	return &Outcome{State: want}, nil
}

// write sends a write once. Without an answer it may have been done all the same: what is read back decides.
func (m *Machine) write(ctx context.Context, f func(context.Context) error) (lost bool, err error) {
	err = m.ask(ctx, false, f)
	var e *Error
	if errors.As(err, &e) && e.Word == Frozen && !e.busy && ctx.Err() == nil {
		return true, nil
	}
	return false, err
}

// settle reads until what was written is so and stays so; lost is that the write had no answer.
func settle[T comparable](ctx context.Context, m *Machine, what string, want T, lost bool,
	read func(context.Context) (T, error)) error {
	end := time.Now().Add(m.time.Limit)
	var seen time.Time // since when it is so
	for {
		got, err := read(ctx)
		now := time.Now()
		switch {
		case err != nil:
			return err
		case got != want && !seen.IsZero():
			return Fail(Reverted, "%s was %v, as asked for, and %v later %v again: look at the machine's or the BMC's "+
				"event log", what, want, now.Sub(seen).Round(time.Millisecond), got)
		case got == want && seen.IsZero():
			seen = now
		case got == want && now.Sub(seen) >= m.time.Hold:
			return nil
		case got != want && now.After(end) && lost:
			return Fail(Frozen, "it did not answer the request, and %v later %s still reads %v in place of %v: reset "+
				"the BMC", m.time.Limit, what, got, want)
		case got != want && now.After(end):
			return Fail(Nothing, "it took the request, and %v later %s still reads %v in place of %v: look at the "+
				"machine; many BMCs do so until they are reset", m.time.Limit, what, got, want)
		}
		if got != want && end.Sub(now) < m.time.Limit-slow {
			m.say("it took the request, and %s still reads %v in place of %v; that is waited for until %v after it",
				what, got, want, m.time.Limit)
		}
		if err := wait(ctx, m.time.Poll); err != nil {
			return err
		}
	}
}

// Cycle takes the machine's power away, sees that it is off, and switches it on. One that is off is switched on.
func (m *Machine) Cycle(ctx context.Context) (*Outcome, error) {
	if m.blind != "" {
		return nil, Fail(Cannot, "%s", m.blind)
	}
	if _, err := m.Off(ctx); err != nil {
		return nil, fmt.Errorf("switching it off: %w", err)
	}
	err := wait(ctx, m.time.Rest)
	if err == nil {
		var o *Outcome
		if o, err = m.On(ctx); err == nil {
			return o, nil
		}
	}
	return nil, fmt.Errorf("it was switched off, and not on again: %w", err)
}

// BootOnce has the machine's next start boot b.
func (m *Machine) BootOnce(ctx context.Context, b Boot) (*Outcome, error) {
	if m.blind != "" {
		return nil, Fail(Cannot, "%s", m.blind)
	}
	lost, err := m.write(ctx, func(ctx context.Context) error { return m.dev.BootOnce(ctx, b) })
	if err != nil {
		return nil, err
	}
	err = settle(ctx, m, "the next boot", b, lost, func(ctx context.Context) (Boot, error) {
		var got Boot
		err := m.ask(ctx, true, func(ctx context.Context) (err error) {
			got, err = m.dev.Boot(ctx)
			return err
		})
		return got, err
	})
	if err != nil {
		return nil, err
	}
	return &Outcome{State: Unknown, Boot: b}, nil
}
