// Package rescue is what server and node say to each other of a rescue: whom the node lets in and for how long, the
// descriptor's Job, and where its shell is to be reached, the event's Result.
package rescue

import (
	"bytes"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/diskcast/diskcast/internal/plain"
)

// Action is the descriptor's action.
const Action = "rescue"

// Steps of a rescue.
const (
	StepOpen   = "open"   // the shell is there; with the Result
	StepLogin  = "login"  // somebody came in by SSH, or asked for a program
	StepClosed = "closed" // it ended by itself; Message says why
)

// Bounds on what is asked for.
const (
	maxSpec = 64 << 10 // bytes
	maxKeys = 64
	MaxTime = 7 * 24 * time.Hour
	// DefaultTime is how long a rescue lasts that does not say.
	DefaultTime = 4 * time.Hour
	minRSA      = 2048 // bits
)

// Spec is what a rescue is asked to be.
type Spec struct {
	// Keys are lines of an authorized_keys file without options, in their one form. Without any there is a shell on the
	// console only.
	Keys []string `json:"keys,omitempty"`
	// Seconds from each start of the shell until it is closed; 0 means DefaultTime.
	Seconds int64 `json:"seconds,omitempty"`
}

// Time is how long the shell is open.
func (s *Spec) Time() time.Duration { return time.Duration(s.Seconds) * time.Second }

// Check says what cannot be meant, fills in what was left out, and brings the keys into their one form.
func (s *Spec) Check() error {
	if len(s.Keys) > maxKeys {
		return fmt.Errorf("rescue: %d keys are more than %d", len(s.Keys), maxKeys)
	}
	for i, line := range s.Keys {
		k, err := ParseKey(line)
		if err != nil {
			return fmt.Errorf("rescue: key %d: %w", i+1, err)
		}
		s.Keys[i] = k.Line()
	}
	if s.Seconds == 0 {
		s.Seconds = int64(DefaultTime / time.Second)
	}
	if most := int64(MaxTime / time.Second); s.Seconds < 60 || s.Seconds > most {
		return fmt.Errorf("rescue: %d seconds are not 60 to %d", s.Seconds, most)
	}
	return nil
}

// ParseSpec reads what a descriptor asks for.
func ParseSpec(raw []byte) (Spec, error) {
	if len(raw) > maxSpec {
		return Spec{}, fmt.Errorf("rescue: a spec of %d bytes is longer than %d", len(raw), maxSpec)
	}
	var s Spec
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return Spec{}, fmt.Errorf("rescue: what is asked for cannot be read: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return Spec{}, errors.New("rescue: something follows what is asked for")
	}
	return s, s.Check()
}

// Key is a public key that may come in.
type Key struct {
	ssh.PublicKey
	Comment string
}

// Line is the key as authorized_keys has it.
func (k *Key) Line() string {
	return strings.TrimSpace(strings.TrimSpace(string(ssh.MarshalAuthorizedKey(k.PublicKey))) + " " + k.Comment)
}

// Words name the key in a log.
func (k *Key) Words() string {
	return strings.TrimSpace(ssh.FingerprintSHA256(k.PublicKey) + " " + k.Comment)
}

// maxComment is in bytes.
const maxComment = 100

// ParseKey reads a line of an authorized_keys file, or of a .pub file. Options are refused: they are not obeyed.
func ParseKey(line string) (*Key, error) {
	if strings.Contains(line, "PRIVATE KEY") {
		return nil, errors.New("this is a private key, which nobody else must have: give the file with .pub")
	}
	pub, comment, options, rest, err := ssh.ParseAuthorizedKey([]byte(line))
	switch {
	case err != nil:
		return nil, errors.New("this is no public key as ssh-keygen writes it into a .pub file")
	case len(options) > 0:
		return nil, fmt.Errorf("it has the option %.40q, and options are not obeyed: leave them away", options[0])
	case len(bytes.TrimSpace(rest)) > 0:
		return nil, errors.New("it has more than one line")
	}
	switch pub.Type() {
	case ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521, ssh.KeyAlgoSKED25519,
		ssh.KeyAlgoSKECDSA256:
	case ssh.KeyAlgoRSA:
		c, ok := pub.(ssh.CryptoPublicKey)
		if !ok {
			return nil, errors.New("its numbers cannot be read")
		}
		if r, ok := c.CryptoPublicKey().(*rsa.PublicKey); !ok || r.N.BitLen() < minRSA {
			return nil, fmt.Errorf("an RSA key of less than %d bits lets too many in: make another one with "+
				"`ssh-keygen -t ed25519`", minRSA)
		}
	default:
		return nil, fmt.Errorf("a key of the type %s is not taken: make another one with `ssh-keygen -t ed25519`",
			pub.Type())
	}
	return &Key{pub, plain.Line(strings.TrimSpace(comment), maxComment)}, nil
}
