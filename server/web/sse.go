package web

import (
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/diskcast/diskcast/server/doc"
)

// eventStream is the media type of server-sent events, which browsers follow by themselves.
const eventStream = "text/event-stream"

// lines writes what is followed, in one form or the other, many lines at a time.
type lines interface {
	line(l *doc.Line) error
	flush() error // what was written is to go
	end() error   // nothing more comes, for the subject is over
}

// linesBytes is how many bytes of lines go together: a record of TLS has 16 KiB, and each write costs a call of the
// kernel.
const linesBytes = 16 << 10

// together are lines until they go.
type together struct {
	w    io.Writer
	text []byte
}

func (t *together) flush() error {
	if len(t.text) == 0 {
		return nil
	}
	_, err := t.w.Write(t.text)
	t.text = t.text[:0]
	return err
}

func (t *together) more() error {
	if len(t.text) < linesBytes {
		return nil
	}
	return t.flush()
}

// linesFor begins an answer in the form that the request accepts.
func linesFor(w http.ResponseWriter, r *http.Request) lines {
	w.Header().Set("Vary", "Accept")
	if wantsEvents(r) {
		w.Header().Set("Content-Type", eventStream)
		return &sse{together{w: w}}
	}
	w.Header().Set("Content-Type", ndjson)
	return &jsonLines{together{w: w}}
}

// wantsEvents is whether the request asks for server-sent events.
func wantsEvents(r *http.Request) bool {
	for kind := range strings.SplitSeq(r.Header.Get("Accept"), ",") {
		if t, _, err := mime.ParseMediaType(kind); err == nil && t == eventStream {
			return true
		}
	}
	return false
}

type jsonLines struct{ together }

func (j *jsonLines) line(l *doc.Line) (err error) {
	if j.text, err = l.AppendJSON(j.text); err != nil {
		return err
	}
	j.text = append(j.text, '\n')
	return j.more()
}

func (*jsonLines) end() error { return nil }

// sse writes server-sent events (HTML, section 9.2). Their id is the cursor, which a browser sends as Last-Event-ID
// when it asks again; a line without one belongs to those after it, and leaves the id as it was.
type sse struct{ together }

func (s *sse) line(l *doc.Line) (err error) {
	if l.Cursor != "" {
		s.text = append(append(append(s.text, "id: "...), l.Cursor...), '\n')
	}
	s.text = append(append(append(s.text, "event: "...), l.Type...), "\ndata: "...)
	if s.text, err = l.AppendJSON(s.text); err != nil {
		return err
	}
	s.text = append(s.text, "\n\n"...)
	return s.more()
}

// end tells a browser to close, which would ask again otherwise.
func (s *sse) end() error {
	s.text = append(s.text, "event: over\ndata: {}\n\n"...)
	return nil
}
