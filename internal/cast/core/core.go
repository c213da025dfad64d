// Package core is the cast protocol as a pair of state machines, Sender and Receiver. It owns no socket, goroutine or
// clock: whoever drives it passes the time in and carries control messages, as bytes, between the two. Data packets are
// named by (sequence number, block, index); their bytes never enter this package, which is how one process can simulate
// ten thousand receivers.
package core

// Phase is what a receiver is at.
type Phase int

// Phases of a receiver.
const (
	Waiting Phase = iota
	Receiving
	Silent
	Unicast
	Complete
)

func (p Phase) String() string {
	return [...]string{"waiting", "receiving", "silent", "unicast", "complete"}[p]
}
