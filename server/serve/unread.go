package serve

import (
	"io"
	"net/http"
	"time"
)

// Bounds on what is read of bodies that were refused unread.
const (
	maxUnread      = 32 << 20        // bytes of one
	unreadPatience = 5 * time.Second // for one
	maxUnreads     = 64              // at once; above that connections are cut as net/http cuts them
)

// toldWhole reads what a handler left unread of a request's body once it has answered. net/http closes such a
// connection, and whoever is still sending then loses the answer that says why: he sees a broken pipe.
type toldWhole struct {
	next   http.Handler
	places chan struct{} // one for each body that is being read
}

func newToldWhole(next http.Handler) *toldWhole {
	return &toldWhole{next: next, places: make(chan struct{}, maxUnreads)}
}

func (t *toldWhole) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body := r.Body
	t.next.ServeHTTP(w, r)
	if r.ContentLength == 0 || body == nil || r.Header.Get("Expect") != "" {
		return // nothing comes, or it comes only to who is told to send it
	}
	select {
	case t.places <- struct{}{}:
		defer func() { <-t.places }()
	default:
		return
	}
	c := http.NewResponseController(w)
	// Neither an answer that cannot be flushed nor a rest that does not come is anything to be told.
	if c.SetReadDeadline(time.Now().Add(unreadPatience)) != nil {
		return
	}
	var one [1]byte
	n, err := body.Read(one[:])
	if err == nil || n > 0 {
		_ = c.Flush()
		_, err = io.CopyN(io.Discard, body, maxUnread)
	}
	// Of a body that did not come to its end net/http reads the rest itself: without a deadline, for ever.
	if err == io.EOF {
		_ = c.SetReadDeadline(time.Time{})
	}
}
