// Package netboot is the one decision on what a machine boots when it asks the network: DHCP, TFTP and HTTP all go by
// it.
package netboot

import (
	"regexp"
	"strings"
)

// What is what a machine boots. A new one is one line here, one case of Decide and one of each server that has a word
// in it; until a server has it, that server refuses the machine and says so.
type What string

// What there is.
const (
	Agent   What = "agent"    // the kernel and archive of the boot directory
	OwnDisk What = "own disk" // what is on it
	Menu    What = "menu"     // what somebody at the machine chooses, its own disk when nobody does
	Memtest What = "memtest"  // a test of its memory
	Nothing What = "nothing"  // its requests are not answered
)

// Idle is what the operator wants of a machine when nothing is asked of it.
type Idle string

// Ways to be idle.
const (
	IdleDefault Idle = ""         // its own disk where a session gave it an image, else it waits in the agent
	IdleOwnDisk Idle = "own-disk" // always
	IdleWait    Idle = "wait"     // in the agent
	IdleMenu    Idle = "menu"
	// IdleNever: it is no machine of this server any more, for sessions neither, once its disk may be started.
	IdleNever Idle = "never"
)

// Facts are what the decision is made by.
type Facts struct {
	Works  bool // the machine has a part in a session, which is not over
	Claims bool // it has said that the part is done, which does not count yet
	Wanted bool // a session that is not over would take it
	Imaged bool // its disk has what its last session gave it
	// Spoiled says that its last session ended while its disk was written: what is on it is nobody's system.
	Spoiled bool
	Idle    Idle
	// Chosen is what somebody at the machine chose for this start of it, OwnDisk or Memtest; empty for nothing.
	Chosen What
}

// Decide says what a machine boots. One that nothing is known of has no facts, and boots the agent.
func Decide(f Facts) What {
	switch {
	case f.Works && !f.Claims: // it comes back into its session, whose disk may be half-written
		return Agent
	case f.Works: // its work is on the disk, by its own word
		return OwnDisk
	case f.Idle == IdleNever && !f.Spoiled: // unanswered, its firmware would start the disk
		return Nothing
	case f.Wanted:
		return Agent
	case f.Chosen == Memtest: // which touches no disk
		return Memtest
	case f.Spoiled:
		return Agent
	case f.Chosen == OwnDisk:
		return OwnDisk
	}
	switch f.Idle {
	case IdleWait:
		return Agent
	case IdleOwnDisk:
		return OwnDisk
	case IdleMenu:
		return Menu
	}
	if f.Imaged {
		return OwnDisk
	}
	return Agent
}

// Choices are what a loader's menu says beside the machine's own disk.
type Choices struct {
	Seconds int    // that somebody is waited for
	Agent   string // what the way to the agent is called
	Memtest bool   // the test of its memory is offered, where the boot directory has it
}

// DefaultChoices are those of a machine for which the operator wrote no menu down.
func DefaultChoices() Choices {
	return Choices{Seconds: 15, Agent: "Wait for a session", Memtest: true}
}

// Chooser says what the menu of the machine has that asks from a NIC. The nil one has DefaultChoices for all.
type Chooser func(mac string) Choices

// Of is what the menu of the machine of the NIC has.
func (c Chooser) Of(mac string) Choices {
	if c == nil {
		return DefaultChoices()
	}
	return c(mac)
}

// Decider says what the machine boots that asks from a NIC. The nil one says Agent of all.
type Decider func(mac string) What

// Of is what the machine of the NIC boots.
func (d Decider) Of(mac string) What {
	if d == nil {
		return Agent
	}
	return d(mac)
}

// Start is what a machine's firmware starts from its own disk, as far as that is known: the zero value knows nothing.
type Start struct {
	// Partition is the GUID of the partition (of a DOS table: the disk's signature and the number) and File the program
	// on it, with slashes.
	Partition, File string
	// Firmware says why nothing but the firmware itself may start the disk; empty where GRUB may.
	Firmware string
	// AfterPXE and AfterHTTP say that the firmware goes on with this disk at once where that way into the network ends
	// without a loader; else it may try others before.
	AfterPXE, AfterHTTP bool
}

// nameable is what a name in Start may be made of: it is written into GRUB's configuration.
var nameable = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+/-]{0,254}$`)

// Sound returns the start if a boot loader can be told of it as it is, else one that is left to the firmware.
func (s Start) Sound() Start {
	if s.Firmware != "" || s.File == "" && s.Partition == "" {
		return s
	}
	if !nameable.MatchString(s.Partition) || !nameable.MatchString(s.File) || strings.Contains(s.File, "..") {
		return Start{Firmware: "its boot entry names a file with characters that are not handed on"}
	}
	return s
}

// Starter says what the machine's firmware starts that asks from a NIC. The nil one knows nothing of any.
type Starter func(mac string) Start

// Of is what the firmware of the NIC's machine starts.
func (f Starter) Of(mac string) Start {
	if f == nil {
		return Start{}
	}
	return f(mac).Sound()
}
