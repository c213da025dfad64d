package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/power"
	"github.com/diskcast/diskcast/server/power/console"
	"github.com/diskcast/diskcast/server/power/desk"
)

// WithConsoles has the API open machines' serial consoles, and returns the API.
func (a *API) WithConsoles(c *console.Consoles) *API {
	a.consoles = c
	return a
}

// consoling makes a handler of one that answers with a console of a machine's, or with an error.
func consoling(h func(a *API, r *http.Request, m desk.Machine) (*doc.Console, error)) handler {
	return plainly(func(a *API, w http.ResponseWriter, r *http.Request) {
		if a.power == nil || a.consoles == nil {
			a.fail(w, r, http.StatusNotFound, errors.New("this server reaches no consoles"))
			return
		}
		m, err := a.powered(r.PathValue("machine"))
		var v *doc.Console
		if err == nil {
			v, err = h(a, r, m)
		}
		var query *queryError
		switch {
		case errors.As(err, &query), errors.Is(err, session.ErrVersion):
			a.failDocument(w, r, err)
		case errors.Is(err, console.ErrNone), errors.Is(err, desk.ErrUnset):
			a.fail(w, r, http.StatusNotFound, err)
		case errors.Is(err, console.ErrOther):
			a.fail(w, r, http.StatusConflict, err)
		case errors.Is(err, console.ErrMany), errors.Is(err, console.ErrFull),
			errors.Is(err, console.ErrGap):
			a.fail(w, r, http.StatusServiceUnavailable, err)
		case power.WordOf(err) == power.Cannot, errors.Is(err, errNotOpened):
			a.fail(w, r, http.StatusUnprocessableEntity, err)
		case err != nil:
			a.failFor(w, r, err)
		case v == nil:
			w.WriteHeader(http.StatusNoContent)
		default:
			a.reply(w, http.StatusOK, v)
		}
	})
}

func (a *API) openConsole(r *http.Request, m desk.Machine) (*doc.Console, error) {
	var in doc.ConsoleOpen
	if err := decodeJSON(r.Body, &in); err != nil {
		return nil, &queryError{fmt.Errorf("console: %w", err)}
	}
	if in.V != session.Version {
		return nil, fmt.Errorf("%w: the document has v=%d, this server speaks v=%d", session.ErrVersion, in.V,
			session.Version)
	}
	if err := a.power.HasConsole(r.Context(), m); err != nil {
		return nil, err
	}
	by, take := holderOf(r).Name, in.Take
	v, err := a.consoles.Open(m.ID, by, in.Take,
		func(ctx context.Context, in io.Reader, out io.Writer, opened func()) error {
			end := take
			take = false // who takes it from us later keeps it
			return a.power.Console(ctx, m, end, in, out, opened)
		})
	if err != nil || v.State != doc.ConsoleOpening {
		return v, err
	}
	// A BMC that refuses does so soon: who asks, and the record, are to have that and not "it is being opened".
	ctx, cancel := context.WithTimeout(r.Context(), refusalTime)
	defer cancel()
	now, err := a.consoles.Read(ctx, m.ID, by, 0, true, v.State)
	switch {
	case err != nil: // it was taken, or forgotten, meanwhile
		return nil, err
	case now.State == doc.ConsoleClosed && now.Error != "":
		return nil, fmt.Errorf("%w: %s", errNotOpened, now.Error)
	}
	now.Text, now.Next, now.Lost = "", v.Next, v.Lost // it is read from its beginning
	return now, nil
}

// refusalTime is how long a BMC's refusal of a console is waited for.
const refusalTime = 5 * time.Second

var errNotOpened = errors.New("its console was not opened")

func (a *API) readConsole(r *http.Request, m desk.Machine) (*doc.Console, error) {
	after, wait, err := following(r)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), wait)
	defer cancel()
	return a.consoles.Read(ctx, m.ID, holderOf(r).Name, after, said(r, "text"), r.URL.Query().Get("state"))
}

// keysTime is how long keys may take to come.
const keysTime = 10 * time.Second

func (a *API) typeConsole(r *http.Request, m desk.Machine) (*doc.Console, error) {
	var in doc.ConsoleKeys
	if err := decodeJSON(r.Body, &in); err != nil {
		// Its own words may repeat what was typed, which may be a password.
		return nil, &queryError{errors.New(
			"the keys are not understood: they are a document with v and keys, in base64")}
	}
	switch {
	case in.V != session.Version:
		return nil, fmt.Errorf("%w: the keys have v=%d, this server speaks v=%d", session.ErrVersion, in.V,
			session.Version)
	case len(in.Keys) == 0 || len(in.Keys) > doc.MaxConsoleKeys:
		return nil, &queryError{fmt.Errorf("%d keys are not 1 to %d", len(in.Keys), doc.MaxConsoleKeys)}
	}
	return nil, a.consoles.Type(m.ID, holderOf(r).Name, in.Keys)
}

func (a *API) closeConsole(r *http.Request, m desk.Machine) (*doc.Console, error) {
	return nil, a.consoles.Close(m.ID, holderOf(r).Name)
}
