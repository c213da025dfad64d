package web

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/herald"
)

// WithNotify has the API show who is told what happens, and returns the API.
func (a *API) WithNotify(h *herald.Herald) *API {
	a.notify = h
	return a
}

// notifying makes a handler of one that answers with a document about who is told what happens, or with an error.
func notifying(h func(a *API, r *http.Request) (any, error)) handler {
	return plainly(func(a *API, w http.ResponseWriter, r *http.Request) {
		if a.notify == nil {
			a.fail(w, r, http.StatusNotFound, errors.New("this server tells nobody what happens"))
			return
		}
		v, err := h(a, r)
		var query *queryError
		switch {
		case err == nil:
			a.reply(w, http.StatusOK, v)
		case errors.As(err, &query), errors.Is(err, session.ErrVersion):
			a.fail(w, r, http.StatusBadRequest, err)
		case errors.Is(err, herald.ErrNone):
			a.fail(w, r, http.StatusNotFound, err)
		case errors.Is(err, herald.ErrRefuse):
			a.fail(w, r, http.StatusUnprocessableEntity, err)
		default:
			a.failFor(w, r, err)
		}
	})
}

func (a *API) listNotify(*http.Request) (any, error) { return a.notify.List(), nil }

func (a *API) testNotify(r *http.Request) (any, error) {
	var in doc.NotifyTest
	if err := decodeJSON(r.Body, &in); err != nil {
		return nil, &queryError{fmt.Errorf("test: %w", err)}
	}
	return a.notify.Test(r.Context(), in)
}

func (a *API) tellFinding(r *http.Request) (any, error) {
	var in doc.NotifyFinding
	if err := decodeJSON(r.Body, &in); err != nil {
		return nil, &queryError{fmt.Errorf("finding: %w", err)}
	}
	if in.V != session.Version {
		return nil, fmt.Errorf("%w: the finding has v=%d, this server speaks v=%d", session.ErrVersion, in.V,
			session.Version)
	}
	if plain.Blank(in.Title) || plain.Blank(in.Finding) {
		return nil, &queryError{errors.New("a finding has a name and a title")}
	}
	w := doc.Word{Kind: doc.WordFinding, Finding: plain.Line(in.Finding, 100), Title: in.Title, Text: in.Text}
	return in, a.engine.Tell(r.Context(), w)
}

func (a *API) setNotifySecret(r *http.Request) (any, error) {
	var in doc.NotifySecret
	if err := decodeJSON(r.Body, &in); err != nil {
		// Its own words may repeat what the document holds.
		return nil, &queryError{errors.New("the document of a secret is not understood: a field is of another type, " +
			"or unknown")}
	}
	return a.notify.SetSecret(r.Context(), r.PathValue("receiver"), in)
}
