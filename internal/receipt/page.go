package receipt

import (
	_ "embed"
	"html/template"
	"io"
	"sync"
	"time"
)

//go:embed page.html
var pageHTML string

// page is made when it is asked for: every command would wait for it otherwise.
var page = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("page").Funcs(template.FuncMap{
		"when": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
		"took": func(r *Receipt) string { return r.Ended.Sub(r.Started).Round(time.Second).String() },
	}).Parse(pageHTML))
})

// Page writes one HTML page for many machines: no script, nothing fetched, made to be printed.
func Page(w io.Writer, receipts []Signed) error {
	bad := 0
	shown := make([]Signed, len(receipts))
	for i, r := range receipts {
		shown[i] = r
		shown[i].Receipt = r.Plain()
		if r.Bad != "" || r.Result != Done {
			bad++
		}
	}
	return page().Execute(w, struct {
		Receipts []Signed
		Bad      int
	}{shown, bad})
}
