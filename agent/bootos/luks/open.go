package luks

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"strings"
)

// ErrPassphrase is wrapped by the error of a passphrase that opens no key slot.
var ErrPassphrase = errors.New("the passphrase opens none of its key slots")

// Volume is the data of an opened volume.
type Volume struct {
	KDF     string // how the key slot that was opened makes its key: "pbkdf2", "argon2id"
	r       io.ReaderAt
	data    segment
	decrypt decrypter
}

// Open tries the passphrase on each key slot, in the order of their numbers, until one opens. It ends when ctx does.
// memory bounds what it uses, in bytes.
func (h *Header) Open(ctx context.Context, r io.ReaderAt, passphrase []byte, memory uint64) (*Volume, error) {
	if len(h.slots) == 0 {
		return nil, errors.New("it has no key slot that may be tried")
	}
	var untried []string
	for _, s := range h.slots {
		key, err := h.unlock(ctx, r, &s, passphrase, memory)
		switch {
		case ctx.Err() != nil:
			return nil, fmt.Errorf("making a key of the passphrase was given up: %w", context.Cause(ctx))
		case err != nil:
			untried = append(untried, fmt.Sprintf("key slot %d was not tried: %v", s.number, err))
		case key != nil:
			decrypt, err := newDecrypter(h.data.cipher, key)
			if err != nil {
				return nil, err
			}
			return &Volume{KDF: s.kdf.kind, r: r, data: h.data, decrypt: decrypt}, nil
		}
	}
	if len(untried) == len(h.slots) {
		return nil, errors.New(strings.Join(untried, "; "))
	}
	if len(untried) > 0 {
		return nil, fmt.Errorf("%w; %s", ErrPassphrase, strings.Join(untried, "; "))
	}
	return nil, ErrPassphrase
}

// unlock returns the volume's key, or nil where the passphrase is not that of the slot.
func (h *Header) unlock(ctx context.Context, r io.ReaderAt, s *slot, passphrase []byte, memory uint64) ([]byte, error) {
	k, err := s.kdf.key(ctx, passphrase, s.areaKey, memory)
	if err != nil {
		return nil, err
	}
	decrypt, err := newDecrypter(s.cipher, k)
	if err != nil {
		return nil, err
	}
	material := make([]byte, (s.key*s.stripes+sector-1)&^(sector-1))
	if int64(len(material)) > s.area.size {
		return nil, errors.New("its key is not inside of it")
	}
	if _, err := r.ReadAt(material, s.area.at); err != nil {
		return nil, err
	}
	for at := 0; at < len(material); at += sector {
		decrypt(material[at:at+sector], uint64(at/sector))
	}
	key, err := merge(material, s.key, s.stripes, s.hash)
	if err != nil {
		return nil, err
	}
	for _, d := range h.digests {
		if d.slots != nil && !d.slots[s.number] {
			continue
		}
		sum, err := d.kdf.key(ctx, key, len(d.sum), memory)
		if err != nil {
			return nil, err
		}
		if subtle.ConstantTimeCompare(sum, d.sum) == 1 {
			return key, nil
		}
	}
	return nil, nil
}

// Size is the number of bytes of the data.
func (v *Volume) Size() int64 { return v.data.size }

// ReadAt reads decrypted data.
func (v *Volume) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("a negative offset")
	}
	if off >= v.data.size {
		return 0, io.EOF
	}
	short := error(nil)
	if rest := v.data.size - off; int64(len(p)) > rest {
		p, short = p[:rest], io.EOF
	}
	unit := int64(v.data.sector)
	first, last := off/unit*unit, (off+int64(len(p))+unit-1)/unit*unit
	buf := p
	if first != off || last != off+int64(len(p)) {
		buf = make([]byte, last-first)
	}
	if n, err := v.r.ReadAt(buf, v.data.at+first); n < len(buf) {
		return 0, fmt.Errorf("an encrypted volume: %w", err)
	}
	for at := int64(0); at < int64(len(buf)); at += unit {
		v.decrypt(buf[at:at+unit], uint64((first+at)/sector)+v.data.tweak)
	}
	if len(buf) != len(p) || first != off {
		copy(p, buf[off-first:])
	}
	return len(p), short
}
