package lot

import (
	"bytes"
	"crypto/tls"
	"reflect"
	"unsafe"
)

// crypto/tls keeps for each connection the room of the largest record and handshake message that it has read, some 4
// KiB, and has no way to be asked for it back, or whether it has read more than was taken from it. So its fields are
// looked at, where they are what they were in Go 1.26; with another Go no connection is parked.
var (
	rawInput = field("rawInput", reflect.TypeFor[bytes.Buffer]()) // records as they came
	hand     = field("hand", reflect.TypeFor[bytes.Buffer]())     // of the handshake
	input    = field("input", reflect.TypeFor[bytes.Reader]())    // what was decrypted, in the room of rawInput
)

// understood reports whether crypto/tls is the one that is known.
var understood = rawInput.is && hand.is && input.is

// where is a field of tls.Conn.
type where struct {
	is     bool
	offset uintptr
}

func field(name string, is reflect.Type) where {
	f, ok := reflect.TypeFor[tls.Conn]().FieldByName(name)
	return where{ok && f.Type == is, f.Offset}
}

func of[T any](c *tls.Conn, w where) *T { return (*T)(unsafe.Add(unsafe.Pointer(c), w.offset)) }

// pending reports whether something was read from a connection that nobody has taken yet. Nobody reads it meanwhile.
func pending(c *tls.Conn) bool {
	return !understood || of[bytes.Reader](c, input).Len() > 0 || of[bytes.Buffer](c, rawInput).Len() > 0 ||
		of[bytes.Buffer](c, hand).Len() > 0
}

// trim gives back the room that a connection does not need while it is silent. Nobody uses it meanwhile.
func trim(c *tls.Conn) {
	if pending(c) {
		return
	}
	*of[bytes.Reader](c, input) = bytes.Reader{}
	*of[bytes.Buffer](c, rawInput) = bytes.Buffer{}
	*of[bytes.Buffer](c, hand) = bytes.Buffer{}
}
