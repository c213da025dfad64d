package page

import (
	"net/http"
	"slices"

	"github.com/diskcast/diskcast/server/access"
	"github.com/diskcast/diskcast/server/doc"
)

// overviewView is the first page: what goes on, and what wants to be looked at.
type overviewView struct {
	Machines, Agent, Work, Waits, Unapproved int
	Images                                   int
	ImageBytes                               int64
	Going, Recent                            []sessionRow
	Trouble                                  []trouble
	More                                     int // troubles that are not shown
}

// trouble is a sentence about something, and where that is shown.
type trouble struct{ Of, Link, Words string }

const maxTrouble = 12

func (v *visit) overview() error {
	machines, err := list[[]doc.Machine](v, "/v1/machines")
	if err != nil {
		return err
	}
	sessions, err := list[[]*doc.Session](v, "/v1/sessions")
	if err != nil {
		return err
	}
	images, err := get[[]doc.ImageRow](v, "/v1/images")
	if err != nil && !is(err, http.StatusNotFound) {
		return err
	}
	d := &overviewView{Machines: len(machines), Images: len(images)}
	say := func(of, link, words string) {
		if len(d.Trouble) == maxTrouble {
			d.More++
			return
		}
		d.Trouble = append(d.Trouble, trouble{of, link, words})
	}
	if _, err := get[any](v, "/readyz"); is(err, http.StatusServiceUnavailable) {
		to := "/"
		if v.may(access.Operator) && v.holder.Within == "" {
			to = "/doctor"
		}
		say("The server", to, "takes no change: "+err.Error()+". Look for room on the disk of its state directory, "+
			"and at its log; it goes on by itself when it can write there again.")
	}
	if err := v.found(say); err != nil {
		return err
	}
	busy := working(sessions)
	for i := range machines {
		r := row(&machines[i], busy)
		if r.Where == doc.Ready {
			d.Agent++
		}
		if r.Work != nil && r.Work.Part.State == doc.Running {
			d.Work++
		}
		if r.Waits != "" {
			d.Waits++
		}
		if !r.Approved {
			d.Unapproved++
		}
		for _, w := range r.Warnings {
			say(r.Call, "/machines/"+r.ID, w)
		}
	}
	for _, s := range slices.Backward(sessions) {
		r := rowOf(s)
		switch {
		case !s.Over():
			d.Going = append(d.Going, r)
			for _, w := range s.Warnings {
				say(s.ID, "/sessions/"+s.ID, w)
			}
		case len(d.Recent) < 8:
			d.Recent = append(d.Recent, r)
		}
	}
	for i := range images {
		d.ImageBytes += images[i].Object
		if images[i].Problem != "" {
			say(images[i].Name, "/images", images[i].Problem)
		}
	}
	return v.show(http.StatusOK, "overview", "Overview", d)
}

// settingsView is what the server and its operators settled.
type settingsView struct {
	Lab    *doc.Lab
	DHCP   *doc.DHCP
	NoDHCP string
	Notify []doc.NotifyReceiver
	Tokens []doc.Token
}

func (v *visit) settings() error {
	d := &settingsView{}
	var err error
	if d.Lab, err = get[*doc.Lab](v, "/v1/lab"); err != nil {
		return err
	}
	switch d.DHCP, err = get[*doc.DHCP](v, "/v1/dhcp"); {
	case is(err, http.StatusNotFound):
		d.DHCP, d.NoDHCP = nil, err.Error()
	case err != nil:
		return err
	}
	if d.Notify, err = get[[]doc.NotifyReceiver](v, "/v1/notify"); err != nil && !is(err, http.StatusNotFound) {
		return err
	}
	if v.may(access.Admin) {
		if d.Tokens, err = get[[]doc.Token](v, "/v1/tokens"); err != nil {
			return err
		}
	}
	return v.show(http.StatusOK, "settings", "Settings", d)
}
