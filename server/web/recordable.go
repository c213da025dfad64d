package web

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
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

// free are names of fields whose members have any names.
var free = map[string]bool{"labels": true}

// known are the names of fields of documents that operators send, and of queries. A name that is none, such as one that
// was mistyped, may stand before a secret.
var known = sync.OnceValue(func() map[string]bool {
	names := map[string]bool{}
	for _, doc := range []any{doc.Spec{}, doc.SessionChange{}, doc.RepeatSpec{}, doc.MachinesChange{}, doc.LabChange{},
		doc.MachineChange{}, doc.MachineMerge{}, doc.MachineSplit{}, doc.PowerSpec{}, doc.JobSpec{}, doc.TokenSpec{},
		doc.LoginLinkSpec{},
		doc.NotifyTest{}, doc.NotifyFinding{}} {
		fieldsOf(reflect.TypeOf(doc), names)
	}
	for _, name := range []string{"method", "read_back", "passes", "pattern", "keys", "seconds", // jobs of sessions
		"partition", "number", "uuid", "label", "start", "size", "type", // of one partition
		"disk", "grid", "level", "name", "parent", "config"} { // queries of imports
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

// recordable is a document without its secrets, as it is recorded; of what is none, or is too large, it says so.
func recordable(text []byte) json.RawMessage {
	var v any
	if len(text) == 0 {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if d.Decode(&v) != nil {
		return quoted(fmt.Sprintf("(%d bytes that are no document)", len(text)))
	}
	return bounded(without(v, 0))
}

// maxDepth bounds how deep a document is looked into.
const maxDepth = 32

func without(v any, depth int) any {
	if depth > maxDepth {
		return leftOut
	}
	switch v := v.(type) {
	case map[string]any:
		for name, x := range v {
			switch {
			case free[name]:
			case known()[name]:
				v[name] = without(x, depth+1)
			default:
				v[name] = leftOut
			}
		}
	case []any:
		for i, x := range v {
			v[i] = without(x, depth+1)
		}
	}
	return v
}

// bounded is the JSON of what is recorded; of more than maxState, how much it was and its SHA-256. nil is nothing.
func bounded(v any) json.RawMessage {
	if v == nil {
		return nil
	}
	b, err := json.Marshal(v)
	if err != nil {
		return quoted("(it has no JSON)")
	}
	if len(b) > maxState {
		sum := sha256.Sum256(b)
		return quoted(fmt.Sprintf("(%d bytes, SHA-256 %s)", len(b), hex.EncodeToString(sum[:])))
	}
	return b
}
