package lot

import (
	"bytes"
	"net/http"
	"strconv"
	"time"
)

// answer keeps an answer that is made apart from net/http.
type answer struct {
	header http.Header
	code   int
	body   []byte
	last   bool // of its connection
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(code int) {
	if a.code == 0 && code >= 200 {
		a.code = code
	}
}

func (a *answer) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	a.body = append(a.body, b...)
	return len(b), nil
}

// bytes is the answer as RFC 9112 has it.
func (a *answer) bytes() []byte {
	a.WriteHeader(http.StatusOK)
	h := a.header
	h.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	h.Del("Transfer-Encoding")
	if h.Del("Content-Length"); a.code != http.StatusNoContent && a.code != http.StatusNotModified {
		h.Set("Content-Length", strconv.Itoa(len(a.body)))
	}
	if a.last {
		h.Set("Connection", "close")
	}
	var out bytes.Buffer
	out.WriteString("HTTP/1.1 " + strconv.Itoa(a.code) + " " + http.StatusText(a.code) + "\r\n")
	_ = h.Write(&out) // to memory
	out.WriteString("\r\n")
	out.Write(a.body)
	return out.Bytes()
}
