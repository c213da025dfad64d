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

// Signed is a receipt with its envelope's state.
type Signed struct {
	*Receipt
	Key string // pin of the key that signed it
	Bad string // why the signature does not hold; empty when it does
}

// Page writes one HTML page for many machines: no script, nothing fetched, made to be printed.
func Page(w io.Writer, receipts []Signed) error {
	bad := 0
	for _, r := range receipts {
		if r.Bad != "" || r.Result != Done {
			bad++
		}
	}
	return page().Execute(w, struct {
		Receipts []Signed
		Bad      int
	}{receipts, bad})
}
