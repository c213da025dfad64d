package page

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/diskcast/diskcast/server/doc"
)

// refused is what is no success, and with which status.
type refused struct {
	code  int
	words string
}

func (e *refused) Error() string { return e.words }

// is reports whether the API refused with the status.
func is(err error, code int) bool {
	var r *refused
	return errors.As(err, &r) && r.code == code
}

// answer takes what the API answers. It implements web.Documents.
type answer struct {
	header http.Header
	code   int
	doc    any
	body   bytes.Buffer
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(code int) {
	if a.code == 0 {
		a.code = code
	}
}

func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(p)
}

// Document takes a document as it is. It is the API's: it is read only.
func (a *answer) Document(code int, v any) {
	a.WriteHeader(code)
	a.doc = v
}

// ask makes a request of the operator API in the name of who looks; in, if not nil, is its document.
func ask[T any](v *visit, method, path string, in any) (T, error) {
	var body bytes.Buffer
	if in != nil {
		if err := json.NewEncoder(&body).Encode(in); err != nil {
			var out T
			return out, err
		}
	}
	return send[T](v, method, path, &body)
}

// send is ask with a body that is as it is.
func send[T any](v *visit, method, path string, body io.Reader) (T, error) {
	var out T
	r, err := http.NewRequestWithContext(v.ctx, method, "https://diskcast"+path, body)
	if err != nil {
		return out, err
	}
	if _, whole := body.(*bytes.Buffer); !whole {
		r.ContentLength = -1
	}
	r.RemoteAddr = v.r.RemoteAddr
	a := &answer{header: http.Header{}}
	v.page.API.As(v.holder).ServeHTTP(a, r)
	if a.code/100 == 3 { // a name that is no segment of a path, such as ..
		a.code = http.StatusNotFound
	}
	if a.code/100 != 2 {
		e, err := read[doc.Error](a)
		if err != nil || e.Error == "" {
			e.Error = fmt.Sprintf("%s %s: %s", method, path, http.StatusText(a.code))
		}
		return out, &refused{a.code, e.Error}
	}
	if a.code == http.StatusNoContent {
		return out, nil
	}
	if out, err = read[T](a); err != nil {
		return out, fmt.Errorf("%s %s: answer is not understood: %w", method, path, err)
	}
	return out, nil
}

// read returns the answer's document as a T: as it is where it is one, else by way of JSON.
func read[T any](a *answer) (T, error) {
	var out T
	switch d := a.doc.(type) {
	case T:
		return d, nil
	case *T:
		return *d, nil
	case nil:
		return out, json.Unmarshal(a.body.Bytes(), &out)
	}
	b, err := json.Marshal(a.doc)
	if err != nil {
		return out, err
	}
	return out, json.Unmarshal(b, &out)
}

// get asks for a document. Each %s of the path is one segment or value of it, and escaped.
func get[T any](v *visit, format string, args ...string) (T, error) {
	return ask[T](v, http.MethodGet, path(format, args...), nil)
}

// path puts escaped words into a path.
func path(format string, args ...string) string {
	escaped := make([]any, len(args))
	for i, a := range args {
		escaped[i] = strings.ReplaceAll(url.QueryEscape(a), "+", "%20") // in a path, + is a plus sign
	}
	return fmt.Sprintf(format, escaped...)
}
