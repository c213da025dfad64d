package web

import (
	"context"
	"errors"
	"net/http"

	"github.com/diskcast/diskcast/server/doc"
)

// Doctor has the server look at itself for what keeps machines from booting and casts from arriving.
type Doctor interface {
	// Ask begins a look, in the name of who asks, unless one goes on or has just ended.
	Ask(by string) (*doc.Doctor, error)
	// Wait returns what there is as soon as its serial is above after and no look goes on, or ctx ends.
	Wait(ctx context.Context, after uint64) *doc.Doctor
}

// WithDoctor has the API show what the server finds at itself, and returns the API.
func (a *API) WithDoctor(d Doctor) *API {
	a.doctor = d
	return a
}

var errNoDoctor = errors.New("this server does not look at itself: `diskcast doctor` on it does")

func (a *API) askDoctor(w http.ResponseWriter, r *http.Request) {
	if a.doctor == nil {
		a.fail(w, r, http.StatusNotFound, errNoDoctor)
		return
	}
	v, err := a.doctor.Ask(holderOf(r).Name)
	a.answer(w, r, v, err)
}

func (a *API) showDoctor(w http.ResponseWriter, r *http.Request) {
	if a.doctor == nil {
		a.fail(w, r, http.StatusNotFound, errNoDoctor)
		return
	}
	after, wait, err := following(r)
	if err != nil {
		a.fail(w, r, http.StatusBadRequest, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), wait)
	defer cancel()
	a.reply(w, http.StatusOK, a.doctor.Wait(ctx, after))
}
