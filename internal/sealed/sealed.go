// Package sealed keeps secrets at rest: what the server must use again in clear (the password of a BMC, a domain-join
// blob) is encrypted with a key that has a file of its own beside the state, so that a copy of the state alone, in a
// backup or sent to somebody who looks for a fault, tells no secret. It keeps nothing from who can read both files.
//
// A box is AES-256-GCM: one byte of version, 12 bytes of nonce, and the encrypted bytes with their 16-byte tag. What
// the secret is for is authenticated with it, so that a box which was moved to another place is not opened there.
package sealed

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/diskcast/diskcast/internal/private"
)

// KeyFile is the file of the state directory that holds the key: 32 bytes, for its owner only.
const KeyFile = "sealed.key"

const (
	keySize = 32
	version = 1
	head    = 1 + 12 // version and nonce
)

// ErrKey says that a box was not sealed with this key, was made for something else, or is damaged.
var ErrKey = errors.New("the secret does not open with this server's key")

// Key seals and opens. It is safe for several goroutines.
type Key struct{ aead cipher.AEAD }

// Load reads the key from the directory, and makes it where there is none.
func Load(dir string) (*Key, error) {
	path := filepath.Join(dir, KeyFile)
	b, err := private.Once(path, func() ([]byte, error) {
		b := make([]byte, keySize)
		rand.Read(b)
		return b, nil
	})
	if err != nil {
		return nil, fmt.Errorf("key of the server's secrets: %w", err)
	}
	st, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("key of the server's secrets: %w", err)
	}
	if mode := st.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("key of the server's secrets: %s has mode %04o, so others can read it: `chmod 600 %s` "+
			"closes it", path, mode, path)
	}
	if len(b) != keySize {
		return nil, fmt.Errorf("key of the server's secrets: %s has %d bytes in place of %d: bring it back from a "+
			"backup, or move it away and enter all secrets again", path, len(b), keySize)
	}
	return New(b)
}

// New makes a key of 32 bytes.
func New(b []byte) (*Key, error) {
	block, err := aes.NewCipher(b)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	return &Key{aead: aead}, nil
}

// Seal encrypts a secret for a purpose, which is named again to open it.
func (k *Key) Seal(purpose string, secret []byte) []byte {
	box := make([]byte, head, head+len(secret)+k.aead.Overhead())
	box[0] = version
	rand.Read(box[1:head])
	return k.aead.Seal(box, box[1:head], secret, []byte(purpose))
}

// Open gives back what was sealed for the purpose; anything else is ErrKey.
func (k *Key) Open(purpose string, box []byte) ([]byte, error) {
	if len(box) < head || box[0] != version {
		return nil, ErrKey
	}
	secret, err := k.aead.Open(nil, box[1:head], box[head:], []byte(purpose))
	if err != nil {
		return nil, ErrKey
	}
	return secret, nil
}
