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
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return &fieldsError{err, explain(text, v)}
	}
	if _, err := dec.Token(); err != io.EOF {
		return errors.New("request has data after its end")
	}
	return nil
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
