//go:build !purego

package aesgcm

import (
	"encoding/hex"
	"testing"
)

// TestExpand checks the last round key of FIPS 197, appendix A.1.
func TestExpand(t *testing.T) {
	if !supported {
		t.Skip("this processor has no VAES: crypto/cipher does all")
	}
	key, _ := hex.DecodeString("2b7e151628aed2a6abf7158809cf4f3c")
	var round [11][32]byte
	expand(&round, (*[KeySize]byte)(key))
	if got, want := hex.EncodeToString(round[10][:]), "d014f9a8c9ee2589e13f0cc8b6630ca6"; got != want+want {
		t.Errorf("last round key %s, want %s twice", got, want)
	}
}
