// Package erasure is what server and node say to each other of an erase: what is asked for, the descriptor's Job, and
// what came of it, the event's Result.
package erasure

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Action is the descriptor's action.
const Action = "erase"

// StepErased is the event that tells how an erase ended, with the Result; session.StepFailed follows it where it was
// not well.
const StepErased = "erased"

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

// Methods are all of them.
var Methods = []string{
	Discard, SecureDiscard, Zero, Overwrite, ATAErase, ATAEnhanced, ATAOverwrite, ATABlockErase, ATACryptoScramble,
	NVMeFormat, NVMeFormatCrypto, NVMeSanitizeWrite, NVMeSanitizeBlock, NVMeSanitizeCrypto,
}

// Passes reports whether a method can be asked to go over the disk more than once.
func Passes(method string) bool {
	return method == Overwrite || method == ATAOverwrite || method == NVMeSanitizeWrite
}

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
	if !slices.Contains(Methods, s.Method) {
		return fmt.Errorf("erase: method %q is none of %s", s.Method, strings.Join(Methods, ", "))
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
	case s.Passes > 1 && !Passes(s.Method):
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

// maxSpec bounds the descriptor's part that is ours, in bytes.
const maxSpec = 4 << 10

// ParseSpec reads what a descriptor asks for.
func ParseSpec(raw []byte) (Spec, error) {
	if len(raw) > maxSpec {
		return Spec{}, fmt.Errorf("erase: a spec of %d bytes is longer than %d", len(raw), maxSpec)
	}
	var s Spec
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return Spec{}, fmt.Errorf("erase: what is asked for cannot be read: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return Spec{}, fmt.Errorf("erase: something follows what is asked for")
	}
	return s, s.Check()
}
