package page

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
)

// startView is the form of a session, and its plan once there is one. Fields are as they were typed, so that a plan
// carries them on and a refused form keeps them.
type startView struct {
	Capture  string // machine that is captured; empty: a restore
	Call     string // its name
	Fields   url.Values
	Images   []doc.ImageRow
	Profiles []doc.Profile
	Groups   []doc.Group
	Disks    []diskChoice
	Problem  string
	Plan     *doc.Plan
	Counts   map[string]int
	Hopeless bool
	Zone     string // of the server's clock
}

// Field is what was typed.
func (d *startView) Field(name string) string { return d.Fields.Get(name) }

// ChangeLink leads back to the form, with what was typed.
func (d *startView) ChangeLink() string {
	to := "/start"
	if d.Capture != "" {
		to = path("/machines/%s/capture", d.Capture)
	}
	return to + "?" + d.Fields.Encode()
}

// diskChoice is a rule for the disk.
type diskChoice struct {
	Key, Words string
	rule       *session.Target // nil: the profile's, or the only disk
}

var diskChoices = []diskChoice{
	{"", "the profile's rule; without a profile, the only disk", nil},
	{"only", "the only disk", &session.Target{}},
	{"largest", "the largest disk", &session.Target{Largest: true}},
	{"smallest", "the smallest disk", &session.Target{Smallest: true}},
	{"nvme", "the only NVMe disk", &session.Target{Type: session.TypeNVMe}},
	{"ssd", "the only SSD", &session.Target{Type: session.TypeSSD}},
	{"hdd", "the only disk that rotates", &session.Target{Type: session.TypeHDD}},
	{"first", "the first disk by its place", &session.Target{First: true}},
}

// fields are the form's own; nothing else of it is carried on.
var fields = []string{"what", "on", "disk", "min", "wait", "at", "verify", "power", "notes", "name", "level"}

func (v *visit) newStart(values url.Values) (*startView, error) {
	d := &startView{Capture: v.r.PathValue("machine"), Fields: url.Values{}, Disks: diskChoices}
	d.Zone, _ = time.Now().Zone()
	for _, f := range fields {
		if s := strings.TrimSpace(values.Get(f)); s != "" {
			if len(s) > maxQuery {
				return nil, &refused{http.StatusRequestEntityTooLarge, "the field " + f + " is too long"}
			}
			d.Fields.Set(f, s)
		}
	}
	var err error
	if d.Capture != "" {
		m, err := get[*doc.Machine](v, "/v1/machines/%s", d.Capture)
		if err != nil {
			return nil, err
		}
		d.Capture, d.Call = m.ID, call(m)
	}
	if d.Images, err = get[[]doc.ImageRow](v, "/v1/images"); err != nil && !is(err, http.StatusNotFound) {
		return nil, err
	}
	lab, err := get[*doc.Lab](v, "/v1/lab")
	if err != nil {
		return nil, err
	}
	d.Profiles, d.Groups = lab.Profiles, lab.Groups
	return d, nil
}

func (v *visit) startForm() error {
	d, err := v.newStart(v.r.URL.Query())
	if err != nil {
		return err
	}
	return v.showStart(d)
}

func (v *visit) showStart(d *startView) error {
	title := "Start a session"
	if d.Capture != "" {
		title = "Capture " + d.Call
	}
	code := http.StatusOK
	if d.Problem != "" {
		code = http.StatusUnprocessableEntity
	}
	return v.show(code, "start", title, d)
}

// spec is what the form asks for: only what it says, so that a profile says the rest.
func (d *startView) spec() (map[string]any, error) {
	s := map[string]any{"v": session.Version}
	number := func(field, what string, put func(float64)) error {
		if t := d.Field(field); t != "" {
			n, err := strconv.ParseFloat(t, 64)
			if err != nil || n < 0 || n > 1e6 {
				return fmt.Errorf("%s: %q is no number from 0 to a million", what, t)
			}
			put(n)
		}
		return nil
	}
	if d.Capture != "" {
		if err := image.CheckName(d.Field("name")); err != nil {
			return nil, err
		}
		s["capture"], s["nodes"] = d.Field("name"), []string{d.Capture}
		s["level"] = cmp.Or(d.Field("level"), image.Default)
	} else {
		kind, name, ok := strings.Cut(d.Field("what"), ":")
		switch {
		case !ok || name == "" || kind != "image" && kind != "profile":
			return nil, fmt.Errorf("choose an image or a profile")
		case d.Field("on") == "":
			return nil, fmt.Errorf("say which machines: by names, labels or a group, or all")
		}
		if s[kind] = name; d.Field("on") == "all" {
			s["all"] = true
		} else {
			s["on"] = d.Field("on")
		}
		if err := number("min", "machines to wait for", func(n float64) { s["min_nodes"] = int(n) }); err != nil {
			return nil, err
		}
		if err := number("wait", "minutes", func(n float64) { s["max_wait"] = n * 60 }); err != nil {
			return nil, err
		}
		if d.Field("verify") != "" {
			s["verify"] = true
		}
	}
	i := slices.IndexFunc(diskChoices, func(c diskChoice) bool { return c.Key == d.Field("disk") })
	if i < 0 {
		return nil, fmt.Errorf("there is no such rule for the disk")
	}
	if rule := diskChoices[i].rule; rule != nil {
		s["target"] = rule
	}
	if t := d.Field("at"); t != "" {
		at, err := time.ParseInLocation("2006-01-02T15:04", t, time.Local)
		if err != nil {
			return nil, fmt.Errorf("when: %q is no day and time", t)
		}
		s["at"] = at
	}
	if d.Field("power") != "" {
		s["power"] = doc.PowerOn
	}
	if t := d.Field("notes"); t != "" {
		s["notes"] = t
	}
	return s, nil
}

// plan shows what the form's session would do, before there is one.
func (v *visit) plan() error {
	d, err := v.newStart(v.r.PostForm)
	if err != nil {
		return err
	}
	spec, err := d.spec()
	if err == nil {
		d.Plan, err = ask[*doc.Plan](v, http.MethodPost, "/v1/sessions/plan", spec)
	}
	if err != nil {
		return v.startAgain(d, err)
	}
	d.Counts, d.Hopeless = d.Plan.Counts(), d.Plan.Hopeless()
	return v.show(http.StatusOK, "plan", "The plan", d)
}

// startAgain shows the form with what is wrong with it.
func (v *visit) startAgain(d *startView, err error) error {
	if is(err, http.StatusForbidden) || is(err, http.StatusInternalServerError) {
		return err
	}
	d.Problem = err.Error()
	return v.showStart(d)
}

func (v *visit) start() error {
	d, err := v.newStart(v.r.PostForm)
	if err != nil {
		return err
	}
	return v.once(func() (string, string, error) {
		spec, err := d.spec()
		var s *doc.Session
		if err == nil {
			s, err = ask[*doc.Session](v, http.MethodPost, "/v1/sessions", spec)
		}
		if err != nil {
			return "", "", v.startAgain(d, err)
		}
		v.did("start", "session", s.ID)
		return path("/sessions/%s", s.ID), s.ID + " is made", nil
	})
}
