// Package power switches machines on and off and tells their firmware what to boot next: by a BMC (IPMI, Redfish), a
// magic packet, a web hook or a command of the server's owner, a folder for each beside this file; drivers lists them.
//
// Nothing is believed. BMCs answer 200 and do nothing, take a setting and drop it, or show a state of a minute ago. So
// a Machine reads back whatever it wrote until it is so, and stays so, or until a limit has passed; each way in which
// it is not so has a Word. A BMC gets one request at a time and a pause between two (Gate).
package power

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
)

// State is whether a machine has power.
type State string

// States.
const (
	On      State = "on"
	Off     State = "off"
	Unknown State = "unknown" // nobody can be asked
)

// Boot is what a machine's firmware boots next.
type Boot string

// What can be booted once. Default is what the firmware's own settings say.
const (
	Network Boot = "network"
	Disk    Boot = "disk"
	Setup   Boot = "setup"
	Default Boot = "default"
)

// Boots lists what may be asked for.
var Boots = []Boot{Network, Disk, Setup}

// Config is how one machine's power is reached.
type Config struct {
	Driver   string
	Machine  string   // id, for those who are told which machine is meant
	Address  string   // of the BMC, the hook or the relay
	User     string   // of the BMC
	Password string   // of the BMC; the hook's key
	MACs     []string // that a magic packet wakes
	System   string   // which of a BMC's systems
	Command  string   // a name in the owner's file of commands
	Template string   // body of the hook's request
	Pin      string   // of the BMC's certificate; empty: the first one seen is kept
}

// Host is what a driver is lent by who opens it.
type Host struct {
	*Gate
	// Take has a console end somebody else's at the BMC.
	Take bool
	// Keep stores the pin of the certificate that was seen first. It is called before any secret is sent.
	Keep func(ctx context.Context, pin string) error
	// Broadcast is the broadcast address of the network that the server's machines are on.
	Broadcast string
	// Commands are the owner's commands by name.
	Commands map[string][]string
}

// Device is a driver at work on one machine. Each method is one request and its answer, which proves nothing. Methods
// call Host.Next before every message to the machine, and return an *Error.
type Device interface {
	State(ctx context.Context) (State, error)
	On(ctx context.Context) error
	Off(ctx context.Context) error
	// BootOnce has the next start, and no other, boot b; Boot reads what is set.
	BootOnce(ctx context.Context, b Boot) error
	Boot(ctx context.Context) (Boot, error)
	// Close ends the connection.
	Close()
}

// Driver is one way to reach a machine's power.
type Driver struct {
	Name  string
	Needs string // what it is set up with, for people
	// Blind says why its writes cannot be read back; empty when they can.
	Blind string
	// Check says what is wrong with a configuration.
	Check func(*Config) error
	Open  func(c *Config, h *Host) (Device, error)
	// Console is the machine's serial console: what is read from in is typed, what it prints is written to out. It ends
	// with ctx, or with an error; opened is called when it is there. nil: the driver has none.
	Console func(ctx context.Context, c *Config, h *Host, in io.Reader, out io.Writer, opened func()) error
}

// ErrConsoleEnds is what in of a console returns when whoever types leaves.
var ErrConsoleEnds = errors.New("whoever typed has left")

// Drivers are all drivers of a server.
type Drivers []*Driver

// Of finds a driver by name.
func (d Drivers) Of(name string) (*Driver, error) {
	var names []string
	for _, x := range d {
		if x.Name == name {
			return x, nil
		}
		names = append(names, x.Name)
	}
	return nil, fmt.Errorf("there is no power driver %.40q; there are %s", name, strings.Join(names, ", "))
}

// Word says in which way something that was asked for is not so.
type Word string

// Words.
const (
	Refused   Word = "refused"
	Nothing   Word = "accepted and nothing happened"
	Reverted  Word = "reverted"
	Silent    Word = "does not answer"
	Password  Word = "wrong password"
	Frozen    Word = "frozen"
	Odd       Word = "no answer that can be read"
	Stranger  Word = "another certificate"
	Cannot    Word = "cannot do this"
	Cancelled Word = "cancelled"
	Fault     Word = "fault of the server"
)

// Error is why something that was asked for is not so.
type Error struct {
	Word Word
	Err  error // the cause and the next step
	busy bool  // it may be asked again in a while
}

func (e *Error) Error() string { return string(e.Word) + ": " + e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

// Fail makes an *Error.
func Fail(w Word, format string, args ...any) *Error {
	return &Error{Word: w, Err: fmt.Errorf(format, args...)}
}

// Busy makes an *Error of a machine that says it is busy: it is asked again, a few times.
func Busy(format string, args ...any) *Error {
	return &Error{Word: Frozen, Err: fmt.Errorf(format, args...), busy: true}
}

// WordOf is the word of an error, Fault for one that has none.
func WordOf(err error) Word {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e.Word
	case errors.Is(err, context.Canceled):
		return Cancelled
	}
	return Fault
}
