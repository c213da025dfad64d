package openapi

import (
	"cmp"
	"errors"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/validation"
)

// Field is a field of a document that is not as its schema has it.
type Field struct {
	Field string // such as nodes[2]; empty: the document itself
	Words string
}

// Unknown are the words of a field that the schema does not have.
const Unknown = "unknown field"

// known has the schemas of the documents that were explained; huma's registries are not for several at once.
var known = struct {
	sync.Mutex
	registry huma.Registry
}{registry: huma.NewMapRegistry(refs, name)}

// A field in other letters is unknown; huma, whose variable this is, would take it.
func init() { huma.ValidateStrictCasing = true }

// Wrong compares a decoded document with the schema of like's type, and says which fields are unknown or of another
// type. It repeats nothing of what they hold.
func Wrong(like, document any) []Field {
	known.Lock()
	defer known.Unlock()
	schema := known.registry.Schema(reflect.TypeOf(like), true, "")
	var found huma.ValidateResult
	huma.Validate(known.registry, schema, huma.NewPathBuffer(nil, 0), huma.ModeWriteToServer, unmarked(document),
		&found)
	var out []Field
	for _, err := range found.Errors {
		var e *huma.ErrorDetail
		if !errors.As(err, &e) || strings.HasPrefix(e.Message, "expected required property") {
			continue // what lacks a field is read, and its kind says what is missing
		}
		words := e.Message
		if words == validation.MsgUnexpectedProperty {
			words = Unknown
		}
		out = append(out, Field{marks.Replace(e.Location), words})
	}
	slices.SortFunc(out, func(a, b Field) int {
		return cmp.Or(cmp.Compare(a.Field, b.Field), cmp.Compare(a.Words, b.Words))
	})
	return out
}

// marks gives keys back what unmarked took from them.
var marks = strings.NewReplacer("\ue000", ".", "\ue001", "[")

// unmarked is a document whose keys have none of the marks by which huma takes a path apart again: after a key with
// one, it would name every later field wrongly.
func unmarked(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = unmarked(v[i])
		}
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[strings.NewReplacer(".", "\ue000", "[", "\ue001").Replace(k)] = unmarked(e)
		}
		return out
	}
	return v
}
