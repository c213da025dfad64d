package ata

import (
	"encoding/binary"
	"fmt"
)

// Hidden is how a disk's sectors are kept from its users.
type Hidden struct {
	// Native is the number of sectors up to the native max address; 0: not known.
	Native uint64
	// Factory is the number of sectors that the device configuration overlay says the disk has; 0: not known.
	Factory uint64
	// Unknown says, in words, what could not be found out.
	Unknown []string
}

// HPA is the number of sectors behind the address that was set as the highest.
func (h *Hidden) HPA(id *Identity) uint64 { return above(h.Native, id.Sectors) }

// DCO is the number of sectors that the overlay has cut off.
func (h *Hidden) DCO(id *Identity) uint64 { return above(h.Factory, max(h.Native, id.Sectors)) }

func above(all, seen uint64) uint64 {
	if all <= seen {
		return 0
	}
	return all - seen
}

// FindHidden asks a disk how many sectors it has behind those that it shows.
func FindHidden(p Port, id *Identity) *Hidden {
	h := &Hidden{}
	var err error
	switch {
	case id.AMAC:
		h.Native, err = nativeMax(p, &Command{Name: "GET NATIVE MAX ADDRESS EXT", Extend: true, Command: 0x78})
	case id.HPA && id.LBA48:
		h.Native, err = nativeMax(p,
			&Command{Name: "READ NATIVE MAX ADDRESS EXT", Extend: true, Device: 0x40, Command: 0x27})
	case id.HPA:
		h.Native, err = nativeMax(p, &Command{Name: "READ NATIVE MAX ADDRESS", Device: 0x40, Command: 0xf8})
	}
	if err != nil {
		h.Unknown = append(h.Unknown, fmt.Sprintf("whether a host protected area hides sectors: %v", err))
	}
	if !id.DCO {
		return h
	}
	data := make([]byte, Sector)
	_, err = p.Do(&Command{Name: "DEVICE CONFIGURATION IDENTIFY", Protocol: PIOIn, Feature: 0xc2, Count: 1,
		Command: 0xb1,
		Data:    data, Timeout: probe})
	if err == nil {
		h.Factory, err = ParseDCO(data)
	}
	if err != nil {
		h.Unknown = append(h.Unknown, fmt.Sprintf("whether a device configuration overlay hides sectors: %v", err))
	}
	return h
}

func nativeMax(p Port, c *Command) (sectors uint64, err error) {
	c.Protocol, c.Timeout = NonData, probe
	r, err := p.Do(c)
	if err != nil {
		return 0, err
	}
	last := r.LBA
	if !c.Extend {
		last = last&0xffffff | uint64(r.Device&0xf)<<24
	}
	return last + 1, nil
}

// ParseDCO returns the number of sectors of DEVICE CONFIGURATION IDENTIFY (ATA8-ACS 7.10.3): words 3 to 6 are the
// highest address, word 255 a signature and a checksum.
func ParseDCO(b []byte) (uint64, error) {
	switch {
	case len(b) != Sector:
		return 0, fmt.Errorf("DEVICE CONFIGURATION IDENTIFY has %d bytes, not %d", len(b), Sector)
	case b[510] != 0xa5 || checksum(b) != 0:
		return 0, fmt.Errorf("DEVICE CONFIGURATION IDENTIFY is damaged: its signature or checksum is wrong")
	}
	last := binary.LittleEndian.Uint64(b[6:])
	if last >= 1<<48 {
		return 0, fmt.Errorf("DEVICE CONFIGURATION IDENTIFY says that the highest address is %d", last)
	}
	return last + 1, nil
}
