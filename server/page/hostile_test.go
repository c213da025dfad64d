package page

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"golang.org/x/net/html"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/receipt"
	"github.com/diskcast/diskcast/server/access"
	"github.com/diskcast/diskcast/server/access/provider"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/identity"
	"github.com/diskcast/diskcast/server/web"
)

// hostile is what would become an element, an attribute, a script or text that runs backwards, wherever it stood.
const hostile = "evil'\"><img src=x onerror=alert(1)></title></script><script>alert(2)</script>" +
	"` {{.CSRF}} javascript:alert(3) \u202eback \u05d0\u05d1\x1b[2J\x00"

// fill puts hostile words into every string below v, so that a new field of a document is in the test by itself.
func fill(v reflect.Value, depth int) {
	if depth > 12 {
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(hostile)
	case reflect.Int, reflect.Int64, reflect.Int32:
		v.SetInt(7)
	case reflect.Uint32, reflect.Uint64:
		v.SetUint(7)
	case reflect.Float64:
		v.SetFloat(0.5)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), depth+1)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Now()))
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i), depth+1)
			}
		}
	case reflect.Slice:
		if v.Type() == reflect.TypeFor[json.RawMessage]() {
			b, _ := json.Marshal(hostile) // a string has JSON
			v.SetBytes(b)
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fill(v.Index(i), depth+1)
		}
	case reflect.Map:
		k, e := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(k, depth+1)
		fill(e, depth+1)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(k, e)
	}
}

func filled[T any]() T {
	var out T
	fill(reflect.ValueOf(&out).Elem(), 0)
	return out
}

// evilAPI answers every request with documents in which every string is hostile.
type evilAPI struct {
	state    string // of sessions and parts
	problem  string // of images
	receipts []json.RawMessage
	known    map[string]bool // which of its documents were asked for
}

func (*evilAPI) Record(*http.Request, access.Holder, string) {}

func (*evilAPI) Login(access.Holder, time.Time) string { return hostile }

func (a *evilAPI) Enter(*http.Request, string) (access.Holder, int, error) {
	return access.Holder{Name: hostile, Role: access.Admin}, 0, nil
}

func (a *evilAPI) Use(string) (access.Sum, bool) { return access.Sum{}, false }

func (a *evilAPI) Admit(access.Holder, time.Time) string { return hostile }

func (a *evilAPI) Until(access.Sum) (time.Time, bool) { return time.Unix(1e9, 0), true }

func (a *evilAPI) Dismiss(access.Sum) {}

func (a *evilAPI) Of(access.Sum) (access.Holder, bool) {
	return access.Holder{Name: hostile, Role: access.Admin}, true
}

// evilPeople is a provider all of whose words are hostile.
type evilPeople struct{}

func (evilPeople) Host() string    { return hostile }
func (evilPeople) Public() string  { return "https://example.com" }
func (evilPeople) Trouble() string { return hostile }

func (evilPeople) Begin(context.Context, string) (to, keep string, err error) {
	return "", "", errors.New(hostile)
}

func (evilPeople) Finish(_ context.Context, _ string, q url.Values) (*provider.Login, error) {
	if q.Has("show") {
		return nil, errors.New(hostile)
	}
	return &provider.Login{Holder: access.Holder{Name: hostile, Role: hostile, Within: hostile}, Subject: hostile,
		Until: time.Now().Add(time.Hour), Next: hostile}, nil
}

func (a *evilAPI) sessions() []*doc.Session {
	all := filled[[]*doc.Session]()
	for _, s := range all {
		s.State = a.state
		for i := range s.Parts {
			s.Parts[i].State = a.state
		}
	}
	return all
}

func (a *evilAPI) As(access.Holder) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d := w.(web.Documents)
		a.known[r.URL.Path] = true
		rest, one, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v1/"), "/")
		var answer any
		switch {
		case rest == "machines" && one == "":
			answer = filled[[]doc.Machine]()
		case rest == "machines" && strings.HasSuffix(one, "/console"):
			answer = filled[*doc.Console]()
		case rest == "machines" && strings.HasSuffix(one, "/power"):
			answer = filled[*doc.Power]()
		case rest == "machines":
			answer = filled[*doc.Machine]()
		case rest == "sessions" && one == "":
			answer = a.sessions()
		case rest == "sessions":
			answer = a.sessions()[0]
		case rest == "nodes" && strings.HasSuffix(one, "/log"):
			answer = filled[[]doc.Event]()
		case rest == "nodes":
			answer = filled[*doc.Node]()
		case rest == "images" && one == "":
			rows := filled[[]doc.ImageRow]()
			for i := range rows {
				rows[i].Problem = a.problem
			}
			answer = rows
		case rest == "images":
			im := filled[*doc.Image]()
			im.Config = &image.Config{DiskSize: 1000, SectorSize: 512, Partitions: filled[[]image.Partition]()}
			answer = im
		case rest == "lab":
			answer = filled[*doc.Lab]()
		case rest == "uploads":
			d.Document(http.StatusNoContent, nil)
			return
		case rest == "doctor":
			answer = filled[*doc.Doctor]()
		case rest == "dhcp":
			answer = filled[*doc.DHCP]()
		case rest == "notify":
			answer = filled[[]doc.NotifyReceiver]()
		case rest == "tokens":
			answer = filled[[]doc.Token]()
		case rest == "receipts":
			answer = a.receipts
		case rest == "power":
			answer = filled[*doc.PowerRun]()
		case rest == "jobs" && one == "":
			answer = filled[[]doc.Job]()
		case rest == "jobs":
			answer = filled[*doc.Job]()
		default:
			d.Document(http.StatusNotFound, doc.Error{Error: hostile})
			return
		}
		d.Document(http.StatusOK, answer)
	})
}

// harmlessPage fails when a page has anything that its templates do not: what a string of a machine became.
func harmlessPage(t *testing.T, path, body string) {
	t.Helper()
	for _, r := range body {
		if r != '\n' && r != '\t' && r != unicode.ReplacementChar && !unicode.IsPrint(r) {
			t.Errorf("%s has the character %q", path, r)
			break
		}
	}
	root, err := html.Parse(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for n := range root.Descendants() {
		if n.Type == html.TextNode && strings.Contains(n.Data, "evil") && !alone(n) {
			t.Errorf("%s: what stands beside a string is reordered by it: %.80q in <%s>", path, n.Data, n.Parent.Data)
		}
		if n.Type != html.ElementNode {
			continue
		}
		src := ""
		for _, a := range n.Attr {
			switch {
			case strings.HasPrefix(a.Key, "on"), a.Key == "style", a.Key == "srcdoc", strings.HasPrefix(a.Key, "hx-on"):
				t.Errorf("%s: <%s> has the attribute %s=%.60q", path, n.Data, a.Key, a.Val)
			case slices.Contains([]string{"href", "src", "action", "hx-get", "hx-post", "formaction"}, a.Key):
				if src = a.Val; !strings.HasPrefix(a.Val, "#") && (local(a.Val) != a.Val || a.Val == "") {
					t.Errorf("%s: <%s %s=%.80q> leads away", path, n.Data, a.Key, a.Val)
				}
			}
		}
		switch n.Data {
		case "script":
			if !strings.HasPrefix(src, "/static/") || n.FirstChild != nil {
				t.Errorf("%s has a script of its own: %q", path, src)
			}
		case "style", "iframe", "object", "embed", "base", "math", "template":
			t.Errorf("%s has <%s>", path, n.Data)
		case "img":
			if !strings.HasPrefix(src, "/static/") {
				t.Errorf("%s has <img src=%q>", path, src)
			}
		}
	}
}

// alone reports whether a text keeps to itself, whichever way it runs: it is in <bdi>, or in an element that has no
// others in it.
func alone(text *html.Node) bool {
	for a := range text.Ancestors() {
		switch a.Data {
		case "bdi", "title", "option", "textarea", "pre", "svg":
			return true
		}
	}
	return false
}

// TestHostileStrings: whatever field of whatever document a machine's string comes in, no page lets it do anything.
func TestHostileStrings(t *testing.T) {
	id, err := identity.Load(filepath.Join(t.TempDir(), "state"))
	if err != nil {
		t.Fatal(err)
	}
	rec := filled[receipt.Receipt]()
	rec.V, rec.Result, rec.Term = receipt.Version, receipt.Done, ""
	rec.Machine.ID, rec.Started = "52-54-00-00-00-01", rec.Ended.Add(-time.Second)
	env, err := id.Sign(&rec)
	if err != nil {
		t.Fatalf("a receipt of hostile words: %v", err)
	}
	signed, err := json.Marshal(env)
	if err != nil {
		t.Fatal(err)
	}
	for _, state := range []string{doc.Casting, doc.Failed, doc.Done, hostile} {
		api := &evilAPI{state: state, receipts: []json.RawMessage{signed}, known: map[string]bool{}}
		if state == doc.Failed {
			api.problem = hostile
		}
		p := New(Config{API: api, Tokens: api, People: evilPeople{}, About: filled[About]()})
		p.About.Pin = id.Pin
		for _, rt := range Routes() {
			method, path, _ := strings.Cut(rt.Pattern, " ")
			if method != "GET" || strings.HasPrefix(path, "/static/") {
				continue
			}
			op := "off"
			if strings.HasPrefix(path, "/sessions") {
				op = "retry"
			}
			path = strings.NewReplacer("{machine}", "m1", "{id}", "s1", "{image}", "x", "{op}", op, "{$}", "").
				Replace(path)
			for _, query := range []string{"", "?" + hostileQuery} {
				for _, script := range []string{"", "true"} {
					r := httptest.NewRequest("GET", path+query, nil)
					r.Header.Set("HX-Request", script)
					word := p.visits.begin(access.SumOf("token"), loginLasts) // some pages end one
					r.AddCookie(cookie(cookieName, word, 0))
					if path == "/login" {
						r.URL.RawQuery = "next=" + hostileNext
					}
					w := httptest.NewRecorder()
					p.ServeHTTP(w, r)
					refused := strings.HasPrefix(path, "/login/oidc") && w.Code == http.StatusBadGateway
					if w.Code != http.StatusOK && w.Code != http.StatusNoContent && !refused {
						t.Fatalf("GET %s: %d\n%s", path+query, w.Code, w.Body)
					}
					if strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") {
						harmlessPage(t, path+query, w.Body.String())
					}
				}
			}
		}
		if len(api.known) < 8 {
			t.Errorf("the pages asked for %d documents only: %v", len(api.known), api.known)
		}
	}
}

const (
	hostileQuery = "q=%22%3E%3Cimg+src%3Dx+onerror%3D1%3E&show=%3Cscript%3E&page=%3Cb%3E"
	hostileNext  = "%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E"
)
