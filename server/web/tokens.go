package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/diskcast/diskcast/server/access"
	"github.com/diskcast/diskcast/server/doc"
)

type readCloser struct {
	io.Reader
	io.Closer
}

func (a *API) listTokens(w http.ResponseWriter, r *http.Request) {
	listed(a, w, r, a.access.List(), func(t *doc.Token) string { return t.Name }, nil)
}

func (a *API) createToken(w http.ResponseWriter, r *http.Request) {
	var in doc.TokenSpec
	var text bytes.Buffer
	r.Body = readCloser{io.TeeReader(r.Body, &text), r.Body}
	if !a.read(w, r, "token", &in) {
		return
	}
	var said struct {
		On *string `json:"on"`
	}
	if err := json.Unmarshal(text.Bytes(), &said); err == nil && said.On != nil && *said.On == "" {
		a.failFor(w, r, fmt.Errorf("%w: its selector is empty: leave on away for a token that is held to no machines, "+
			"or name them", access.ErrSpec)) // a variable of a script that was not set
		return
	}
	machines, err := a.engine.HoldTo(&in)
	if err != nil {
		a.failFor(w, r, err)
		return
	}
	made, err := a.access.Create(r.Context(), in)
	if err != nil {
		a.failFor(w, r, err)
		return
	}
	made.Machines = machines
	a.log.Info("token made", "name", made.Name, "role", made.Role, "on", made.On, "until", made.Until, "peer",
		r.RemoteAddr)
	a.reply(w, http.StatusCreated, made)
}

func (a *API) removeToken(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("token")
	err := a.access.Remove(r.Context(), name)
	if err == nil {
		a.log.Info("token removed", "name", name, "peer", r.RemoteAddr)
	}
	a.done(w, r, err)
}

func (a *API) linkToken(w http.ResponseWriter, r *http.Request) {
	var in doc.LoginLinkSpec
	if a.read(w, r, "link", &in) {
		l, err := a.access.Link(r.PathValue("token"), in)
		if err != nil {
			a.failFor(w, r, err)
			return
		}
		a.reply(w, http.StatusCreated, l)
	}
}
