package doc

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/diskcast/diskcast/internal/session"
)

// PowerSet is how a machine's power is reached: PUT /v1/machines/{machine}/power. It takes the place of what was set.
type PowerSet struct {
	V        int      `json:"v"`
	Driver   string   `json:"driver"`             // command, ipmi, redfish, webhook or wol
	Address  string   `json:"address,omitempty"`  // of the BMC, the hook or the relay
	User     string   `json:"user,omitempty"`     // of the BMC
	Password string   `json:"password,omitempty"` // of the BMC; the hook's key. It is sealed, and shown to nobody
	MACs     []string `json:"macs,omitempty"`     // wol: in place of those that the machine boots from
	System   string   `json:"system,omitempty"`   // redfish: which of the BMC's systems
	Command  string   `json:"command,omitempty"`  // command: one of the server owner's
	Template string   `json:"template,omitempty"` // webhook: body of the request
	Pin      string   `json:"pin,omitempty"`      // of the BMC's certificate; empty: the first one seen is kept
}

// Power is how a machine's power is reached, as shown: GET /v1/machines/{machine}/power.
type Power struct {
	Machine  string   `json:"machine"`
	Name     string   `json:"name,omitempty"`
	Driver   string   `json:"driver"`
	Address  string   `json:"address,omitempty"`
	User     string   `json:"user,omitempty"`
	Secret   bool     `json:"secret"`            // a password or key is stored
	Problem  string   `json:"problem,omitempty"` // what keeps it from being used
	MACs     []string `json:"macs,omitempty"`
	System   string   `json:"system,omitempty"`
	Command  string   `json:"command,omitempty"`
	Template string   `json:"template,omitempty"`
	Pin      string   `json:"pin,omitempty"`
	Console  bool     `json:"console"` // its serial console is reached too
	// Warnings are what may be wrong with what was set.
	Warnings []string `json:"warnings,omitempty"`
}

// What can be done to machines' power.
const (
	PowerState    = "state"
	PowerOn       = "on"
	PowerOff      = "off"
	PowerCycle    = "cycle"
	PowerBootOnce = "bootonce"
)

// PowerNone is the word of a spec that has the power of its machines left alone, whatever its profile says.
const PowerNone = "none"

// Bounds of power work.
const (
	MaxPowerMachines = 10000
	MaxPowerAtOnce   = 200
	MaxPowerGap      = 60 // seconds
)

// PowerSpec is work on the power of machines: POST /v1/power.
type PowerSpec struct {
	V        int      `json:"v"`
	Op       string   `json:"op"`                 // state, on, off, cycle or bootonce
	Device   string   `json:"device,omitempty"`   // bootonce: network, disk or setup
	Machines []string `json:"machines,omitempty"` // ids, names or MAC addresses
	On       string   `json:"on,omitempty"`       // a selector: the machines that it fits now
	All      bool     `json:"all,omitempty"`      // all machines whose power is set up
	AtOnce   int      `json:"at_once,omitempty"`  // machines in work together; 0 is 20
	Gap      *float64 `json:"gap,omitempty"`      // seconds between the starts of two; left out: 0.5
}

// Check says what is wrong with the spec.
func (s *PowerSpec) Check() error {
	switch {
	case s.V != session.Version:
		return fmt.Errorf("%w: power has v=%d, this server speaks v=%d", session.ErrVersion, s.V, session.Version)
	case !slices.Contains([]string{PowerState, PowerOn, PowerOff, PowerCycle, PowerBootOnce}, s.Op):
		return fmt.Errorf("power operation %.40q is none of state, on, off, cycle, bootonce", s.Op)
	case (s.Op == PowerBootOnce) != (s.Device != ""):
		return errors.New("a device goes with bootonce, and only with it")
	case s.Device != "" && !slices.Contains([]string{"network", "disk", "setup"}, s.Device):
		return fmt.Errorf("boot device %.40q is none of network, disk, setup", s.Device)
	case !s.one():
		return errors.New("name machines, or give a selector, or say all")
	case len(s.Machines) > MaxPowerMachines:
		return fmt.Errorf("more than %d machines", MaxPowerMachines)
	case s.AtOnce < 0 || s.AtOnce > MaxPowerAtOnce:
		return fmt.Errorf("%d machines at once is not 1 to %d", s.AtOnce, MaxPowerAtOnce)
	case s.Gap != nil && (*s.Gap < 0 || *s.Gap > MaxPowerGap):
		return fmt.Errorf("a gap of %v s is not 0 to %d", *s.Gap, MaxPowerGap)
	}
	return nil
}

// one reports whether the spec says in exactly one way which machines are meant.
func (s *PowerSpec) one() bool {
	n := 0
	for _, said := range []bool{s.All, s.On != "", len(s.Machines) > 0} {
		if said {
			n++
		}
	}
	return n == 1
}

// PowerRun is work on the power of machines, as shown: GET /v1/power/{id}.
type PowerRun struct {
	ID      string     `json:"id"`
	Spec    PowerSpec  `json:"spec"`
	State   string     `json:"state"`  // running, done, failed or cancelled
	Serial  uint64     `json:"serial"` // grows with each change
	Started time.Time  `json:"started"`
	Ended   time.Time  `json:"ended,omitzero"`
	Rows    []PowerRow `json:"rows"` // a row for each machine
}

// Over reports whether the work has ended.
func (r *PowerRun) Over() bool { return Over(r.State) }

// PowerRow is what one machine came to.
type PowerRow struct {
	Machine string `json:"machine"`
	Name    string `json:"name,omitempty"`
	State   string `json:"state"`           // waiting, running, done, failed or cancelled
	Power   string `json:"power,omitempty"` // on, off or unknown, as read back
	Boot    string `json:"boot,omitempty"`  // what the next start boots, as read back
	Blind   bool   `json:"blind,omitempty"` // it was sent, and cannot be read back
	Word    string `json:"word,omitempty"`  // why it failed, in a word for programs
	Words   string `json:"words,omitempty"` // why it failed, or what is to be known of it
}
