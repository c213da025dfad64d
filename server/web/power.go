package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/power/desk"
)

// WithPower has the API switch machines, and returns the API.
func (a *API) WithPower(d *desk.Desk) *API {
	a.power = d
	return a
}

var errNoPower = errors.New("this server switches no machines")

// powering makes a handler of one that answers with a document about power, or with an error.
func powering(h func(a *API, r *http.Request) (any, error)) handler {
	return plainly(func(a *API, w http.ResponseWriter, r *http.Request) {
		if a.power == nil {
			a.fail(w, r, http.StatusNotFound, errNoPower)
			return
		}
		v, err := h(a, r)
		var query *queryError
		var document *powerError
		switch {
		case err == nil:
			if run, ok := v.(*doc.PowerRun); ok && r.Pattern == "POST /v1/power" {
				w.Header().Set("Location", "/v1/power/"+run.ID)
			}
			a.reply(w, http.StatusOK, v)
		case errors.As(err, &query):
			a.fail(w, r, http.StatusBadRequest, err)
		case errors.As(err, &document):
			a.fail(w, r, http.StatusUnprocessableEntity, err)
		case errors.Is(err, desk.ErrUnset), errors.Is(err, desk.ErrNoRun):
			a.fail(w, r, http.StatusNotFound, err)
		case errors.Is(err, desk.ErrTooMany):
			a.fail(w, r, http.StatusServiceUnavailable, err)
		default:
			a.failFor(w, r, err)
		}
	})
}

// powerError is an error about what was asked for.
type powerError struct{ err error }

func (e *powerError) Error() string { return e.err.Error() }

func (e *powerError) Unwrap() error { return e.err }

func (a *API) powered(word string) (desk.Machine, error) {
	m, err := a.engine.Machine(word)
	if err != nil {
		return desk.Machine{}, err
	}
	return ofDesk(m), nil
}

func ofDesk(m *doc.Machine) desk.Machine { return desk.Machine{ID: m.ID, Name: m.Name, MACs: m.Boots} }

func (a *API) showPower(r *http.Request) (any, error) {
	m, err := a.powered(r.PathValue("machine"))
	if err != nil {
		return nil, err
	}
	return a.power.Show(r.Context(), m)
}

func (a *API) setPower(r *http.Request) (any, error) {
	m, err := a.powered(r.PathValue("machine"))
	if err != nil {
		return nil, err
	}
	var in doc.PowerSet
	if err := decodeJSON(r.Body, &in); err != nil {
		// Its own words may repeat what the document holds.
		return nil, &queryError{errors.New("the document of a machine's power is not understood: a field is of " +
			"another type, or unknown")}
	}
	p, err := a.power.Set(r.Context(), m, in)
	if err != nil {
		return nil, &powerError{err}
	}
	return p, nil
}

func (a *API) forgetPower(r *http.Request) (any, error) {
	m, err := a.powered(r.PathValue("machine"))
	if err != nil {
		return nil, err
	}
	p, err := a.power.Show(r.Context(), m)
	if err != nil {
		return nil, err
	}
	return p, a.power.Forget(r.Context(), m.ID)
}

func (a *API) startPower(r *http.Request) (any, error) {
	var spec doc.PowerSpec
	if err := decodeJSON(r.Body, &spec); err != nil {
		return nil, &queryError{fmt.Errorf("power: %w", err)}
	}
	if err := spec.Check(); err != nil {
		return nil, &powerError{err}
	}
	b := a.within(r)
	var all []desk.Machine
	known := map[string]bool{}
	add := func(m desk.Machine) {
		if !known[m.ID] {
			known[m.ID] = true
			all = append(all, m)
		}
	}
	if spec.On != "" {
		ms, err := b.Select(spec.On)
		if err != nil {
			return nil, err
		}
		for i := range ms {
			add(ofDesk(&ms[i]))
		}
	}
	for _, word := range spec.Machines {
		m, err := b.Machine(word)
		if err != nil {
			return nil, err
		}
		add(ofDesk(m))
	}
	if spec.All {
		ms := b.Machines()
		for i := range ms {
			m := ofDesk(&ms[i])
			has, err := a.power.Has(r.Context(), m)
			if err != nil {
				return nil, err
			}
			if has {
				add(m)
			}
		}
		if len(all) == 0 {
			return nil, &powerError{errors.New("the power of no machine is set up: " +
				"`diskcast machine power set` does it")}
		}
	}
	ids := make([]string, 0, len(all))
	for i := range all {
		ids = append(ids, all[i].ID)
	}
	noteMachines(r, ids)
	return a.power.Start(spec, all)
}

func (a *API) showPowerRun(r *http.Request) (any, error) {
	after, wait, err := following(r)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), wait)
	defer cancel()
	return a.power.Wait(ctx, r.PathValue("id"), after)
}

func (a *API) cancelPower(r *http.Request) (any, error) { return a.power.Cancel(r.PathValue("id")) }
