package web

import (
	"fmt"
	"net/http"

	"github.com/diskcast/diskcast/server/doc"
)

func (a *API) listMachines(w http.ResponseWriter, r *http.Request) {
	var keep func(*doc.Machine) bool
	if on := r.URL.Query().Get("select"); on != "" {
		ms, err := a.within(r).Select(on)
		if err != nil {
			a.failFor(w, r, err)
			return
		}
		fits := map[string]bool{}
		for i := range ms {
			fits[ms[i].ID] = true
		}
		keep = func(m *doc.Machine) bool { return fits[m.ID] }
	}
	listed(a, w, r, a.within(r).Machines(), func(m *doc.Machine) string { return m.ID }, keep)
}

func (a *API) changeMachines(w http.ResponseWriter, r *http.Request) {
	var c doc.MachinesChange
	if a.read(w, r, "change of machines", &c) {
		ms, err := a.within(r).ChangeMachines(r.Context(), c)
		ids := make([]string, 0, len(ms))
		for i := range ms {
			ids = append(ids, ms[i].ID)
		}
		noteMachines(r, ids)
		a.answer(w, r, ms, err)
	}
}

func (a *API) showLab(w http.ResponseWriter, r *http.Request) {
	a.reply(w, http.StatusOK, a.within(r).Lab())
}

func (a *API) changeLab(w http.ResponseWriter, r *http.Request) {
	var c doc.LabChange
	if a.read(w, r, "lab change", &c) {
		done, err := a.engine.ChangeLab(r.Context(), c)
		a.answer(w, r, done, err)
	}
}

func (a *API) showMachine(w http.ResponseWriter, r *http.Request) {
	m, err := a.engine.Machine(r.PathValue("machine"))
	a.answer(w, r, m, err)
}

func (a *API) editMachine(w http.ResponseWriter, r *http.Request) {
	var c doc.MachineChange
	if a.read(w, r, "machine change", &c) {
		m, err := a.engine.EditMachine(r.Context(), r.PathValue("machine"), c)
		a.answer(w, r, m, err)
	}
}

func (a *API) mergeMachine(w http.ResponseWriter, r *http.Request) {
	var c doc.MachineMerge
	if a.read(w, r, "machine merge", &c) {
		from, ferr := a.engine.Machine(c.From)
		m, err := a.engine.MergeMachines(r.Context(), r.PathValue("machine"), c)
		if err == nil && ferr == nil && a.power != nil {
			err = a.power.Merge(r.Context(), from.ID, m.ID)
		}
		a.answer(w, r, m, err)
	}
}

func (a *API) splitMachine(w http.ResponseWriter, r *http.Request) {
	var c doc.MachineSplit
	if a.read(w, r, "machine split", &c) {
		m, err := a.engine.SplitMachine(r.Context(), r.PathValue("machine"), c)
		a.answer(w, r, m, err)
	}
}

func (a *API) trustMachine(w http.ResponseWriter, r *http.Request) {
	m, err := a.engine.TrustMachine(r.Context(), r.PathValue("machine"))
	a.answer(w, r, m, err)
}

func (a *API) removeMachine(w http.ResponseWriter, r *http.Request) {
	m, err := a.engine.Machine(r.PathValue("machine"))
	if err == nil {
		err = a.engine.RemoveMachine(r.Context(), m.ID)
	}
	if err == nil && a.power != nil { // afterwards: a machine that is not removed keeps its settings
		if err = a.power.Forget(r.Context(), m.ID); err != nil {
			err = fmt.Errorf("machine %s is removed, and how its power was reached is still stored: %w", m.ID, err)
		}
	}
	a.done(w, r, err)
}

// done answers what has no document.
func (a *API) done(w http.ResponseWriter, r *http.Request, err error) {
	if err != nil {
		a.failFor(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// read reads a document of the operator, and answers when it cannot be read.
func (a *API) read(w http.ResponseWriter, r *http.Request, what string, into any) bool {
	if err := decodeJSON(r.Body, into); err != nil {
		a.failDocument(w, r, fmt.Errorf("%s: %w", what, err))
		return false
	}
	return true
}

func (a *API) answer(w http.ResponseWriter, r *http.Request, answer any, err error) {
	if err != nil {
		a.failFor(w, r, err)
		return
	}
	a.reply(w, http.StatusOK, answer)
}
