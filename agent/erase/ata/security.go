package ata

import (
	"encoding/binary"
	"time"
)

// Password is the user password that a disk has while it erases itself, in ASCII, the rest of the 32 bytes zero. A disk
// that loses power meanwhile stays locked with it: a known one lets the erase be run again, by us or by hand.
const Password = "diskcast"

// SetPassword locks the disk with Password from its next power-on, which is the condition for an erase (ACS-4 7.37).
func SetPassword(p Port) error {
	_, err := p.Do(security("SECURITY SET PASSWORD", 0xf1, 0, probe))
	return err
}

// Disable takes Password away again (ACS-4 7.32). The disk must not be locked.
func Disable(p Port) error {
	_, err := p.Do(security("SECURITY DISABLE PASSWORD", 0xf6, 0, probe))
	return err
}

// EraseUnit has a disk whose password is Password erase itself, locked or not, and returns when it is done. It takes
// hours.
func EraseUnit(p Port, enhanced bool, timeout time.Duration) error {
	if _, err := p.Do(&Command{Name: "SECURITY ERASE PREPARE", Protocol: NonData, Command: 0xf3,
		Timeout: probe}); err != nil {
		return err
	}
	var control uint16
	if enhanced {
		control = 1 << 1
	}
	_, err := p.Do(security("SECURITY ERASE UNIT", 0xf4, control, timeout))
	return err
}

// security is a command whose data is a control word, the user password, and zeros.
func security(name string, command byte, control uint16, timeout time.Duration) *Command {
	data := make([]byte, Sector)
	binary.LittleEndian.PutUint16(data, control)
	copy(data[2:34], Password)
	return &Command{Name: name, Protocol: PIOOut, Count: 1, Command: command, Data: data, Timeout: timeout}
}
