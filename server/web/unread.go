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
)

// unread is a document of which nothing could be read.
func unread(words string) error {
	return &fieldsError{errors.New(words), []doc.FieldError{{Error: words}}}
}

// foreign says what a body is that is no JSON in UTF-8, by how it begins; empty where it may be JSON.
func foreign(text []byte) string {
	begins := func(s string) bool { return bytes.HasPrefix(text, []byte(s)) }
	switch {
	case len(bytes.TrimSpace(text)) == 0:
		return "the request has no document: send one, which is JSON"
	case begins("\xef\xbb\xbf"): // RFC 8259, 8.1
		return "the document begins with a byte order mark, which JSON does not have: send it without"
	case begins("\xff\xfe"), begins("\xfe\xff"):
		return "the document is in UTF-16, and JSON is in UTF-8"
	case begins("\x1f\x8b"), begins("\x28\xb5\x2f\xfd"): // RFC 1952, 2.3.1; RFC 8878, 3.1.1
		return "the document is compressed: send it as it is"
	}
	return ""
}

// inWords puts the decoder's error into words, with the field where that is known.
func inWords(text []byte, err error) []doc.FieldError {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return []doc.FieldError{{Error: "the document ends in the middle"}}
	case errors.As(err, &syntax):
		before := text[:min(max(syntax.Offset-1, 0), int64(len(text)))]
		line := bytes.Count(before, []byte("\n")) + 1
		column := len(before) - bytes.LastIndexByte(before, '\n')
		return []doc.FieldError{{Error: fmt.Sprintf("the document is no JSON at line %d, column %d", line, column)}}
	case errors.As(err, &kind):
		words := "it is not of the kind that is wanted here"
		number, is := strings.CutPrefix(kind.Value, "number ")
		switch {
		case is && strings.ContainsAny(number, ".eE"):
			words = "a whole number is written in digits alone, without a point or an exponent"
		case is:
			words = "the number is out of range"
		}
		return []doc.FieldError{{Field: plain.Line(fieldAt(text, kind.Offset), 100), Error: words}}
	}
	return nil
}

// fieldAt names the field whose value has the byte at the offset, as openapi.Wrong names fields.
func fieldAt(text []byte, offset int64) string {
	type level struct {
		name string // of the field whose value comes
		at   int    // in a list
		list bool
		key  bool // a name comes next
	}
	var stack []level
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	for {
		t, err := dec.Token()
		if err != nil {
			return ""
		}
		n := len(stack) - 1
		if s, is := t.(string); is && n >= 0 && stack[n].key {
			stack[n].name, stack[n].key = s, false
			continue
		}
		if t == json.Delim('}') || t == json.Delim(']') {
			stack = stack[:n]
			n--
		} else if dec.InputOffset() >= offset {
			var path strings.Builder
			for _, l := range stack {
				switch {
				case l.list:
					fmt.Fprintf(&path, "[%d]", l.at)
				case path.Len() > 0:
					path.WriteString("." + l.name)
				default:
					path.WriteString(l.name)
				}
			}
			return path.String()
		} else if t == json.Delim('{') || t == json.Delim('[') {
			stack = append(stack, level{list: t == json.Delim('['), key: t == json.Delim('{')})
			continue
		}
		if n >= 0 { // a value ended
			stack[n].at++
			stack[n].key = !stack[n].list
		}
	}
}
