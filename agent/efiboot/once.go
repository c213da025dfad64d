package efiboot

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"

	"github.com/diskcast/diskcast/agent/efivars"
)

// Once has the firmware start the entry that Enter made at the next restart, whatever comes before it in the order: a
// restart then comes to the disk as kexec does, without a server that has to say so. It returns in words what it did,
// empty for nothing. Where it cannot, the order counts, which has the entry.
func (m *Machine) Once() string {
	e := m.entered
	if e == nil || len(e.order) == 0 || e.order[0] == e.number {
		return ""
	}
	b, err := e.vars.Get("BootNext")
	switch {
	case err == nil && len(b) == 2 && binary.LittleEndian.Uint16(b) == e.number:
		return efivars.Name(e.number) + " is what the firmware starts next (BootNext)"
	case err == nil:
		return "BootNext names another entry, and stays"
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Sprintf("BootNext cannot be read (%v), so the boot order counts", err)
	}
	if err := e.set("BootNext", efivars.OrderBytes([]uint16{e.number})); err != nil {
		return fmt.Sprintf("BootNext was not set (%v), so the boot order counts", hint(err))
	}
	return fmt.Sprintf("the firmware starts %s next, before what the boot order has before it (BootNext)",
		efivars.Name(e.number))
}
