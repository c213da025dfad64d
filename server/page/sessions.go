package page

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/diskcast/diskcast/internal/receipt"
	"github.com/diskcast/diskcast/server/doc"
)

// sessionRow is a line of the list.
type sessionRow struct {
	*doc.Session
	What                              string // in words
	Done, Failed, Running, Other, All int
	Bar                               bar
}

// what says what a session does.
func what(s *doc.Session) string {
	switch {
	case s.Spec.Capture != "":
		return "capture " + s.Spec.Capture
	case s.Spec.Kind != "" && s.Image.Name == "":
		return s.Spec.Kind
	case s.Image.Name != "":
		return cmp.Or(s.Spec.Kind, "restore") + " " + s.Image.Name
	}
	return cmp.Or(s.Spec.Kind, "restore") + " " + s.Spec.Image
}

func rowOf(s *doc.Session) sessionRow {
	r := sessionRow{Session: s, What: what(s), All: len(s.Parts)}
	var permille int64
	for i := range s.Parts {
		p := &s.Parts[i]
		switch p.State {
		case doc.Done:
			r.Done++
		case doc.Failed, doc.Absent:
			r.Failed++
		case doc.Running, doc.Starting:
			r.Running++
		default:
			r.Other++
		}
		if b := barOf(p); b.Known && b.All > 0 {
			permille += min(1000, max(0, int64(float64(b.Done)/float64(b.All)*1000)))
		}
	}
	if len(s.Parts) > 0 {
		r.Bar = bar{true, permille, 1000 * int64(len(s.Parts))}
	}
	return r
}

// sessionsView is the list.
type sessionsView struct {
	Rows  []sessionRow
	Pages pager
}

func (v *visit) sessions() error {
	all, err := list[[]*doc.Session](v, "/v1/sessions")
	if err != nil {
		return err
	}
	d := &sessionsView{Pages: v.cut(len(all))}
	newest := slices.Clone(all)
	slices.Reverse(newest)
	for _, s := range newest[d.Pages.From:d.Pages.To] {
		d.Rows = append(d.Rows, rowOf(s))
	}
	return v.show(http.StatusOK, "sessions", "Sessions", d)
}

// partRow is a machine in a session.
type partRow struct {
	*doc.Part
	Call   string
	Link   string
	Bar    bar
	Loss   float64
	Behind bool // what it lacks came to it alone
	Why    string
}

// sessionView is one session.
type sessionView struct {
	sessionRow
	Parts    []partRow
	Pages    pager
	Receipts int
	Loss     float64
	CanRetry bool
}

// order is how much a part's state wants to be looked at.
var order = []string{doc.Failed, doc.Absent, doc.Running, doc.Starting, doc.Offered, doc.Waiting, doc.Cancelled,
	doc.Done}

func (v *visit) session() error {
	s, err := get[*doc.Session](v, "/v1/sessions/%s", v.r.PathValue("id"))
	if err != nil {
		return err
	}
	machines, err := list[[]doc.Machine](v, "/v1/machines")
	if err != nil {
		return err
	}
	byNode := map[string]*doc.Machine{}
	for i := range machines {
		for _, n := range machines[i].Nodes {
			byNode[n] = &machines[i]
		}
	}
	d := &sessionView{sessionRow: rowOf(s)}
	received := map[string]*doc.Receiver{}
	if s.Cast != nil {
		for i := range s.Cast.Stats.Receivers {
			r := &s.Cast.Stats.Receivers[i]
			received[r.Node] = r
		}
	}
	for i := range s.Parts {
		p := partRow{Part: &s.Parts[i], Call: s.Parts[i].Node, Bar: barOf(&s.Parts[i])}
		if m := byNode[p.Node]; m != nil {
			p.Call, p.Link = call(m), "/machines/"+m.ID
		}
		if r := received[p.Node]; r != nil {
			p.Loss = r.Loss
		} else if p.Progress != nil {
			p.Loss = p.Progress.Loss
		}
		p.Behind = p.Progress != nil && p.Progress.Unicast > 0
		for _, w := range []string{p.Reason, p.Unbootable, p.Waits, p.Warning, p.Identity} {
			if w != "" {
				p.Why = w
				break
			}
		}
		d.Loss = max(d.Loss, p.Loss)
		if n := p.Part.Receipts; n > 0 || p.Over() && !p.Planned.IsZero() && p.NoReceipt == "" {
			d.Receipts += max(n, 1)
		}
		d.CanRetry = d.CanRetry || s.Over() && p.State != doc.Done
		d.Parts = append(d.Parts, p)
	}
	slices.SortStableFunc(d.Parts, func(a, b partRow) int {
		return cmp.Or(cmp.Compare(slices.Index(order, a.State), slices.Index(order, b.State)),
			strings.Compare(a.Call, b.Call))
	})
	d.Pages = v.cut(len(d.Parts))
	d.Parts = d.Parts[d.Pages.From:d.Pages.To]
	return v.show(http.StatusOK, "session", "Session "+s.ID, d)
}

// receiptsView is what a session's receipts say.
type receiptsView struct {
	Session string
	All     []receipt.Signed
}

func (v *visit) receipts() error {
	id := v.r.PathValue("id")
	raw, err := get[[]json.RawMessage](v, "/v1/receipts?session=%s", id)
	if err != nil {
		return err
	}
	d := &receiptsView{Session: id}
	if d.All, err = receipt.LookAll(raw, v.page.About.Pin); err != nil {
		return err // a page without it would look whole
	}
	return v.show(http.StatusOK, "receipts", "Receipts of "+id, d)
}

// castRow is a cast on the LAN.
type castRow struct {
	Session *doc.Session
	Image   string
	Cast    *doc.Cast
	Loss    float64
}

type castsView struct{ Rows []castRow }

func (v *visit) casts() error {
	all, err := list[[]*doc.Session](v, "/v1/sessions")
	if err != nil {
		return err
	}
	d := &castsView{}
	for _, s := range all {
		if s.Over() {
			continue
		}
		add := func(image string, c *doc.Cast) {
			if c == nil {
				return
			}
			r := castRow{Session: s, Image: image, Cast: c}
			for i := range c.Stats.Receivers {
				r.Loss = max(r.Loss, c.Stats.Receivers[i].Loss)
			}
			d.Rows = append(d.Rows, r)
		}
		add(s.Image.Name, s.Cast)
		for i := range s.MoreDisks {
			add(s.MoreDisks[i].Image.Name, s.MoreDisks[i].Cast)
		}
	}
	return v.show(http.StatusOK, "casts", "Casts", d)
}
