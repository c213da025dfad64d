// Package plain makes strings of strangers harmless to a terminal: machines that nobody vouched for, file systems'
// labels, foreign images. What is not printable, and every mark that turns the direction of text, becomes U+FFFD; line
// breaks become blanks, so that no string can look like another row.
package plain

import (
	"io"
	"reflect"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Line returns s as one printable line of at most max bytes; 0 is no bound.
func Line(s string, max int) string {
	if max > 0 && len(s) > max {
		s = strings.ToValidUTF8(s[:max], "")
	}
	if clean(s, false) {
		return s
	}
	s = strings.Map(func(r rune) rune {
		switch r {
		case '\n', '\t', '\r', '\u2028', '\u2029':
			return ' '
		}
		return mapped(r)
	}, s)
	if max > 0 && len(s) > max { // a replacement is longer than what it replaces
		s = strings.ToValidUTF8(s[:max], "")
	}
	return s
}

// Words is Line with single blanks between its words and none at its ends: a run of them would look like the columns of
// a table.
func Words(s string, max int) string {
	s = Line(s, max)
	if !strings.Contains(s, "  ") && strings.Trim(s, " ") == s {
		return s
	}
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == ' ' }), " ")
}

// Blank reports whether s says nothing: it has neither letter, digit nor mark that can be printed.
func Blank(s string) bool { return strings.Trim(Line(s, 0), " \uFFFD") == "" }

// Text is Line for what may have several lines: line feeds and tabs stay.
func Text(s string) string {
	if clean(s, true) {
		return s
	}
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return r
		}
		return mapped(r)
	}, s)
}

func mapped(r rune) rune {
	if r == utf8.RuneError || !unicode.IsPrint(r) {
		return utf8.RuneError
	}
	return r
}

func clean(s string, lines bool) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' && !(lines && (c == '\n' || c == '\t')) || c >= 0x7f {
			return false
		}
	}
	return true
}

// Strings makes every string below v a Line of at most max bytes: v is a pointer; structs, slices, maps' values and
// keys are followed. Unexported fields stay as they are.
func Strings(v any, max int) {
	walk(reflect.ValueOf(v), func(s string) string { return Line(s, max) })
}

// AllWords is Strings with Words.
func AllWords(v any, max int) {
	walk(reflect.ValueOf(v), func(s string) string { return Words(s, max) })
}

func walk(v reflect.Value, f func(string) string) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			walk(v.Elem(), f)
		}
	case reflect.String:
		if v.CanSet() {
			v.SetString(f(v.String()))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				walk(v.Field(i), f)
			}
		}
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return
		}
		for i := range v.Len() {
			walk(v.Index(i), f)
		}
	case reflect.Map:
		walkMap(v, f)
	}
}

func walkMap(v reflect.Value, f func(string) string) {
	for _, k := range v.MapKeys() {
		key, val := reflect.New(k.Type()).Elem(), reflect.New(v.Type().Elem()).Elem()
		key.Set(k)
		val.Set(v.MapIndex(k))
		walk(key, f)
		walk(val, f)
		v.SetMapIndex(k, reflect.Value{})
		v.SetMapIndex(key, val)
	}
}

// NewWriter returns a writer that passes Text of what is written on to w. It is the last guard: what is printed as a
// row of its own must be a Line before.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Writer is what NewWriter returns.
type Writer struct {
	w    io.Writer
	rest []byte // a rune that is not complete yet
	err  error  // the first that w returned
}

// Err is the first error of the writer behind it, for those who print without looking.
func (w *Writer) Err() error { return w.err }

// Unwrap returns the writer behind it.
func (w *Writer) Unwrap() io.Writer { return w.w }

// Bytes returns a writer that passes all bytes on as they are, and whose errors are this one's.
func (w *Writer) Bytes() io.Writer { return asTheyAre{w} }

type asTheyAre struct{ w *Writer }

func (b asTheyAre) Write(p []byte) (int, error) {
	n, err := b.w.w.Write(p)
	if err != nil && b.w.err == nil {
		b.w.err = err
	}
	return n, err
}

// Write implements io.Writer.
func (w *Writer) Write(p []byte) (int, error) {
	b := append(w.rest, p...)
	n := len(b)
	for i := 1; i < utf8.UTFMax && i <= len(b); i++ {
		if c := b[len(b)-i]; utf8.RuneStart(c) {
			if c >= utf8.RuneSelf && !utf8.FullRune(b[len(b)-i:]) {
				n = len(b) - i
			}
			break
		}
	}
	w.rest = append([]byte(nil), b[n:]...)
	if _, err := io.WriteString(w.w, Text(string(b[:n]))); err != nil {
		if w.err == nil {
			w.err = err
		}
		return 0, err
	}
	return len(p), nil
}
