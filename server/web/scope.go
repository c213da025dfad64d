package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/diskcast/diskcast/server/access"
	"github.com/diskcast/diskcast/server/engine"
	"github.com/diskcast/diskcast/server/power/desk"
)

type holderKey struct{}

// withHolder has the handlers of a request know who asks.
func withHolder(r *http.Request, h access.Holder) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), holderKey{}, h))
}

// holderOf is who asks; nobody, of a request that came without a token of an operator's.
func holderOf(r *http.Request) access.Holder {
	h, _ := r.Context().Value(holderKey{}).(access.Holder)
	return h
}

// within is the engine for who asks.
func (a *API) within(r *http.Request) engine.Bounds { return a.engine.Within(holderOf(r).Within) }

// hold refuses a request that goes beyond the machines that who asks is held to. It puts the id of what the path names
// in the place of its name, so that the handler can mean nothing else.
func (a *API) hold(rt *Route, r *http.Request) (code int, err error) {
	h := holderOf(r)
	if h.Within == "" {
		return 0, nil
	}
	b := a.within(r)
	switch rt.Scope {
	case Free, Narrowed:
		return 0, nil
	case ItsMachine:
		m, err := b.Machine(r.PathValue("machine"))
		if err != nil {
			return http.StatusNotFound, err
		}
		r.SetPathValue("machine", m.ID)
		return 0, nil
	case ItsNode:
		n, err := b.Node(r.PathValue("node"))
		if err != nil {
			return http.StatusNotFound, err
		}
		r.SetPathValue("node", n.ID)
		return 0, nil
	case ItsSession:
		_, err := b.Session(r.PathValue("id"))
		return http.StatusNotFound, err
	case ItsRepeat:
		_, err := b.Repeat(r.PathValue("id"))
		return http.StatusNotFound, err
	case ItsPower:
		return http.StatusNotFound, a.holdPower(b, r.PathValue("id"), h.Within)
	}
	return http.StatusForbidden, fmt.Errorf("%s is held to the machines %s, and this is about more than "+
		"machines: an administrator makes others (`diskcast token create`)", h.Name, h.Within)
}

// holdPower refuses work on the power of machines that are not all within.
func (a *API) holdPower(b engine.Bounds, id, within string) error {
	none := fmt.Errorf("power work %.40q: %w, or it is not of the machines that the token is held to (%s)", id,
		desk.ErrNoRun, within)
	if a.power == nil {
		return errNoPower
	}
	now, cancel := context.WithCancel(context.Background())
	cancel() // as it is now
	run, err := a.power.Wait(now, id, 0)
	if errors.Is(err, desk.ErrNoRun) {
		return none
	}
	if err != nil {
		return err
	}
	for i := range run.Rows {
		if _, err := b.Machine(run.Rows[i].Machine); err != nil {
			return none
		}
	}
	return nil
}
