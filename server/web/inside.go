package web

import (
	"errors"
	"net/http"
	"time"

	"github.com/diskcast/diskcast/server/access"
)

// Documents is a ResponseWriter of somebody in the server itself, who takes an answer's document as it is and not as
// JSON. The document is shared: it is not changed.
type Documents interface {
	http.ResponseWriter
	Document(code int, v any)
}

// As is the API for somebody who is known otherwise than by a token in the request, such as by the page's cookie. The
// table's roles, and what a token is held to, hold for them as for everybody.
func (a *API) As(h access.Holder) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.serve(w, withHolder(r, h))
	})
}

// Enter says who comes with a token, or with which status a request is refused. Wrong tokens are counted by the address
// that they come from.
func (a *API) Enter(r *http.Request, token string) (h access.Holder, code int, err error) {
	h, ok := a.access.Who(token)
	switch {
	case ok:
		return h, 0, nil
	case a.wrong.Over(peerAddr(r), time.Now()):
		return h, http.StatusTooManyRequests,
			errors.New("too many wrong tokens come from this address: ask again in a minute, with the right one")
	}
	return h, http.StatusUnauthorized,
		errors.New("the token is missing or wrong, or has ended: `diskcast token` on the server prints one")
}
