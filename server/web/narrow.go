package web

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/diskcast/diskcast/server/engine"
)

// What is said to who is held to machines names no others: sentences are made by rooms that know all machines, and some
// were stored before anybody asked.

// notYours stands in a sentence in the place of the name of a machine or session that the reader is not to know of.
const notYours = "(not yours)"

// narrowed is an answer to who is held to machines. Each Write is a JSON document, or a line that is one.
type narrowed struct {
	http.ResponseWriter
	bounds engine.Bounds
	typed  *typed
}

// narrow has an answer name nothing that is not within, but for what the request itself says.
func (a *API) narrow(w http.ResponseWriter, r *http.Request) http.ResponseWriter {
	n := &narrowed{w, a.within(r), &typed{ReadCloser: r.Body, said: []byte(r.URL.RequestURI() + " " + r.URL.Path)}}
	if r.Body != nil {
		r.Body = n.typed
	}
	if d, ok := w.(Documents); ok {
		return &narrowedDocuments{n, d}
	}
	return n
}

// typed keeps what a request says, as far as it is read: who asks knows the names in it.
type typed struct {
	io.ReadCloser
	said []byte
}

func (t *typed) Read(p []byte) (int, error) {
	n, err := t.ReadCloser.Read(p)
	t.said = append(t.said, p[:n]...)
	return n, err
}

// Unwrap is for http.ResponseController.
func (n *narrowed) Unwrap() http.ResponseWriter { return n.ResponseWriter }

// Flush implements http.Flusher.
func (n *narrowed) Flush() { _ = http.NewResponseController(n.ResponseWriter).Flush() }

func (n *narrowed) Write(b []byte) (int, error) {
	if _, err := n.ResponseWriter.Write(n.clean(b)); err != nil {
		return 0, err
	}
	return len(b), nil
}

// narrowedDocuments is narrowed for the page, which takes documents as they are.
type narrowedDocuments struct {
	*narrowed
	documents Documents
}

// Document implements Documents.
func (n *narrowedDocuments) Document(code int, v any) {
	if b, err := json.Marshal(v); err == nil && v != nil {
		clean := reflect.New(reflect.TypeOf(v))
		if c := n.clean(b); !bytes.Equal(b, c) && json.Unmarshal(c, clean.Interface()) == nil {
			v = clean.Elem().Interface()
		}
	}
	n.documents.Document(code, v)
}

// ownWords are the fields whose text the operator entered, and which go back to the server as they are.
var ownWords = []string{"notes", "labels", "spec", "select"}

var (
	// jsonText is a string of a JSON document, with the colon if it is a key.
	jsonText = regexp.MustCompile(`"(?:[^"\\]|\\.)*"(\s*:)?`)
	// nameWord is what could be a name in it. A full stop at its end is the sentence's.
	nameWord = regexp.MustCompile(`[A-Za-z0-9](?:[A-Za-z0-9._:-]*[A-Za-z0-9])?`)
)

// clean takes out of each sentence of a JSON document the names that are not within. What has no space is no sentence.
func (n *narrowed) clean(doc []byte) []byte {
	seen := map[string]bool{}
	sentences := func(each func(text string) string) []byte {
		key := ""
		return jsonText.ReplaceAllFunc(doc, func(text []byte) []byte {
			if text[len(text)-1] == ':' {
				key = strings.Trim(string(text), `": `)
				return text
			}
			if !bytes.ContainsRune(text, ' ') || slices.Contains(ownWords, key) {
				return text
			}
			return []byte(each(string(text)))
		})
	}
	sentences(func(text string) string {
		for _, word := range nameWord.FindAllString(text, -1) {
			seen[word] = true
		}
		return text
	})
	words := make([]string, 0, len(seen))
	for word := range seen {
		if !bytes.Contains(n.typed.said, []byte(word)) {
			words = append(words, word)
		}
	}
	if len(words) == 0 {
		return doc
	}
	hidden := n.bounds.Hidden(words)
	return sentences(func(text string) string {
		return nameWord.ReplaceAllStringFunc(text, func(word string) string {
			if hidden[word] {
				return notYours
			}
			return word
		})
	})
}
