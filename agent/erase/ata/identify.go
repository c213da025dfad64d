package ata

import (
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/diskcast/diskcast/internal/plain"
)

// Identity is what of IDENTIFY DEVICE matters to an erase (ACS-4 7.13.6).
type Identity struct {
	Model, Serial, Firmware string
	WWN                     uint64 // 0: none
	Sectors                 uint64 // that a user can address
	SectorSize              int    // bytes
	Rotates                 bool
	Trim                    bool
	Encrypts                bool // all user data is encrypted on the medium
	LBA48                   bool

	Security Security
	Sanitize Sanitize

	HPA, AMAC, DCO bool // the feature sets that may hide sectors
}

// Security is the security feature set (words 82, 89, 90, 128).
type Security struct {
	Supported, Enabled, Locked, Frozen, Expired, Enhanced bool
	// Takes and TakesEnhanced are the disk's guesses of what an erase takes; 0: it says nothing. Longest means "more
	// than it can say".
	Takes, TakesEnhanced time.Duration
}

// Longest is what a disk says whose erase takes longer than it can say.
const Longest = 508 * time.Minute

// Sanitize is the sanitize feature set (word 59).
type Sanitize struct {
	Supported, BlockErase, Overwrite, CryptoScramble bool
}

// maxWord bounds what a disk says of itself, in bytes.
const maxWord = 64

// ParseIdentity parses the 512 bytes of IDENTIFY DEVICE.
func ParseIdentity(b []byte) (*Identity, error) {
	if len(b) != Sector {
		return nil, fmt.Errorf("IDENTIFY DEVICE has %d bytes, not %d", len(b), Sector)
	}
	w := func(n int) uint16 { return binary.LittleEndian.Uint16(b[2*n:]) }
	bit := func(word, n int) bool { return w(word)>>n&1 == 1 }
	switch {
	case w(0)&0x8000 != 0:
		return nil, fmt.Errorf("IDENTIFY DEVICE is not that of an ATA disk (word 0 is %04xh)", w(0))
	case w(255)&0xff == 0xa5 && checksum(b) != 0:
		return nil, fmt.Errorf("IDENTIFY DEVICE is damaged: its checksum is wrong")
	}
	id := &Identity{
		Serial: text(b[20:40]), Firmware: text(b[46:54]), Model: text(b[54:94]),
		// A disk that does not say how fast it rotates, and takes TRIM, is flash of before ACS-2.
		Rotates: w(217) > 1 || w(217) == 0 && !bit(169, 0),
		Trim:    bit(169, 0), Encrypts: bit(69, 4),
	}
	// Words 82 to 84, 119 and 120 count only where their two highest bits are 01.
	valid := w(83)&0xc000 == 0x4000
	id.LBA48 = valid && bit(83, 10)
	id.HPA, id.DCO = valid && bit(82, 10), valid && bit(83, 11)
	id.AMAC = w(119)&0xc000 == 0x4000 && bit(119, 8)
	if w(87)&0xc000 == 0x4000 && bit(87, 8) {
		for n := 108; n < 112; n++ {
			id.WWN = id.WWN<<16 | uint64(w(n))
		}
	}
	quad := func(n int) uint64 { return binary.LittleEndian.Uint64(b[2*n:]) }
	switch {
	case bit(69, 3) && quad(230) > 0:
		id.Sectors = quad(230)
	case id.LBA48:
		id.Sectors = quad(100)
	default:
		id.Sectors = uint64(w(60)) | uint64(w(61))<<16
	}
	id.SectorSize = Sector
	if w(106)&0xd000 == 0x5000 { // valid, and a logical sector is longer than 256 words
		words := uint32(w(117)) | uint32(w(118))<<16
		if words < 256 || words > 32<<10 {
			return nil, fmt.Errorf("IDENTIFY DEVICE says that a sector has %d words", words)
		}
		id.SectorSize = int(words) * 2
	}
	if id.Sectors > 1<<48 {
		return nil, fmt.Errorf("IDENTIFY DEVICE says that the disk has %d sectors", id.Sectors)
	}
	id.Security = Security{
		Supported: valid && bit(82, 1) && bit(128, 0), Enabled: bit(128, 1), Locked: bit(128, 2), Frozen: bit(128, 3),
		Expired: bit(128, 4), Enhanced: bit(128, 5),
		Takes: takes(w(89)), TakesEnhanced: takes(w(90)),
	}
	id.Sanitize = Sanitize{Supported: bit(59, 12), BlockErase: bit(59, 15), Overwrite: bit(59, 14),
		CryptoScramble: bit(59,
			13)}
	return id, nil
}

// takes is the time of words 89 and 90: in units of two minutes, of 8 bits, or of 15 where the highest bit is set.
func takes(w uint16) time.Duration {
	if w&0x8000 != 0 {
		return time.Duration(w&0x7fff) * 2 * time.Minute
	}
	return time.Duration(w&0xff) * 2 * time.Minute
}

func checksum(b []byte) (sum byte) {
	for _, v := range b {
		sum += v
	}
	return sum
}

// text is an ATA string: two characters a word, the first in the high byte.
func text(b []byte) string {
	s := make([]byte, 0, len(b))
	for i := 0; i+1 < len(b); i += 2 {
		s = append(s, b[i+1], b[i])
	}
	return plain.Words(strings.TrimRight(strings.TrimSpace(string(s)), "\x00"), maxWord)
}

// probe bounds a command that moves no data or one sector.
const probe = 15 * time.Second

// Identify asks a disk what it is.
func Identify(p Port) (*Identity, error) {
	data := make([]byte, Sector)
	if _, err := p.Do(&Command{Name: "IDENTIFY DEVICE", Protocol: PIOIn, Count: 1, Command: 0xec, Data: data,
		Timeout: probe}); err != nil {
		return nil, err
	}
	return ParseIdentity(data)
}
