package luks

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"

	"golang.org/x/crypto/xts"
)

// decrypter decrypts the bytes of a sector in place; n is its number in units of 512 bytes, whatever its size, as the
// device mapper counts them.
type decrypter func(b []byte, n uint64)

// newDecrypter makes one of a cipher as dm-crypt writes it: aes-xts-plain64.
func newDecrypter(name string, key []byte) (decrypter, error) {
	switch name {
	case "aes-xts-plain64", "aes-xts-plain":
		c, err := xts.NewCipher(aes.NewCipher, key)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return func(b []byte, n uint64) { c.Decrypt(b, b, vector(name, n)) }, nil
	case "aes-cbc-plain64", "aes-cbc-plain":
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return func(b []byte, n uint64) {
			var iv [aes.BlockSize]byte
			binary.LittleEndian.PutUint64(iv[:], vector(name, n))
			cipher.NewCBCDecrypter(block, iv[:]).CryptBlocks(b, b)
		}, nil
	case "aes-cbc-essiv:sha256":
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		salt := sha256.Sum256(key)
		essiv, err := aes.NewCipher(salt[:])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return func(b []byte, n uint64) {
			var iv [aes.BlockSize]byte
			binary.LittleEndian.PutUint64(iv[:], n)
			essiv.Encrypt(iv[:], iv[:])
			cipher.NewCBCDecrypter(block, iv[:]).CryptBlocks(b, b)
		}, nil
	}
	return nil, fmt.Errorf("the cipher %.40q is not known here", name)
}

// vector is a sector's number as the mode has it: "plain" keeps 32 bits of it.
func vector(mode string, n uint64) uint64 {
	if mode == "aes-xts-plain" || mode == "aes-cbc-plain" {
		return n & math.MaxUint32
	}
	return n
}
