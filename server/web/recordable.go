package web

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"reflect"
	"strings"
	"sync"

	"github.com/diskcast/diskcast/server/doc"
)

// maxState bounds, in bytes, what an entry of the record has of one document.
const maxState = 32 << 10

// leftOut stands where something is not recorded.
const leftOut = "(left out)"

func quoted(s string) json.RawMessage {
	b, err := json.Marshal(s)
	if err != nil {
		return nil // a string has JSON
	}
	return b
}

// secret are names of fields whose values are not recorded, however they came.
var secret = map[string]bool{"personalize": true, "password": true, "secret": true, "token": true, "box": true}

// anyNamed are names of fields whose members have any names.
var anyNamed = map[string]bool{"labels": true}

// known are the names of fields of documents that operators send, and of queries. A name that is none, such as one that
// was mistyped, may stand before a secret.
var known = sync.OnceValue(func() map[string]bool {
	names := map[string]bool{}
	for _, doc := range []any{doc.Spec{}, doc.SessionChange{}, doc.RepeatSpec{}, doc.MachinesChange{}, doc.LabChange{},
		doc.ConsoleOpen{}, doc.MachineChange{}, doc.MachineMerge{}, doc.MachineSplit{}, doc.PowerSpec{},
		doc.JobSpec{}, doc.TokenSpec{},
		doc.LoginLinkSpec{},
		doc.NotifyTest{}, doc.NotifyFinding{}} {
		fieldsOf(reflect.TypeOf(doc), names)
	}
	for _, name := range []string{"method", "read_back", "passes", "pattern", "keys", "seconds", // jobs of sessions
		"partition", "number", "uuid", "label", "start", "size", "type", // of one partition
		"disk", "grid", "level", "name", "parent", "config", "replace"} { // queries of imports
		names[name] = true
	}
	for name := range secret {
		delete(names, name)
	}
	return names
})

func fieldsOf(t reflect.Type, names map[string]bool) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || t.PkgPath() == "time" {
		return
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name != "" && !names[name] {
			names[name] = true
			fieldsOf(f.Type, names)
		}
	}
}

// recordable is a document without its secrets, as it is recorded; of what is none, or is too large, it says so. It
// holds no more than a word of the document at a time: one of a whole lab would be many times its size in memory.
func recordable(text []byte) json.RawMessage {
	if len(text) == 0 {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	out := &bounding{sum: sha256.New()}
	if err := without(d, out); err != nil {
		return quoted(fmt.Sprintf("(%d bytes that are no document)", len(text)))
	}
	return out.json()
}

// maxDepth bounds how deep a document may be, in members of members.
const maxDepth = 1000

// without writes the next value of a document, with "(left out)" in place of what may be a secret.
func without(d *json.Decoder, w *bounding) error {
	type open struct {
		object, free bool // free: its members have any names
		n            int  // members so far, each name and each value
		hidden       bool // the value that follows is left out
		keep         bool // its members may have any names
	}
	var in []open
	hidden := 0 // so deep inside of what is left out; 0: not
	for {
		t, err := d.Token()
		if err != nil {
			return err
		}
		delim, isDelim := t.(json.Delim)
		if isDelim && (delim == '}' || delim == ']') {
			in = in[:len(in)-1]
			if hidden > 0 {
				hidden--
			} else {
				w.byte(byte(delim))
			}
			if len(in) == 0 {
				return nil
			}
			continue
		}
		var hide, free bool
		if n := len(in); n > 0 {
			at := &in[n-1]
			at.n++
			if hidden == 0 {
				switch {
				case at.object && at.n%2 == 0:
					w.byte(':')
				case at.n > 1:
					w.byte(',')
				}
			}
			if name, ok := t.(string); ok && at.object && at.n%2 == 1 {
				at.hidden, at.keep = !at.free && !anyNamed[name] && !known()[name], at.free || anyNamed[name]
				if hidden == 0 {
					w.value(name)
				}
				continue
			}
			hide, free = at.hidden, at.keep
			if !at.object {
				free = at.free
			}
		}
		switch {
		case hidden > 0:
		case hide:
			w.value(leftOut)
		case isDelim:
			w.byte(byte(delim))
		default:
			w.value(t)
		}
		switch {
		case isDelim && len(in) == maxDepth:
			return fmt.Errorf("it is deeper than %d", maxDepth)
		case isDelim:
			in = append(in, open{object: delim == '{', free: free})
			if hidden > 0 || hide {
				hidden++
			}
		case len(in) == 0:
			return nil
		}
	}
}

// bounding takes JSON, and keeps it while it is short.
type bounding struct {
	kept []byte
	n    int
	sum  hash.Hash
}

func (b *bounding) write(p []byte) {
	b.n += len(p)
	b.sum.Write(p)
	if b.n <= maxState {
		b.kept = append(b.kept, p...)
	}
}

func (b *bounding) byte(c byte) { b.write([]byte{c}) }

func (b *bounding) value(v any) {
	p, err := json.Marshal(v)
	if err != nil {
		p = quoted("(it has no JSON)")
	}
	b.write(p)
}

// json is what was written; of more than maxState, how much it was and its SHA-256.
func (b *bounding) json() json.RawMessage {
	if b.n > maxState {
		return quoted(fmt.Sprintf("(%d bytes, SHA-256 %s)", b.n, hex.EncodeToString(b.sum.Sum(nil))))
	}
	return b.kept
}

// bounded is the JSON of what is recorded; of more than maxState, how much it was and its SHA-256. nil is nothing.
func bounded(v any) json.RawMessage {
	if v == nil {
		return nil
	}
	b := &bounding{sum: sha256.New()}
	b.value(v)
	return b.json()
}
