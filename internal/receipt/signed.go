package receipt

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/diskcast/diskcast/internal/plain"
)

// Signed is a receipt with its envelope's state.
type Signed struct {
	*Receipt
	Key    string   // pin of the trusted key whose signature was verified; empty when none was
	Claims []string // other keys that the envelope names; nobody verified that they signed
	Bad    string   // why the signature does not hold; empty when it does
}

// Look verifies the envelope against the pin and returns its document with what came of that. Only a document that
// cannot be read is an error.
func (e *Envelope) Look(pin string) (Signed, error) {
	var s Signed
	r, err := e.Verify(pin)
	switch {
	case errors.Is(err, ErrSignature):
		s.Bad = err.Error()
		if r, err = e.Unverified(); err != nil {
			return Signed{}, err
		}
	case err != nil:
		return Signed{}, err
	default:
		s.Key = pin
	}
	s.Receipt, s.Claims = r, e.claims(s.Key)
	return s, nil
}

// LookAll reads and looks at many envelopes. The first that is no receipt is an error.
func LookAll(raw []json.RawMessage, pin string) ([]Signed, error) {
	all := make([]Signed, len(raw))
	for i, b := range raw {
		env, err := Parse(bytes.NewReader(b))
		if err == nil {
			all[i], err = env.Look(pin)
		}
		if err != nil {
			return nil, fmt.Errorf("receipt %d of %d: %w", i+1, len(raw), err)
		}
	}
	return all, nil
}

// claims are the names and the pins of the envelope's keys, apart from the one that was verified.
func (e *Envelope) claims(verified string) []string {
	var names []string
	for _, sig := range e.Signatures {
		for _, name := range []string{plain.Line(sig.KeyID, maxKeyName), Pin(sig.PublicKey)} {
			if !plain.Blank(name) && name != verified && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// Signer is the pin of the first key in the envelope whose signature holds. It may be anybody's: what it signed was not
// changed since, and that is all.
func (e *Envelope) Signer() (string, error) {
	var first error
	for i := range e.Signatures {
		err := e.holds(i)
		if err == nil {
			return Pin(e.Signatures[i].PublicKey), nil
		}
		if first == nil {
			first = err
		}
	}
	return "", first
}

// Plain is a copy of the receipt whose strings are single printable lines: what is shown to people.
func (r *Receipt) Plain() *Receipt {
	c := *r
	c.Left, c.Machine.MACs = slices.Clone(r.Left), slices.Clone(r.Machine.MACs)
	plain.Strings(&c, 0)
	return &c
}
