package luks

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"

	"golang.org/x/crypto/argon2"
)

const pbkdf2Kind = "pbkdf2"

// Limits of Argon2, whose work cannot be ended before its time. cryptsetup's largest are 4 passes or more over 1 GiB.
const (
	maxPasses = 64
	maxWork   = 32 << 20 // KiB, passes times memory
	maxLanes  = 64
)

func (k *kdf) check() error {
	if len(k.salt) == 0 || len(k.salt) > maxSalt || k.iterations == 0 {
		return errors.New("how a key is made of the passphrase is not understood")
	}
	switch k.kind {
	case pbkdf2Kind:
		_, err := hashOf(k.hash)
		return err
	case "argon2i", "argon2id":
		if k.memory == 0 || k.lanes == 0 || k.lanes > maxLanes || k.iterations > maxPasses ||
			uint64(k.iterations)*uint64(k.memory) > maxWork {
			return fmt.Errorf("%s with %d passes over %d KiB is more than is done here", k.kind, k.iterations, k.memory)
		}
		return nil
	}
	return fmt.Errorf("keys by %.20q are not made here", k.kind)
}

// ErrMemory is wrapped where a key slot needs more memory than there is.
var ErrMemory = errors.New("its key slot needs more memory than there is")

// key makes a key of size bytes. It ends early when ctx does. memory bounds what Argon2 may use, in bytes.
func (k *kdf) key(ctx context.Context, passphrase []byte, size int, memory uint64) ([]byte, error) {
	if k.kind == pbkdf2Kind {
		return k.pbkdf2(ctx, passphrase, size)
	}
	if need := uint64(k.memory) << 10; need > memory {
		return nil, fmt.Errorf("%w: %s over %d MiB, and %d MiB may be used", ErrMemory, k.kind, need>>20, memory>>20)
	}
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	make := argon2.IDKey
	if k.kind == "argon2i" {
		make = argon2.Key
	}
	return make(passphrase, k.salt, k.iterations, k.memory, k.lanes, uint32(size)), nil
}

// pbkdf2 is RFC 8018, 5.2. That of the standard library cannot be ended, and a header may ask for hours.
func (k *kdf) pbkdf2(ctx context.Context, passphrase []byte, size int) ([]byte, error) {
	newHash, err := hashOf(k.hash)
	if err != nil {
		return nil, err
	}
	prf := hmac.New(newHash, passphrase)
	var out []byte
	for block := uint32(1); len(out) < size; block++ {
		prf.Reset()
		prf.Write(k.salt)
		prf.Write(binary.BigEndian.AppendUint32(nil, block))
		u := prf.Sum(nil)
		t := append([]byte(nil), u...)
		for i := uint32(1); i < k.iterations; i++ {
			if i&0xfff == 0 && ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			prf.Reset()
			prf.Write(u)
			u = prf.Sum(u[:0])
			for j := range t {
				t[j] ^= u[j]
			}
		}
		out = append(out, t...)
	}
	return out[:size], nil
}

// hashOf is a hash by its name.
func hashOf(name string) (func() hash.Hash, error) {
	switch name {
	case "sha1":
		return sha1.New, nil
	case "sha256":
		return sha256.New, nil
	case "sha512":
		return sha512.New, nil
	}
	return nil, fmt.Errorf("the hash %.20q is not known here", name)
}

// merge takes stripes that were split apart together again (LUKS1 specification, 2.4).
func merge(material []byte, size, stripes int, hashName string) ([]byte, error) {
	newHash, err := hashOf(hashName)
	if err != nil {
		return nil, err
	}
	d := make([]byte, size)
	for i := range stripes {
		for j, b := range material[i*size : (i+1)*size] {
			d[j] ^= b
		}
		if i == stripes-1 {
			return d, nil
		}
		h := newHash()
		for at, n := 0, uint32(0); at < size; at, n = at+h.Size(), n+1 {
			end := min(at+h.Size(), size)
			h.Reset()
			h.Write(binary.BigEndian.AppendUint32(nil, n))
			h.Write(d[at:end])
			copy(d[at:end], h.Sum(nil))
		}
	}
	return d, nil
}
