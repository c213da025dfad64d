package nvme

import (
	"encoding/binary"
	"fmt"
)

// Action is a sanitize action (Base 5.24).
type Action uint32

// Actions.
const (
	BlockErase  Action = 2
	Overwrite   Action = 3
	CryptoErase Action = 4
)

// Start begins a sanitize of the whole NVM subsystem; the controller goes on by itself, through power cuts too, and
// refuses reads and writes until it is done. An overwrite fills it with zeros, passes times, 1 to 16. Allow
// Unrestricted Sanitize Exit stays 0: what could not be sanitized gives away nothing until a sanitize was done well.
func Start(c Controller, a Action, passes int) error {
	dw := uint32(a)
	if a == Overwrite {
		if passes < 1 || passes > 16 {
			return fmt.Errorf("a Sanitize of %d overwrite passes: 1 to 16 can be asked for", passes)
		}
		dw |= uint32(passes&0xf) << 4 // 0 means 16
	}
	return c.Do(&Command{Name: "Sanitize", Opcode: sanitize, DW10: dw, Timeout: probe})
}

// Status is the sanitize status log (Base 5.16.1.17).
type Status struct {
	State   State
	Share   float64 // done of the one that runs, 0..1
	Passes  int     // completed, of an overwrite
	Command uint32  // DW10 of the last Sanitize
}

// State of the last sanitize.
type State byte

// States.
const (
	Never              State = 0
	Done               State = 1
	Running            State = 2
	Failed             State = 3
	DoneButDeallocated State = 4 // the host had asked not to deallocate; all is sanitized
	logSanitize              = 0x81
	statusLog                = 512 // bytes
)

// ParseStatus parses the log.
func ParseStatus(b []byte) (Status, error) {
	if len(b) != statusLog {
		return Status{}, fmt.Errorf("the sanitize status log has %d bytes, not %d", len(b), statusLog)
	}
	sstat := binary.LittleEndian.Uint16(b[2:])
	s := Status{State: State(sstat & 7), Passes: int(sstat >> 3 & 0x1f), Command: binary.LittleEndian.Uint32(b[4:])}
	if s.State > DoneButDeallocated {
		return Status{}, fmt.Errorf("the sanitize status log has the unknown state %d", s.State)
	}
	if s.State == Running {
		s.Share = float64(binary.LittleEndian.Uint16(b)) / 65536
	}
	return s, nil
}

// GetStatus reads the log.
func GetStatus(c Controller) (Status, error) {
	b := make([]byte, statusLog)
	dw := uint32(logSanitize) | (statusLog/4-1)<<16
	if err := c.Do(&Command{Name: "Get Log Page, sanitize status", Opcode: getLogPage, NSID: Every, DW10: dw, Data: b,
		Timeout: probe}); err != nil {
		return Status{}, err
	}
	return ParseStatus(b)
}
