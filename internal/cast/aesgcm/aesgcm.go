// Package aesgcm is AES-128-GCM (NIST SP 800-38D) as crypto/cipher has it, made faster for the packets of a cast.
//
// Encryption is the largest part of a cast's CPU time. On processors with VAES and VPCLMULQDQ (AMD since Zen 3, Intel
// since Ice Lake), which work on two blocks at once, packets whose length is a multiple of 128 bytes take this
// package's own way: the default payload of 1408 bytes then takes half the time of crypto/cipher. All other lengths,
// and all other processors, take crypto/cipher itself; what comes out is the same.
package aesgcm

import (
	"crypto/aes"
	"crypto/cipher"
)

// Sizes in bytes.
const (
	KeySize   = 16
	NonceSize = 12
	TagSize   = 16
)

// New returns an AEAD with 12-byte nonces and 16-byte tags for a key of 16 bytes.
func New(key [KeySize]byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	std, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	return accelerate(std, block, key), nil
}
