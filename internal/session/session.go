// Package session is the vocabulary that the server and the agent share: what a node says of itself,
// the descriptor that tells it its part in a session, and the events that go back. All of it is
// versioned JSON; docs/node-api.md is its specification.
//
// A reader ignores fields that it does not know and refuses a document whose major version it does not know:
// a field may be added in version 1, a meaning may not be changed in it.
package session

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Version is the version of every document in this package.
const Version = 1

// MaxDocument bounds, in bytes, any document read from the network.
const MaxDocument = 1 << 20

// ErrVersion is wrapped by the error that Decode returns for a document of another version.
var ErrVersion = errors.New("unknown document version")

// Document is a pointer to one of this package's top-level documents.
type Document interface {
	version() int
	// check returns what is wrong with the values of the document, naming the field.
	check() error
}

// Decode reads one document of at most MaxDocument bytes. Unknown fields are ignored; another version,
// trailing data and values out of range are errors.
func Decode(r io.Reader, doc Document) error {
	limited := &io.LimitedReader{R: r, N: MaxDocument + 1}
	dec := json.NewDecoder(limited)
	if err := dec.Decode(doc); err != nil {
		if limited.N <= 0 {
			return fmt.Errorf("document is larger than %d bytes", MaxDocument)
		}
		return fmt.Errorf("document is not valid JSON: %w", err)
	}
	if v := doc.version(); v != Version {
		return fmt.Errorf("%w: got v=%d, this program speaks v=%d", ErrVersion, v, Version)
	}
	if _, err := dec.Token(); err != io.EOF {
		return errors.New("document has data after its end")
	}
	return doc.check()
}
