package ata

import "fmt"

// Operation is a sanitize operation, by its FEATURE (ACS-4 7.33).
type Operation uint16

// Operations.
const (
	CryptoScramble Operation = 0x0011
	BlockErase     Operation = 0x0012
	Overwrite      Operation = 0x0014
)

func (o Operation) name() string {
	switch o {
	case CryptoScramble:
		return "CRYPTO SCRAMBLE EXT"
	case BlockErase:
		return "BLOCK ERASE EXT"
	}
	return "OVERWRITE EXT"
}

// Keys in the LBA field, without which a disk refuses: "Cryp", "BkEr", "OW".
const (
	keyCrypto    = 0x43727970
	keyBlock     = 0x426b4572
	keyOverwrite = 0x4f57 << 32 // the low half is the pattern
)

// Start begins a sanitize operation; the disk goes on by itself, through power cuts too, and refuses reads and writes
// until it is done. An overwrite fills the disk with zeros, passes times, 1 to 16. FAILURE MODE stays 0: a disk that
// could not do it gives away nothing until one was done well.
func Start(p Port, o Operation, passes int) error {
	c := &Command{Name: o.name(), Protocol: NonData, Extend: true, Feature: uint16(o), Device: 0x40, Command: 0xb4,
		Timeout: probe}
	switch o {
	case CryptoScramble:
		c.LBA = keyCrypto
	case BlockErase:
		c.LBA = keyBlock
	case Overwrite:
		if passes < 1 || passes > 16 {
			return fmt.Errorf("OVERWRITE EXT of %d passes: 1 to 16 can be asked for", passes)
		}
		c.LBA, c.Count = keyOverwrite, uint16(passes&0xf) // 0 means 16
	default:
		return fmt.Errorf("unknown sanitize operation %04xh", uint16(o))
	}
	_, err := p.Do(c)
	return err
}

// Status is where a sanitize operation is (ACS-4 7.33.11).
type Status struct {
	Done    bool // the last one completed without error
	Running bool
	Frozen  bool
	Share   float64 // done of the one that runs, 0..1
}

// GetStatus asks for it. A disk whose last operation failed answers with an *Error.
func GetStatus(p Port) (Status, error) {
	r, err := p.Do(&Command{Name: "SANITIZE STATUS EXT", Protocol: NonData, Extend: true, Device: 0x40, Command: 0xb4,
		Timeout: probe})
	if err != nil {
		return Status{}, err
	}
	return ParseStatus(r), nil
}

// ParseStatus takes the status out of the registers.
func ParseStatus(r Registers) Status {
	s := Status{Done: r.Count>>15&1 == 1, Running: r.Count>>14&1 == 1, Frozen: r.Count>>13&1 == 1}
	if s.Running {
		s.Share = float64(r.LBA&0xffff) / 65536
	}
	return s
}
