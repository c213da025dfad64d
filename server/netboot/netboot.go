// Package netboot is the one decision on what a machine boots when it asks the network: DHCP, TFTP and HTTP all go by
// it.
package netboot

// What is what a machine boots. A new one is one line here, one case of Decide and one of each server that has a word
// in it; until a server has it, that server refuses the machine and says so.
type What string

// What there is.
const (
	Agent   What = "agent"    // the kernel and archive of the boot directory
	OwnDisk What = "own disk" // what is on it
	Menu    What = "menu"     // what somebody at the machine chooses, its own disk when nobody does
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
	IdleNever   Idle = "never" // it is no machine of this server any more, for sessions neither
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
}

// Decide says what a machine boots. One that nothing is known of has no facts, and boots the agent.
func Decide(f Facts) What {
	switch {
	case f.Works && !f.Claims: // it comes back into its session, whose disk may be half-written
		return Agent
	case f.Works: // its work is on the disk, by its own word
		return OwnDisk
	case f.Idle == IdleNever:
		return Nothing
	case f.Wanted, f.Spoiled:
		return Agent
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

// Decider says what the machine boots that asks from a NIC. The nil one says Agent of all.
type Decider func(mac string) What

// Of is what the machine of the NIC boots.
func (d Decider) Of(mac string) What {
	if d == nil {
		return Agent
	}
	return d(mac)
}
