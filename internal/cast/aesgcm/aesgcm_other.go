//go:build !amd64 || purego

package aesgcm

import "crypto/cipher"

func accelerate(std cipher.AEAD, _ cipher.Block, _ [KeySize]byte) cipher.AEAD { return std }
