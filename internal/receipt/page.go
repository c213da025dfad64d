package receipt

import (
	_ "embed"
	"encoding/json"
	"html/template"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/diskcast/diskcast/internal/plain"
)

//go:embed page.html
var pageHTML string

// page is made when it is asked for: every command would wait for it otherwise.
var page = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("page").Funcs(template.FuncMap{
		"when":  func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
		"took":  func(r *Receipt) string { return r.Ended.Sub(r.Started).Round(time.Second).String() },
		"image": imageOf,
	}).Parse(pageHTML))
})

// image is what a restore wrote, by the details of its receipt.
type image struct {
	Name     string `json:"image"`
	Manifest string `json:"manifest"`
}

// imageOf is empty for kinds that bring no image.
func imageOf(r *Receipt) image {
	var i image
	if json.Unmarshal(r.Details, &i) != nil {
		return image{}
	}
	plain.Strings(&i, 256)
	return i
}

// keyCount is how many signatures of a page were verified with a key.
type keyCount struct {
	Pin   string
	Count int
}

// maxSessions bounds the sessions in a page's title.
const maxSessions = 3

// Page writes one HTML page for many machines: no script, nothing fetched, made to be printed.
func Page(w io.Writer, receipts []Signed) error {
	x := struct {
		Receipts    []Signed
		Bad, Forged int
		Keys        []keyCount
		Sessions    string
	}{Receipts: make([]Signed, len(receipts))}
	var sessions []string
	for i, r := range receipts {
		s := &x.Receipts[i]
		*s = r
		s.Receipt = r.Plain()
		if r.Bad != "" || r.Result != Done {
			x.Bad++
		}
		if r.Bad != "" {
			x.Forged++
		}
		if r.Key != "" {
			at := slices.IndexFunc(x.Keys, func(k keyCount) bool { return k.Pin == r.Key })
			if at < 0 {
				x.Keys, at = append(x.Keys, keyCount{Pin: r.Key}), len(x.Keys)
			}
			x.Keys[at].Count++
		}
		if !slices.Contains(sessions, s.Session) {
			sessions = append(sessions, s.Session)
		}
	}
	if len(sessions) <= maxSessions {
		x.Sessions = strings.Join(sessions, ", ")
	}
	return page().Execute(w, x)
}
