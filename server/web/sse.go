package web

import (
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/diskcast/diskcast/server/doc"
)

// eventStream is the media type of server-sent events, which browsers follow by themselves.
const eventStream = "text/event-stream"

// lines writes what is followed, in one form or the other.
type lines interface {
	line(l *doc.Line) error
	end() error // nothing more comes, for the subject is over
}

// linesFor begins an answer in the form that the request accepts.
func linesFor(w http.ResponseWriter, r *http.Request) lines {
	w.Header().Set("Vary", "Accept")
	for kind := range strings.SplitSeq(r.Header.Get("Accept"), ",") {
		if t, _, err := mime.ParseMediaType(kind); err == nil && t == eventStream {
			w.Header().Set("Content-Type", eventStream)
			return &sse{w: w}
		}
	}
	w.Header().Set("Content-Type", ndjson)
	return &jsonLines{w: w}
}

type jsonLines struct {
	w    io.Writer
	text []byte // of the last line, for the room that it has
}

func (j *jsonLines) line(l *doc.Line) (err error) {
	if j.text, err = l.AppendJSON(j.text[:0]); err == nil {
		j.text = append(j.text, '\n')
		_, err = j.w.Write(j.text)
	}
	return err
}

func (*jsonLines) end() error { return nil }

// sse writes server-sent events (HTML, section 9.2). Their id is the cursor, which a browser sends as Last-Event-ID
// when it asks again; a line without one belongs to those after it, and leaves the id as it was.
type sse struct {
	w    io.Writer
	text []byte // of the last line, for the room that it has
}

func (s *sse) line(l *doc.Line) (err error) {
	if s.text, err = l.AppendJSON(s.text[:0]); err != nil {
		return err
	}
	if l.Cursor != "" {
		if _, err := fmt.Fprintf(s.w, "id: %s\n", l.Cursor); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(s.w, "event: %s\ndata: %s\n\n", l.Type, s.text)
	return err
}

// end tells a browser to close, which would ask again otherwise.
func (s *sse) end() error {
	_, err := io.WriteString(s.w, "event: over\ndata: {}\n\n")
	return err
}
