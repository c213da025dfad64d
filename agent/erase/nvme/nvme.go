// Package nvme is what an erase says to an NVMe controller and what that answers: Identify, Format NVM, Sanitize and
// its log. Numbers are those of the NVM Express Base Specification 2.0 and, for Format NVM and namespaces, of the NVM
// Command Set Specification 1.0.
//
// It opens no device: commands go through a Controller, and every answer is parsed as bytes of a stranger.
package nvme

import (
	"fmt"
	"time"
)

// Page is the size of what Identify returns, in bytes.
const Page = 4096

// Every is the namespace ID that means all of them.
const Every = 0xffffffff

// Command is one command of the admin queue. Data, where there is any, is what the controller returns.
type Command struct {
	Name    string // for messages
	Opcode  byte
	NSID    uint32
	DW10    uint32
	DW11    uint32
	Data    []byte
	Timeout time.Duration
}

// Controller carries commands to an NVMe controller.
type Controller interface {
	// Do runs a command. A controller that refuses it answers with an *Error.
	Do(c *Command) error
}

// Error is a controller's refusal.
type Error struct {
	Command string
	Status  uint16 // status code and type, as the completion has them
}

func (e *Error) Error() string {
	words := map[uint16]string{
		0x001: "it does not know the command", 0x002: "it does not take the command's fields",
		0x00b: "no such namespace or format",
		0x01c: "the last sanitize failed", 0x01d: "a sanitize is running", 0x10a: "it does not take the format",
		0x021: "the namespace is write protected",
	}[e.Status&0x7ff]
	if words == "" {
		words = "it gives no reason that is known here"
	}
	return fmt.Sprintf("%s was refused by the controller (status %03xh: %s)", e.Command, e.Status&0x7ff, words)
}

// probe bounds a command that only asks.
const probe = 15 * time.Second

// Opcodes of the admin queue.
const (
	getLogPage = 0x02
	identify   = 0x06
	formatNVM  = 0x80
	sanitize   = 0x84
)
