// Package ata is what an erase says to an ATA disk and what the disk answers: IDENTIFY DEVICE, the security and the
// sanitize feature sets, and the sectors that a disk hides (HPA, accessible max address, DCO). Numbers are those of
// ACS-4 (T13/BSR INCITS 529); HPA and DCO are of ATA8-ACS, which later editions made obsolete and disks still have.
//
// It opens no device: commands go through a Port, and every answer is parsed as bytes of a stranger.
package ata

import (
	"fmt"
	"time"
)

// Sector is the size of what a data command here moves, in bytes: a page of IDENTIFY, a password.
const Sector = 512

// Protocol is how a command moves data.
type Protocol byte

// Protocols, by the numbers of SAT-4 12.2.2.2.
const (
	NonData Protocol = 3
	PIOIn   Protocol = 4
	PIOOut  Protocol = 5
)

// Command is one ATA command.
type Command struct {
	Name     string // for messages
	Protocol Protocol
	Extend   bool // a 48-bit command: Feature, Count and LBA have both halves
	Feature  uint16
	Count    uint16
	LBA      uint64
	Device   byte
	Command  byte
	Data     []byte // one sector, in or out; nil for NonData
	Timeout  time.Duration
}

// Registers are what a command leaves in the disk's registers.
type Registers struct {
	Status, Error, Device byte
	Count                 uint16
	LBA                   uint64
}

// Port carries commands to a disk.
type Port interface {
	// Do runs a command. A disk that refuses it answers with an *Error.
	Do(c *Command) (Registers, error)
}

// Bits of the status and error registers.
const (
	statusError  = 0x01 // ERR
	statusFault  = 0x20 // DF
	errorAborted = 0x04 // ABRT
)

// Failed reports whether the registers are those of a command that failed.
func (r *Registers) Failed() bool { return r.Status&(statusError|statusFault) != 0 }

// Error is a disk's refusal.
type Error struct {
	Command string
	Regs    Registers
}

func (e *Error) Error() string {
	what := "failed"
	if e.Regs.Error&errorAborted != 0 {
		what = "was refused"
	}
	return fmt.Sprintf("%s %s by the disk (status %02xh, error %02xh)", e.Command, what, e.Regs.Status, e.Regs.Error)
}

// CDB is the command as ATA PASS-THROUGH (16) (SAT-4 12.2.2). The disk's registers are asked for where they are the
// answer: of a data command they can be those of a moment before its end, when DRQ is still set, and libata takes that
// for a failure.
func (c *Command) CDB() [16]byte {
	const (
		opcode    = 0x85
		checkCond = 1 << 5 // return the registers
		toHost    = 1 << 3
		inBlocks  = 1 << 2 // the length is in sectors,
		inCount   = 2      // in the count field
	)
	var cdb [16]byte
	cdb[0] = opcode
	cdb[1] = byte(c.Protocol) << 1
	if c.Extend {
		cdb[1] |= 1
	}
	switch c.Protocol {
	case NonData:
		cdb[2] = checkCond
	case PIOIn:
		cdb[2] = toHost | inBlocks | inCount
	case PIOOut:
		cdb[2] = inBlocks | inCount
	}
	cdb[3], cdb[4] = byte(c.Feature>>8), byte(c.Feature)
	cdb[5], cdb[6] = byte(c.Count>>8), byte(c.Count)
	cdb[7], cdb[8] = byte(c.LBA>>24), byte(c.LBA)
	cdb[9], cdb[10] = byte(c.LBA>>32), byte(c.LBA>>8)
	cdb[11], cdb[12] = byte(c.LBA>>40), byte(c.LBA>>16)
	cdb[13], cdb[14] = c.Device, c.Command
	return cdb
}
