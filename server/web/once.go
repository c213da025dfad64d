package web

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/diskcast/diskcast/server/engine"
)

// idempotencyKey is the header by which a client that heard no answer asks again without having it done twice.
const idempotencyKey = "Idempotency-Key"

// Bounds of keys.
const (
	maxKey  = 255  // bytes of one
	maxKept = 4096 // that are kept; the oldest go first
)

var (
	errKeyReused = errors.New("this " + idempotencyKey + " came with another request before: make a new key for each " +
		"thing that is asked for")
	errKeyInUse = errors.New("the request with this " + idempotencyKey + " is being answered: ask again")
)

// asked are the keys that came, and what was made for each. Those of what outlives the server are found by the engine
// too.
type asked struct {
	mu    sync.Mutex
	kept  map[string]*askedFor
	order []string // of kept, the oldest first
}

// askedFor is what a key came with, and the answer.
type askedFor struct {
	body, made string // made is the path of it; empty while it is being made
	status     int
}

// begin returns what was asked for with a key; nil: nothing, and it is noted that this is being made now.
func (k *asked) begin(e *engine.Engine, by engine.Asked) *askedFor {
	k.mu.Lock()
	defer k.mu.Unlock()
	if was := k.kept[by.Key]; was != nil {
		was := *was
		return &was
	}
	if made, body, ok := e.Made(by.Key); ok {
		return &askedFor{body: body, made: made, status: http.StatusCreated}
	}
	if k.kept == nil {
		k.kept = map[string]*askedFor{}
	}
	k.kept[by.Key] = &askedFor{body: by.Body}
	k.order = append(k.order, by.Key)
	if len(k.order) > maxKept {
		delete(k.kept, k.order[0])
		k.order = k.order[1:]
	}
	return nil
}

// end notes what came of it; where nothing did, the key is free again.
func (k *asked) end(key, made string, status int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.kept[key]
	switch {
	case now == nil: // so many others came meanwhile
	case status/100 == 2 && made != "":
		now.made, now.status = made, status
	default:
		delete(k.kept, key)
		for i, x := range k.order {
			if x == key {
				k.order = append(k.order[:i], k.order[i+1:]...)
				break
			}
		}
	}
}

// once makes a handler, which says in Location what it made, one that makes it once for each key.
func once(h handler) handler {
	return func(a *API, w http.ResponseWriter, r *http.Request, node string) {
		if len(r.Header.Values(idempotencyKey)) == 0 {
			h(a, w, r, node)
			return
		}
		if err := checkKey(r); err != nil {
			a.fail(w, r, http.StatusBadRequest, err)
			return
		}
		by, err := askedBy(r)
		if err != nil {
			a.failDocument(w, r, err)
			return
		}
		switch was := a.asked.begin(a.engine, by); {
		case was == nil:
			out, made := &answer{ResponseWriter: w}, ""
			defer func() { a.asked.end(by.Key, made, out.code) }() // also if it panics
			h(a, out, r.WithContext(engine.WithAsked(r.Context(), by)), node)
			made = w.Header().Get("Location")
		case was.body != by.Body:
			a.fail(w, r, http.StatusUnprocessableEntity, errKeyReused)
		case was.made == "":
			a.fail(w, r, http.StatusConflict, errKeyInUse)
		default:
			a.madeBefore(w, r, was)
		}
	}
}

func checkKey(r *http.Request) error {
	all := r.Header.Values(idempotencyKey)
	if key := all[0]; len(all) > 1 || key == "" || len(key) > maxKey ||
		strings.ContainsFunc(key, func(c rune) bool { return c < ' ' || c > '~' }) {
		return fmt.Errorf("%s is not one word of 1 to %d printable ASCII characters", idempotencyKey, maxKey)
	}
	return nil
}

// askedBy is a request's key, which is its asker's alone, and the sum of its body, which is read and put back.
func askedBy(r *http.Request) (engine.Asked, error) {
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return engine.Asked{}, err
	}
	r.Body = io.NopCloser(bytes.NewReader(text))
	return engine.Asked{Key: sum(holderOf(r).Name + "\x00" + r.Method + " " + r.URL.Path + "\x00" +
		r.Header.Get(idempotencyKey)),
		Body: sum(string(text))}, nil
}

func sum(s string) string {
	b := sha256.Sum256([]byte(s))
	return hex.EncodeToString(b[:])
}

// madeBefore answers with what was made for the key, as it is now.
func (a *API) madeBefore(w http.ResponseWriter, r *http.Request, was *askedFor) {
	show, err := http.NewRequestWithContext(r.Context(), http.MethodGet, was.made, http.NoBody)
	if err != nil {
		a.failFor(w, r, err)
		return
	}
	show.RemoteAddr = r.RemoteAddr
	w.Header().Set("Location", was.made)
	a.serve(&restated{w, was.status}, show) // its context says who asks
}

// restated is an answer whose success has another status.
type restated struct {
	http.ResponseWriter
	status int
}

func (s *restated) WriteHeader(code int) {
	if code == http.StatusOK {
		code = s.status
	}
	s.ResponseWriter.WriteHeader(code)
}

// Unwrap is for http.ResponseController.
func (s *restated) Unwrap() http.ResponseWriter { return s.ResponseWriter }
