package page

import (
	"fmt"
	"net/http"
	"time"

	"github.com/diskcast/diskcast/server/access"
	"github.com/diskcast/diskcast/server/doc"
)

// graveWords are how much a finding harms, for people, and the class of the words' colour.
var graveWords = map[string][2]string{
	doc.GraveStops: {"keeps work from being done", "bad"}, doc.GraveHinders: {"is in the way", "warn"},
	doc.GraveMind: {"to be known", "calm"},
}

// doctorView is what the server found that looked at itself.
type doctorView struct {
	*doc.Doctor
	Found []doc.DoctorFinding // the worst first
	Soon  time.Duration       // until it looks again when it is asked to; 0: it does so at once
}

// Harm is how much a finding harms, in words.
func (d *doctorView) Harm(f doc.DoctorFinding) string { return graveWords[f.Grave][0] }

// Colour is the class of these words.
func (d *doctorView) Colour(f doc.DoctorFinding) string { return graveWords[f.Grave][1] }

// Looking reports whether the server looks just now.
func (d *doctorView) Looking() bool { return d.State == doc.DoctorLooking }

func (v *visit) doctor() error {
	seen, err := list[*doc.Doctor](v, "/v1/doctor")
	if err != nil {
		return err
	}
	d := &doctorView{Doctor: seen}
	if seen.Report != nil {
		d.Found = seen.Report.Findings()
		d.Soon = max(time.Until(seen.Again).Round(time.Second), 0)
	}
	return v.show(http.StatusOK, "doctor", "Findings", d)
}

// found says what the server found that keeps work from being done, the last time that it looked, to who may see that.
func (v *visit) found(say func(of, link, words string)) error {
	if !v.may(access.Operator) || v.holder.Within != "" {
		return nil
	}
	seen, err := list[*doc.Doctor](v, "/v1/doctor")
	if is(err, http.StatusNotFound) { // this server does not look at itself
		return nil
	}
	if err != nil || seen.Report == nil {
		return err
	}
	for _, f := range seen.Report.Findings() {
		if f.Grave == doc.GraveStops {
			say("Findings", "/doctor", fmt.Sprintf("%s (looked at %s)", f.What, ago(seen.Ended)))
		}
	}
	return nil
}

func (v *visit) askDoctor() error {
	return v.once(func() (string, string, error) {
		seen, err := ask[*doc.Doctor](v, http.MethodPost, "/v1/doctor", nil)
		if err != nil {
			return "", "", err
		}
		v.did("doctor")
		words := "The server begins to look."
		if seen.State == doc.DoctorLooked {
			words = "The server has just looked: this is what it found."
		}
		return "/doctor", words, nil
	})
}
