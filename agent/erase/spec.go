package erase

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// Methods.
const (
	Discard            = "discard"                // BLKDISCARD
	SecureDiscard      = "secure-discard"         // BLKSECDISCARD
	Zero               = "zero"                   // BLKZEROOUT
	Overwrite          = "overwrite"              // written by the node, random or with a pattern
	ATAErase           = "ata-erase"              // SECURITY ERASE UNIT
	ATAEnhanced        = "ata-erase-enhanced"     // the same, enhanced
	ATAOverwrite       = "ata-sanitize-overwrite" // OVERWRITE EXT
	ATABlockErase      = "ata-sanitize-block"     // BLOCK ERASE EXT
	ATACryptoScramble  = "ata-sanitize-crypto"    // CRYPTO SCRAMBLE EXT
	NVMeFormat         = "nvme-format"            // Format NVM, user data erase
	NVMeFormatCrypto   = "nvme-format-crypto"     // Format NVM, cryptographic erase
	NVMeSanitizeWrite  = "nvme-sanitize-overwrite"
	NVMeSanitizeBlock  = "nvme-sanitize-block"
	NVMeSanitizeCrypto = "nvme-sanitize-crypto"
)

// Scopes of reading back.
const (
	ReadAll    = "all"
	ReadSample = "sample"
	ReadNone   = "none"
)

// Spec is what an erase is asked to do.
type Spec struct {
	Method string `json:"method"`
	// ReadBack is what is read afterwards; empty means sample.
	ReadBack string `json:"read_back,omitempty"`
	// Passes of overwrite and of the sanitize overwrites, 1 to 16; 0 means 1.
	Passes int `json:"passes,omitempty"`
	// Pattern is what overwrite writes, in hex, 1 to 64 bytes that are repeated; empty means random bytes, which a seed
	// in the result makes again.
	Pattern string `json:"pattern,omitempty"`
}

// maxPattern is in bytes.
const maxPattern = 64

// Check says what cannot be meant, and fills in what was left out.
func (s *Spec) Check() error {
	m, err := lookUp(s.Method)
	if err != nil {
		return err
	}
	switch s.ReadBack {
	case "":
		s.ReadBack = ReadSample
	case ReadAll, ReadSample, ReadNone:
	default:
		return fmt.Errorf("erase: read back %q is none of %s, %s, %s", s.ReadBack, ReadAll, ReadSample, ReadNone)
	}
	switch {
	case s.Passes == 0:
		s.Passes = 1
	case s.Passes < 0 || s.Passes > 16:
		return fmt.Errorf("erase: %d passes are not 1 to 16", s.Passes)
	case s.Passes > 1 && !m.passes:
		return fmt.Errorf("erase: the method %s has no passes", s.Method)
	}
	if s.Pattern == "" {
		return nil
	}
	if s.Method != Overwrite {
		return fmt.Errorf("erase: the method %s takes no pattern", s.Method)
	}
	if b, err := hex.DecodeString(s.Pattern); err != nil || len(b) > maxPattern {
		return fmt.Errorf("erase: pattern %q is not hex of 1 to %d bytes", s.Pattern, maxPattern)
	}
	return nil
}

func lookUp(name string) (*method, error) {
	var names []string
	for i := range methods {
		if methods[i].name == name {
			return &methods[i], nil
		}
		names = append(names, methods[i].name)
	}
	return nil, fmt.Errorf("erase: method %q is none of %s", name, strings.Join(names, ", "))
}
