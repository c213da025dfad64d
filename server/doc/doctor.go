package doc

import (
	"cmp"
	"slices"
	"time"
)

// How much a finding harms.
const (
	GraveStops   = "stops"   // machines do not boot, or what is done is not stored
	GraveHinders = "hinders" // it goes, but slowly, or for some only
	GraveMind    = "mind"    // to be known
)

// graves are in the order in which they are shown.
var graves = []string{GraveStops, GraveHinders, GraveMind}

// DoctorFinding is one thing that is wrong.
type DoctorFinding struct {
	ID    string `json:"id"`
	Grave string `json:"grave"` // stops, hinders or mind
	What  string `json:"what"`  // what was seen
	Cause string `json:"cause"` // why that harms
	Mend  string `json:"mend"`  // a command, or what to do by hand
}

// DoctorLook is what came of one check.
type DoctorLook struct {
	Check string          `json:"check"`
	Found []DoctorFinding `json:"found,omitempty"`
	Well  []string        `json:"well,omitempty"`       // what was seen and is as it should be
	Not   []string        `json:"not_looked,omitempty"` // what could not be looked at, and why
}

// DoctorReport is what came of all checks.
type DoctorReport struct {
	V         int          `json:"v"`
	Interface string       `json:"interface,omitempty"`
	Address   string       `json:"address,omitempty"`
	Machine   string       `json:"machine,omitempty"` // that was looked at, of a report of one
	Looks     []DoctorLook `json:"looks"`
}

// Findings are those of all checks, the worst first, and else in the order of the checks.
func (r *DoctorReport) Findings() []DoctorFinding {
	var out []DoctorFinding
	for i := range r.Looks {
		out = append(out, r.Looks[i].Found...)
	}
	slices.SortStableFunc(out, func(a, b DoctorFinding) int {
		return cmp.Compare(slices.Index(graves, a.Grave), slices.Index(graves, b.Grave))
	})
	return out
}

// Missed is how many things could not be looked at.
func (r *DoctorReport) Missed() int {
	n := 0
	for i := range r.Looks {
		n += len(r.Looks[i].Not)
	}
	return n
}

// What a server that looks at itself does now.
const (
	DoctorNever   = "never"   // it has not looked since it was started
	DoctorLooking = "looking" // it looks
	DoctorLooked  = "looked"
)

// Doctor is what a server found that looked at itself: GET and POST /v1/doctor.
type Doctor struct {
	V      int           `json:"v"`
	State  string        `json:"state"`            // never, looking or looked
	Serial uint64        `json:"serial"`           // grows with each change
	By     string        `json:"by,omitempty"`     // who had it look the last time
	Began  time.Time     `json:"began,omitzero"`   // the look that goes on, or the last
	Ended  time.Time     `json:"ended,omitzero"`   // the look that the report is of
	Again  time.Time     `json:"again,omitzero"`   // before this, it does not look again
	Report *DoctorReport `json:"report,omitempty"` // of the last look that ended
}
