// Package luks reads what is in a LUKS volume whose passphrase is known. It writes nothing, and needs no driver of the
// kernel's: a Volume is an io.ReaderAt.
//
// The formats are those of the "LUKS1 On-Disk Format Specification" 1.2.3 and of the "LUKS2 On-Disk Format
// Specification" 1.1.3. What GRUB opens of them is read here: AES as XTS or CBC, keys by PBKDF2 or Argon2. Anything
// else is refused in words: a detached header, integrity, a volume that is being encrypted anew.
package luks

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/diskcast/diskcast/internal/volume"
)

const (
	magic       = "LUKS\xba\xbe"
	magicSecond = "SKUL\xba\xbe"
	sector      = 512 // bytes, the unit of initialization vectors and of LUKS1's addresses
)

// Limits of a header, beyond those of the specifications.
const (
	maxSlots    = 32      // LUKS2 allows as many
	maxStripes  = 4000    // what all headers have
	maxKey      = 64      // bytes
	maxMetadata = 4 << 20 // bytes of LUKS2's metadata
	maxSalt     = 128     // bytes
)

// Header is a LUKS header that was understood.
type Header struct {
	Version int
	UUID    string // as it is written there, with dashes
	slots   []slot // in the order of their numbers
	digests []digest
	data    segment
}

// slot is a key slot: the key of the volume, encrypted with a key of a passphrase.
type slot struct {
	number  int
	kdf     kdf
	area    span   // where the encrypted key is
	cipher  string // of the area: "aes-xts-plain64"
	areaKey int    // bytes of the area's key
	key     int    // bytes of the volume's key
	stripes int
	hash    string // of the anti-forensic splitter
}

// digest tells whether a key is the volume's.
type digest struct {
	slots map[int]bool // which slots' keys it is for; nil: all
	kdf   kdf
	sum   []byte
}

// kdf makes a key of a passphrase.
type kdf struct {
	kind       string // "pbkdf2", "argon2i", "argon2id"
	hash       string // of PBKDF2
	iterations uint32 // of PBKDF2; of Argon2 its passes
	memory     uint32 // of Argon2, KiB
	lanes      uint8  // of Argon2
	salt       []byte
}

// segment is where the data are.
type segment struct {
	span
	cipher string
	sector int    // bytes that are encrypted together
	tweak  uint64 // of the first sector's vector
	name   string // in LUKS2's metadata
}

// span is a run of bytes of the volume's device.
type span struct{ at, size int64 }

func (s span) within(size int64) bool {
	return s.at >= 0 && s.size > 0 && s.at <= size && s.size <= size-s.at
}

// Read reads the header of a device of size bytes. The error wraps volume.ErrNotThis for what is no LUKS.
func Read(r io.ReaderAt, size int64) (*Header, error) {
	b := make([]byte, 592) // all of LUKS1, and the part of LUKS2's that says what is behind
	if n, err := r.ReadAt(b, 0); n < len(b) {
		if err == nil || errors.Is(err, io.EOF) {
			err = volume.ErrNotThis
		}
		return nil, fmt.Errorf("no LUKS header: %w", err)
	}
	if string(b[:6]) != magic {
		return nil, fmt.Errorf("no LUKS header: %w", volume.ErrNotThis)
	}
	var h *Header
	var err error
	switch version := binary.BigEndian.Uint16(b[6:]); version {
	case 1:
		h, err = readOne(b, size)
	case 2:
		h, err = readTwo(r, size)
	default:
		err = fmt.Errorf("version %d is not known", version)
	}
	if err == nil {
		err = h.check(size)
	}
	if err != nil {
		return nil, fmt.Errorf("its LUKS header is not read: %w", err)
	}
	return h, nil
}

// Plain is the UUID as GRUB writes it, without dashes.
func (h *Header) Plain() string { return strings.ReplaceAll(h.UUID, "-", "") }

// check holds what was read against the limits.
func (h *Header) check(size int64) error {
	if h.UUID == "" || strings.Trim(h.UUID, "0123456789abcdefABCDEF-") != "" {
		return errors.New("its UUID is none")
	}
	if !h.data.within(size) || h.data.sector < sector || h.data.sector > 4096 ||
		h.data.sector&(h.data.sector-1) != 0 || h.data.size < int64(h.data.sector) {
		return errors.New("its data are not inside of it")
	}
	if len(h.slots) > maxSlots || len(h.digests) > maxSlots {
		return fmt.Errorf("it has %d key slots and %d digests", len(h.slots), len(h.digests))
	}
	for _, s := range h.slots {
		if s.key < 16 || s.key > maxKey || s.areaKey < 16 || s.areaKey > maxKey || s.stripes < 1 ||
			s.stripes > maxStripes || !s.area.within(size) || int64(s.key*s.stripes) > s.area.size {
			return fmt.Errorf("key slot %d is not inside of it, or is too large", s.number)
		}
		if err := s.kdf.check(); err != nil {
			return fmt.Errorf("key slot %d: %w", s.number, err)
		}
	}
	for _, d := range h.digests {
		if len(d.sum) < 16 || len(d.sum) > maxKey || d.kdf.kind != pbkdf2Kind {
			return errors.New("what it tells a right key by is not known")
		}
		if err := d.kdf.check(); err != nil {
			return err
		}
	}
	return nil
}

// text is a field of bytes up to its first zero.
func text(b []byte) string {
	s, _, _ := strings.Cut(string(b), "\x00")
	return s
}
