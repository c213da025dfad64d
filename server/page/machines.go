package page

import (
	"cmp"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/diskcast/diskcast/server/doc"
)

// Bounds of lists.
const (
	perPage   = 100
	maxQuery  = 4096 // bytes of a search
	maxFacets = 12
)

// work is what a machine does for a session.
type work struct {
	Session string
	Part    *doc.Part
	Bar     bar
}

// bar is how far something is.
type bar struct {
	Known     bool
	Done, All int64
}

// Percent is it in whole percents.
func (b bar) Percent() int {
	if b.All <= 0 {
		return 0
	}
	return int(min(100, max(0, float64(b.Done)/float64(b.All)*100)))
}

// barOf is how far a part is.
func barOf(p *doc.Part) bar {
	pr := p.Progress
	switch {
	case p.State == doc.Done:
		return bar{true, 1, 1}
	case pr == nil:
		return bar{}
	case pr.ToRead > 0:
		return bar{true, pr.Read, pr.ToRead}
	case pr.ToWrite > 0:
		return bar{true, pr.Written, pr.ToWrite}
	case pr.Needed > 0:
		return bar{true, pr.Received, pr.Needed}
	}
	return bar{}
}

// machineRow is a line of the list.
type machineRow struct {
	*doc.Machine
	Call string // name, or id where it has none
	Work *work
}

// facet is a label that many machines have, as a link.
type facet struct {
	Label, Link string
	Machines    int
	On          bool
}

// choice is one of the filters.
type choice struct {
	Words, Link string
	Machines    int
	On          bool
}

// machinesView is the list.
type machinesView struct {
	Query   string
	Show    string
	Problem string // with the search
	All     int
	Found   int
	Rows    []machineRow
	Choices []choice
	Facets  []facet
	Pages   pager
}

// pager is which part of a list is shown.
type pager struct {
	Page, Last       int
	Previous, Next   string
	From, To, Length int
}

// cut returns which of n things the page shows that ?page= says.
func (v *visit) cut(n int) pager {
	p := pager{Page: 1, Last: max(1, (n+perPage-1)/perPage), Length: n}
	if want, err := strconv.Atoi(v.r.URL.Query().Get("page")); err == nil {
		p.Page = min(max(1, want), p.Last)
	}
	p.From, p.To = (p.Page-1)*perPage, min(n, p.Page*perPage)
	link := func(page int) string {
		q := v.r.URL.Query()
		q.Set("page", strconv.Itoa(page))
		return v.r.URL.Path + "?" + q.Encode()
	}
	if p.Page > 1 {
		p.Previous = link(p.Page - 1)
	}
	if p.Page < p.Last {
		p.Next = link(p.Page + 1)
	}
	return p
}

// working returns what each node does for a session that goes or waits.
func working(sessions []*doc.Session) map[string]*work {
	out := map[string]*work{}
	for _, s := range sessions {
		if s.Over() {
			continue
		}
		for i := range s.Parts {
			if p := &s.Parts[i]; !p.Over() {
				out[p.Node] = &work{s.ID, p, barOf(p)}
			}
		}
	}
	return out
}

func call(m *doc.Machine) string { return cmp.Or(m.Name, m.ID) }

// shows are the filters of the list.
var shows = []struct {
	key, words string
	fits       func(*machineRow) bool
}{
	{"", "all", func(*machineRow) bool { return true }},
	{"agent", "in the agent", func(r *machineRow) bool { return r.Where == doc.Ready }},
	{"works", "at work", func(r *machineRow) bool { return r.Work != nil && r.Work.Part.State == doc.Running }},
	{"waits", "waiting", func(r *machineRow) bool { return r.Waits != "" }},
	{"approve", "not approved", func(r *machineRow) bool { return !r.Approved }},
	{"warn", "with a warning", func(r *machineRow) bool { return len(r.Warnings) > 0 }},
}

func (v *visit) machines() error {
	q := v.r.URL.Query()
	query := strings.TrimSpace(q.Get("q"))
	if len(query) > maxQuery {
		return &refused{http.StatusRequestURITooLong, "the search is too long"}
	}
	all, err := list[[]doc.Machine](v, "/v1/machines")
	if err != nil {
		return err
	}
	sessions, err := list[[]*doc.Session](v, "/v1/sessions")
	if err != nil {
		return err
	}
	d := &machinesView{Query: query, Show: q.Get("show"), All: len(all), Facets: facets(all, query)}
	found := all
	if query != "" {
		if found, err = v.search(all, query); err != nil {
			if !is(err, http.StatusUnprocessableEntity) && !is(err, http.StatusNotFound) &&
				!is(err, http.StatusBadRequest) {
				return err
			}
			d.Problem, found = err.Error(), nil
		}
	}
	busy, rows := working(sessions), make([]machineRow, len(found))
	for i := range found {
		rows[i] = row(&found[i], busy)
	}
	for _, s := range shows {
		n := 0
		for i := range rows {
			if s.fits(&rows[i]) {
				n++
			}
		}
		link := url.Values{}
		for k, val := range map[string]string{"q": query, "show": s.key} {
			if val != "" {
				link.Set(k, val)
			}
		}
		d.Choices = append(d.Choices, choice{s.words, "/machines?" + link.Encode(), n, s.key == d.Show})
	}
	if i := slices.IndexFunc(d.Choices, func(c choice) bool { return c.On }); i > 0 {
		rows = slices.DeleteFunc(rows, func(r machineRow) bool { return !shows[i].fits(&r) })
	}
	d.Found = len(rows)
	d.Pages = v.cut(len(rows))
	d.Rows = rows[d.Pages.From:d.Pages.To]
	return v.show(http.StatusOK, "machines", "Machines", d)
}

func row(m *doc.Machine, busy map[string]*work) machineRow {
	r := machineRow{Machine: m, Call: call(m)}
	for _, n := range m.Nodes {
		if w := busy[n]; w != nil {
			r.Work = w
		}
	}
	return r
}

// search finds machines by a selector; a single word without a sign of one is looked for in everything that is entered
// or seen of a machine.
func (v *visit) search(all []doc.Machine, query string) ([]doc.Machine, error) {
	if strings.ContainsAny(query, "=,!*?[]@ ") {
		return list[[]doc.Machine](v, "/v1/machines?select=%s", query)
	}
	word := strings.ToLower(query)
	has := func(s string) bool { return strings.Contains(strings.ToLower(s), word) }
	var out []doc.Machine
	for i := range all {
		m := &all[i]
		hit := has(m.Name) || has(m.ID) || has(m.Notes) || has(m.Where) || has(m.Profile) || has(m.Switch) ||
			slices.ContainsFunc(m.Boots, has) ||
			slices.ContainsFunc(m.Boards, func(b doc.Board) bool { return has(b.Serial) || has(b.UUID) })
		for k, val := range m.Labels {
			hit = hit || has(k) || has(val)
		}
		if hit {
			out = append(out, *m)
		}
	}
	return out, nil
}

// facets are the labels that most machines have.
func facets(all []doc.Machine, query string) []facet {
	count := map[string]int{}
	for i := range all {
		for k, val := range all[i].Labels {
			if val != "" {
				k += "=" + val
			}
			count[k]++
		}
	}
	keys := slices.SortedFunc(maps.Keys(count), func(a, b string) int {
		return cmp.Or(cmp.Compare(count[b], count[a]), strings.Compare(a, b))
	})
	var out []facet
	for _, k := range keys[:min(len(keys), maxFacets)] {
		f := facet{Label: k, Machines: count[k], On: k == query, Link: "/machines?" + url.Values{"q": {k}}.Encode()}
		if f.On {
			f.Link = "/machines"
		}
		out = append(out, f)
	}
	return out
}

// mark is one step of a timeline.
type mark struct {
	Step, Words string
	Time        time.Time
	After       float64 // seconds since the first
	Gap         float64 // since the one before
}

// stepWords are a timeline's steps for people.
var stepWords = map[string]string{
	doc.StepDHCP: "asks for an address", doc.StepBootfile: "fetched the first stage",
	doc.StepScript: "fetched the boot script", doc.StepKernel: "fetched the kernel",
	doc.StepInitramfs: "fetched the initramfs", doc.StepLocal: "sent to its own disk", "agent": "the agent runs",
	"plan": "plan checked", "table": "partition table written", "first-byte": "first byte", "last-byte": "last byte",
	"written": "everything is on the disk", "verified": "read back and compared", "grown": "partition grown",
	"personalized": "made its own", "entry": "boot entry made", "uploaded": "image stored", "boot": "leaves",
	"failed": "failed",
}

// timeline puts steps in order.
func timeline(all ...map[string]doc.Mark) []mark {
	var out []mark
	for _, steps := range all {
		for name, m := range steps {
			w := cmp.Or(stepWords[name], name)
			if disk, step, ok := strings.Cut(name, "/"); ok {
				w = "disk " + disk + ": " + cmp.Or(stepWords[step], step)
			}
			out = append(out, mark{Step: name, Words: w, Time: m.Time})
		}
	}
	slices.SortStableFunc(out, func(a, b mark) int {
		return cmp.Or(a.Time.Compare(b.Time), strings.Compare(a.Step, b.Step))
	})
	out = slices.CompactFunc(out, func(a, b mark) bool { return a.Step == b.Step && a.Time.Equal(b.Time) })
	for i := range out {
		out[i].After = out[i].Time.Sub(out[0].Time).Seconds()
		if i > 0 {
			out[i].Gap = out[i].Time.Sub(out[i-1].Time).Seconds()
		}
	}
	return out
}

// history is a part that a machine had in a session.
type history struct {
	Session *doc.Session
	Part    *doc.Part
}

// machineView is one machine.
type machineView struct {
	machineRow
	Node     *doc.Node // nil: none has come
	Timeline []mark
	Log      []doc.Event
	Parts    []history // the latest first
	Power    *doc.Power
	NoPower  string // why there is none
}

const maxHistory = 20

func (v *visit) machine() error {
	m, err := get[*doc.Machine](v, "/v1/machines/%s", v.r.PathValue("machine"))
	if err != nil {
		return err
	}
	sessions, err := list[[]*doc.Session](v, "/v1/sessions")
	if err != nil {
		return err
	}
	d := &machineView{machineRow: row(m, working(sessions))}
	for _, s := range slices.Backward(sessions) {
		for i := range s.Parts {
			if slices.Contains(m.Nodes, s.Parts[i].Node) && len(d.Parts) < maxHistory {
				d.Parts = append(d.Parts, history{s, &s.Parts[i]})
			}
		}
	}
	var trace, steps map[string]doc.Mark
	if len(d.Parts) > 0 {
		steps = d.Parts[0].Part.Steps
	}
	if len(m.Nodes) > 0 {
		node := m.Nodes[len(m.Nodes)-1]
		switch d.Node, err = get[*doc.Node](v, "/v1/nodes/%s", node); {
		case err == nil:
			trace = d.Node.Trace
			if d.Log, err = get[[]doc.Event](v, "/v1/nodes/%s/log?limit=60&all=true", node); err != nil {
				return err
			}
			d.Log = slices.Clone(d.Log) // the API's is read only
			slices.Reverse(d.Log)
		case !is(err, http.StatusNotFound):
			return err
		}
	}
	d.Timeline = timeline(trace, steps)
	d.Power, err = get[*doc.Power](v, "/v1/machines/%s/power", m.ID)
	if r := (*refused)(nil); errors.As(err, &r) && r.code < http.StatusInternalServerError {
		d.Power, d.NoPower = nil, r.words
	} else if err != nil {
		return err
	}
	return v.show(http.StatusOK, "machine", d.Call, d)
}
