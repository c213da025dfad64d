package page

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
)

// confirmView asks once more before something is done.
type confirmView struct {
	Question string
	Note     string
	Button   string
	Action   string // where the form goes
	Back     string
}

// deed is one thing that can be done to a session.
type deed struct{ Question, Note, Button, Done string }

var sessionDeeds = map[string]deed{
	"cancel": {"Cancel %s?", "Machines that are being written to stop, and their disks are left half written.",
		"Cancel the session", "%s is cancelled"},
	"go": {"Start %s with those who are here?",
		"Machines that are not here are waited for no longer; they may still come while the session lasts.",
		"Start now", "%s starts with those who are here"},
	"retry": {"Do again what is not done of %s?",
		"A new session does it, with the same image, disk and settings, for the machines that failed, did not come " +
			"or were cancelled.",
		"Retry", "%s does again what was not done"},
}

func (v *visit) askSession() error {
	id, op := v.r.PathValue("id"), v.r.PathValue("op")
	d, ok := sessionDeeds[op]
	if !ok {
		return &refused{http.StatusNotFound, "there is no such page"}
	}
	if _, err := get[*doc.Session](v, "/v1/sessions/%s", id); err != nil {
		return err
	}
	c := confirmView{fmt.Sprintf(d.Question, id), d.Note, d.Button, path("/sessions/%s/%s", id, op),
		path("/sessions/%s", id)}
	return v.show(http.StatusOK, "confirm", c.Question, c)
}

func (v *visit) doSession() error {
	id, op := v.r.PathValue("id"), v.r.PathValue("op")
	d, ok := sessionDeeds[op]
	if !ok {
		return &refused{http.StatusNotFound, "there is no such page"}
	}
	return v.once(func() (string, string, error) {
		s, err := ask[*doc.Session](v, http.MethodPost, path("/v1/sessions/%s/%s", id, op), nil)
		if err != nil {
			return "", "", err
		}
		v.did(op, "session", id)
		return path("/sessions/%s", s.ID), fmt.Sprintf(d.Done, s.ID), nil
	})
}

// did logs what somebody did by the page.
func (v *visit) did(what string, args ...any) {
	v.page.Log.Info("done by the page", append([]any{"what", what, "token", v.holder.Name, "peer", v.r.RemoteAddr},
		args...)...)
}

// powerDeeds is what can be done to a machine's power, in the order of the buttons.
var powerDeeds = []struct{ Op, Button, Note string }{
	{doc.PowerState, "Read the power's state", "Nothing is switched."},
	{doc.PowerOn, "Switch on", ""},
	{doc.PowerCycle, "Switch off and on", "Whatever runs on the machine ends at once, without being asked."},
	{doc.PowerOff, "Switch off", "Whatever runs on the machine ends at once, without being asked."},
}

// PowerDeeds is powerDeeds for the page of a machine.
func (machineView) PowerDeeds() []struct{ Op, Button, Note string } { return powerDeeds }

func (v *visit) askPower() error {
	i := slices.IndexFunc(powerDeeds, func(d struct{ Op, Button, Note string }) bool {
		return d.Op == v.r.PathValue("op")
	})
	if i < 0 {
		return &refused{http.StatusNotFound, "there is no such page"}
	}
	m, err := get[*doc.Machine](v, "/v1/machines/%s", v.r.PathValue("machine"))
	if err != nil {
		return err
	}
	d := powerDeeds[i]
	c := confirmView{d.Button + ": " + call(m) + "?", d.Note, d.Button, path("/machines/%s/power/%s", m.ID, d.Op),
		path("/machines/%s", m.ID)}
	return v.show(http.StatusOK, "confirm", c.Question, c)
}

func (v *visit) doPower() error {
	op, machine := v.r.PathValue("op"), v.r.PathValue("machine")
	if !slices.ContainsFunc(powerDeeds, func(d struct{ Op, Button, Note string }) bool { return d.Op == op }) {
		return &refused{http.StatusNotFound, "there is no such page"}
	}
	return v.once(func() (string, string, error) {
		run, err := ask[*doc.PowerRun](v, http.MethodPost, "/v1/power",
			doc.PowerSpec{V: session.Version, Op: op, Machines: []string{machine}})
		if err != nil {
			return "", "", err
		}
		v.did("power "+op, "machine", machine)
		return path("/power/%s", run.ID), "", nil
	})
}

func (v *visit) powerRun() error {
	run, err := get[*doc.PowerRun](v, "/v1/power/%s?wait=0s", v.r.PathValue("id"))
	if err != nil {
		return err
	}
	return v.show(http.StatusOK, "power", "Power: "+run.Spec.Op, run)
}

// approve approves machines by their ids.
func (v *visit) approve() error {
	on := strings.TrimSpace(v.r.PostForm.Get("on"))
	if on == "" {
		return &refused{http.StatusBadRequest, "no machine is named"}
	}
	yes := true
	done, err := ask[[]doc.Machine](v, http.MethodPost, "/v1/machines",
		doc.MachinesChange{V: session.Version, On: on, Approved: &yes})
	if err != nil {
		return err
	}
	v.did("approve", "machines", len(done))
	words := "1 machine is approved"
	if len(done) != 1 {
		words = fmt.Sprintf("%d machines are approved", len(done))
	}
	return v.back(local(v.r.PostForm.Get("next")), words)
}

// Unapproved names the machines shown that are not approved, as a selector.
func (d *machinesView) Unapproved() string {
	var ids []string
	for i := range d.Rows {
		if !d.Rows[i].Approved {
			ids = append(ids, d.Rows[i].ID)
		}
	}
	return strings.Join(ids, " ")
}
