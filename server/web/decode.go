package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/web/openapi"
)

// fieldsError is what is wrong with a document, field by field where that is known.
type fieldsError struct {
	err    error
	fields []doc.FieldError
}

func (e *fieldsError) Error() string {
	if len(e.fields) == 0 {
		return e.err.Error()
	}
	var words []string
	for i, f := range e.fields {
		if i == 3 {
			words = append(words, fmt.Sprintf("%d more", len(e.fields)-i))
			break
		}
		words = append(words, strings.TrimPrefix(f.Field+": "+f.Error, ": "))
	}
	return strings.Join(words, "; ")
}

func (e *fieldsError) Unwrap() error { return e.err }

// maxFieldErrors bounds what is said of one document.
const maxFieldErrors = 20

// decodeJSON reads an operator's document. What v's type does not have is refused: a misspelt field must not be
// ignored. What the refusal says goes by the schema that the API's description has.
func decodeJSON(r io.Reader, v any) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if words := foreign(text); words != "" {
		return unread(words)
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		fields := explain(text, v)
		if len(fields) == 0 {
			fields = inWords(text, err)
		}
		return &fieldsError{err, fields}
	}
	if _, err := dec.Token(); err != io.EOF {
		return unread("the request has data after its end")
	}
	return exact(text, v)
}

// exact refuses what the decoder takes in its own way, and other readers of the same document otherwise: a field twice,
// of which the last counts, and a name in other letters. The text is JSON that was decoded.
func exact(text []byte, v any) error {
	twice, cased := keysOf(text)
	if twice != "" {
		return &fieldsError{errors.New("a field is given twice"),
			[]doc.FieldError{{Field: plain.Line(twice, 100), Error: "given twice"}}}
	}
	if !cased {
		return nil
	}
	var unknown []doc.FieldError
	for _, f := range explain(text, v) {
		if f.Error == openapi.Unknown {
			f.Error += ": fields have small letters"
			unknown = append(unknown, f)
		}
	}
	if len(unknown) > 0 {
		return &fieldsError{errors.New("unknown field"), unknown}
	}
	return nil
}

// keysOf looks at all keys of a document: which one comes twice in an object, and whether one has other letters than
// the names of fields do, as keys of labels may.
func keysOf(text []byte) (twice string, cased bool) {
	type level struct {
		keys map[string]bool // nil: a list
		key  bool            // a key comes next
	}
	var stack []level
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	for {
		t, err := dec.Token()
		if err != nil {
			return "", cased
		}
		switch d := t.(type) {
		case json.Delim:
			switch d {
			case '{':
				stack = append(stack, level{map[string]bool{}, true})
				continue
			case '[':
				stack = append(stack, level{})
				continue
			}
			stack = stack[:len(stack)-1]
		case string:
			if n := len(stack) - 1; n >= 0 && stack[n].key {
				if stack[n].keys[d] {
					return d, cased
				}
				stack[n].keys[d], stack[n].key = true, false
				cased = cased || strings.ContainsFunc(d, notSmall)
				continue
			}
		}
		if n := len(stack) - 1; n >= 0 && stack[n].keys != nil {
			stack[n].key = true // a value ended
		}
	}
}

// explain says which fields of a document that could not be read are not as they should be.
func explain(text []byte, v any) []doc.FieldError {
	var document any
	if json.Unmarshal(text, &document) != nil {
		return nil // it is no JSON, which the decoder says best
	}
	var out []doc.FieldError
	for _, w := range openapi.Wrong(v, document) {
		if len(out) == maxFieldErrors {
			break
		}
		out = append(out, doc.FieldError{Field: plain.Line(w.Field, 100), Error: w.Words})
	}
	return out
}

func notSmall(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' }
