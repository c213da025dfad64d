package lot

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// maxAnswer is how many bytes an answer may have that is kept until its handler has returned.
const maxAnswer = 8 << 10

// errTaken is for who wants a connection that the lot has.
var errTaken = errors.New("the answer is made apart from its connection")

// answer keeps a small answer, or one that is made later.
type answer struct {
	http.ResponseWriter // nil: net/http has given the connection away
	header              http.Header
	code                int
	body                []byte
	through             bool // net/http writes it
	last                bool // of its connection
	later               func(context.Context, http.ResponseWriter)
}

// Unwrap is for http.ResponseController, which sets deadlines.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *answer) Header() http.Header { return a.header }

// Later has the answer made by f once the handler has returned; false: the handler has to make it. The request is gone
// by then; the context ends when the peer goes, or the server.
func (a *answer) Later(f func(context.Context, http.ResponseWriter)) bool {
	if a.through || a.code != 0 || a.ResponseWriter == nil {
		return false
	}
	a.later = f
	return true
}

func (a *answer) WriteHeader(code int) {
	switch {
	case a.through:
		a.ResponseWriter.WriteHeader(code)
	case a.code == 0 && code >= 200:
		a.code = code
	}
}

func (a *answer) Write(b []byte) (int, error) {
	if a.code == 0 {
		a.code = http.StatusOK
	}
	if !a.through && a.ResponseWriter != nil && len(a.body)+len(b) > maxAnswer {
		if err := a.pass(); err != nil {
			return 0, err
		}
	}
	if a.through {
		return a.ResponseWriter.Write(b)
	}
	a.body = append(a.body, b...)
	return len(b), nil
}

// pass has net/http write the answer, what there is of it and what is to come.
func (a *answer) pass() error {
	if a.through {
		return nil
	}
	a.through = true
	if a.code != 0 {
		a.ResponseWriter.WriteHeader(a.code)
	}
	if len(a.body) == 0 {
		return nil
	}
	_, err := a.ResponseWriter.Write(a.body)
	a.body = nil
	return err
}

// whole has net/http write an answer on a connection that it keeps.
func (a *answer) whole(ctx context.Context) {
	if f := a.later; f != nil {
		a.through = true
		f(ctx, a)
		return
	}
	_ = a.pass() // a peer who has gone is net/http's to see
}

// FlushError is for http.ResponseController: what is to go before the handler returns goes as it used to.
func (a *answer) FlushError() error {
	if a.ResponseWriter == nil {
		return errTaken
	}
	if err := a.pass(); err != nil {
		return err
	}
	return http.NewResponseController(a.ResponseWriter).Flush()
}

// Hijack gives the connection to the handler.
func (a *answer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if a.ResponseWriter == nil {
		return nil, nil, errTaken
	}
	a.through = true
	return http.NewResponseController(a.ResponseWriter).Hijack()
}

// bytes is the answer as RFC 9112 has it.
func (a *answer) bytes() []byte {
	code := a.code
	if code == 0 {
		code = http.StatusOK
	}
	h := a.header
	h.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	h.Del("Transfer-Encoding")
	if h.Del("Content-Length"); code != http.StatusNoContent && code != http.StatusNotModified {
		h.Set("Content-Length", strconv.Itoa(len(a.body)))
	}
	if a.last {
		h.Set("Connection", "close")
	}
	var out bytes.Buffer
	out.WriteString("HTTP/1.1 " + strconv.Itoa(code) + " " + http.StatusText(code) + "\r\n")
	_ = h.Write(&out) // to memory
	out.WriteString("\r\n")
	out.Write(a.body)
	return out.Bytes()
}

// wholly knows whether a body was read to its end.
type wholly struct {
	io.ReadCloser
	read bool
}

func (b *wholly) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.read = b.read || err == io.EOF
	return n, err
}
