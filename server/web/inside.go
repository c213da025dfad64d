package web

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/diskcast/diskcast/server/access"
	"github.com/diskcast/diskcast/server/doc"
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

// Record records that a person whom the provider vouches for got what proves it: a login, or a token of one. It is the
// page's request. What cannot be stored is owed, since people must come in to see what is wrong.
func (a *API) Record(r *http.Request, h access.Holder, request string) {
	if a.audit == nil {
		return
	}
	_, path, _ := strings.Cut(request, " ")
	asked := doc.AuditEntry{Who: h.Name, Role: h.Role, Within: h.Within, From: peerAddr(r).String(), Request: request,
		Path: path}
	done := doc.AuditEntry{Request: request, Status: http.StatusOK}
	ctx := context.WithoutCancel(r.Context())
	n, err := a.audit.Asked(ctx, asked)
	if err != nil {
		err = errors.Join(err, a.audit.DoneOwed(ctx, a.audit.Owe(asked), done))
	} else {
		err = a.audit.Done(ctx, n, done)
	}
	if err != nil {
		a.engine.StateFailed(err)
		a.log.Error("who logged in is not stored yet", "who", h.Name, "from", asked.From, "request", request,
			"err", err)
	}
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
