package web

import (
	"net/http"

	"github.com/diskcast/diskcast/server/doc"
)

func (a *API) listRepeats(w http.ResponseWriter, r *http.Request) {
	listed(a, w, r, a.within(r).Repeats(), func(v *doc.Repeat) string { return v.ID }, nil)
}

func (a *API) createRepeat(w http.ResponseWriter, r *http.Request) {
	var in doc.RepeatSpec
	if !a.read(w, r, "repeating session", &in) {
		return
	}
	v, err := a.within(r).CreateRepeat(r.Context(), in)
	if err != nil {
		a.failFor(w, r, err)
		return
	}
	w.Header().Set("Location", "/v1/repeats/"+v.ID)
	a.reply(w, http.StatusCreated, v)
}

func (a *API) showRepeat(w http.ResponseWriter, r *http.Request) {
	v, err := a.engine.Repeat(r.PathValue("id"))
	a.answer(w, r, v, err)
}

func (a *API) removeRepeat(w http.ResponseWriter, r *http.Request) {
	a.done(w, r, a.engine.RemoveRepeat(r.Context(), r.PathValue("id")))
}
