package page

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"math"
	"mime"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/internal/units"
	"github.com/diskcast/diskcast/server/access"
)

//go:embed html static
var files embed.FS

// version names the static files: a browser keeps them for ever under a name that changes with them.
var version = sync.OnceValue(func() string {
	sum := sha256.New()
	err := fs.WalkDir(files, "static", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := files.ReadFile(path)
		sum.Write(b)
		return err
	})
	if err != nil {
		panic(err) // the files are in the program
	}
	return hex.EncodeToString(sum.Sum(nil))[:12]
})

func (v *visit) static() error {
	name := v.r.PathValue("file")
	b, err := files.ReadFile("static/" + name)
	if err != nil || v.r.PathValue("version") != version() {
		return &refused{http.StatusNotFound, "there is no such file"}
	}
	h := v.w.Header()
	h.Set("Content-Type", mime.TypeByExtension(filepath.Ext(name)))
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	return v.send(http.StatusOK, b)
}

// screen is what the layout of every page is given; D is the page's own.
type screen struct {
	Title, Name, Nav string
	Self             string // the page's own address
	Version          string
	Holder           access.Holder
	In, May, Admin   bool // logged in; may work; may everything
	Person           bool // who is logged in by the provider
	CSRF             string
	Flash            string
	About            About
	D                any
}

// pages are the templates, each with the layout around it.
var pages = sync.OnceValue(func() map[string]*template.Template {
	layout := template.Must(template.New("layout.html").Funcs(words).ParseFS(files, "html/layout.html"))
	all, err := fs.Glob(files, "html/*.html")
	if err != nil {
		panic(err) // the pattern is above
	}
	out := map[string]*template.Template{}
	for _, f := range all {
		if name := strings.TrimSuffix(filepath.Base(f), ".html"); name != "layout" {
			page := template.Must(template.Must(layout.Clone()).ParseFS(files, f))
			isolate(page)
			out[name] = page
		}
	}
	return out
})

// show answers with a page, or with the part of it that changes where a script asks for that.
func (v *visit) show(code int, name, title string, d any) error {
	s := &screen{Title: title, Name: name, Nav: v.section(), Self: v.r.URL.RequestURI(), Version: version(),
		Holder: v.holder, In: v.known != nil, May: v.may(access.Operator), Admin: v.may(access.Admin),
		About: v.page.About, D: d, CSRF: v.csrf()}
	if v.known != nil {
		_, s.Person = v.page.Tokens.Until(v.known.token)
	}
	block := "layout.html"
	if v.fragment() && code == http.StatusOK {
		block = "live"
	} else if v.known != nil {
		s.Flash = v.page.visits.said(v.known)
	}
	var out bytes.Buffer
	// The last guard: whoever's string it is, no mark that turns the text's direction and no control character leaves.
	harmless := plain.NewWriter(&out)
	if err := pages()[name].ExecuteTemplate(harmless, block, s); err != nil {
		return fmt.Errorf("page %s: %w", name, err)
	}
	v.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	v.w.Header().Set("Vary", "HX-Request")
	return v.send(code, out.Bytes())
}

// sections are the parts of the site that pages with an address of their own belong to.
var sections = map[string]string{"upload": "images", "jobs": "images", "start": "sessions", "power": "machines"}

// section is the part of the site that the page belongs to.
func (v *visit) section() string {
	first, _, _ := strings.Cut(strings.TrimPrefix(v.r.URL.Path, "/"), "/")
	return cmp.Or(sections[first], first)
}

// send writes an answer. A client that does not read it is not waited for.
func (v *visit) send(code int, b []byte) error {
	rc := http.NewResponseController(v.w)
	_ = rc.SetWriteDeadline(time.Now().Add(sendTime))
	v.w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	v.w.WriteHeader(code)
	if v.r.Method != http.MethodHead {
		if _, err := v.w.Write(b); err != nil {
			v.page.Log.Debug("answer not sent", "path", v.r.URL.Path, "err", err)
		}
	}
	_ = rc.Flush() // before the deadline goes, which would hold for the connection's next answer
	_ = rc.SetWriteDeadline(time.Time{})
	return nil
}

// fail answers with what went wrong.
func (v *visit) fail(err error) {
	code := http.StatusInternalServerError
	if r := (*refused)(nil); errors.As(err, &r) {
		code = r.code
	}
	if code >= 500 {
		v.page.Log.Error("page failed", "path", v.r.URL.Path, "peer", v.r.RemoteAddr, "err", err)
	}
	if code == http.StatusTooManyRequests {
		v.w.Header().Set("Retry-After", "60")
	}
	if ferr := v.show(code, "error", http.StatusText(code), err.Error()); ferr != nil {
		v.page.Log.Error("page failed", "path", v.r.URL.Path, "err", ferr)
		http.Error(v.w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
	}
}

// back sends who changed something to a page that shows it, where words are said once.
func (v *visit) back(to, words string) error {
	v.page.visits.say(v.known, words)
	http.Redirect(v.w, v.r, to, http.StatusSeeOther)
	return nil
}

// words are what templates say things with.
var words = template.FuncMap{
	"bytes":   units.Bytes,
	"speed":   func(f float64) string { return units.BytesPerSecond(f) },
	"bits":    bits,
	"ago":     ago,
	"clock":   clock,
	"took":    took,
	"percent": percent,
	"chip":    chip,
	"short":   short,
	"brief":   brief,
	"path":    path,
	"once":    onceWord,
	"apart":   apart,
	"add":     func(a, b int) int { return a + b },
	"list":    func(s ...string) []string { return s },
	"plural": func(n int, one, many string) string {
		if n == 1 {
			return "1 " + one
		}
		return strconv.Itoa(n) + " " + many
	},
}

// bits is a rate in bits a second, in words.
func bits(f float64) string {
	switch {
	case f >= 1e9:
		return fmt.Sprintf("%.2f Gbit/s", f/1e9)
	case f >= 1e6:
		return fmt.Sprintf("%.0f Mbit/s", f/1e6)
	case f > 0:
		return fmt.Sprintf("%.0f kbit/s", f/1e3)
	}
	return "–"
}

func ago(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	d := time.Since(t)
	switch {
	case d < 2*time.Second:
		return "now"
	case d < 48*time.Hour:
		return took(d.Seconds()) + " ago"
	}
	return fmt.Sprintf("%d days ago", int(d.Hours()/24))
}

func clock(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return t.Local().Format("2006-01-02 15:04:05")
}

// took is a time in words, with two units at the most.
func took(seconds float64) string {
	s := int64(math.Round(seconds))
	switch {
	case seconds < 10 && seconds != math.Trunc(seconds):
		return fmt.Sprintf("%.1f s", seconds)
	case s < 60:
		return fmt.Sprintf("%d s", s)
	case s < 3600:
		return fmt.Sprintf("%d min %d s", s/60, s%60)
	case s < 48*3600:
		return fmt.Sprintf("%d h %d min", s/3600, s%3600/60)
	}
	return fmt.Sprintf("%d days", s/86400)
}

func percent(f float64) string {
	if f > 0 && f < 0.01 {
		return fmt.Sprintf("%.2f %%", f*100)
	}
	return fmt.Sprintf("%.0f %%", f*100)
}

// short is a digest as people compare it.
func short(digest string) string {
	d := strings.TrimPrefix(digest, "sha256:")
	return d[:min(12, len(d))]
}

// brief is what somebody waits for, without the command that ends that.
func brief(waits string) string {
	what, _, _ := strings.Cut(waits, "; on the server, `")
	what, _, _ = strings.Cut(what, ": `")
	return what
}

// chip is the class of a state's colour. A state is told in words as well.
func chip(state string) string {
	switch state {
	case "done", "agent", "goes", "on", "approved", "yes":
		return "good"
	case "failed", "refused", "unknown", "absent", "no":
		return "bad"
	case "casting", "capturing", "running", "booting", "starting", "offered", "making":
		return "busy"
	case "waiting", "waits", "silent":
		return "warn"
	}
	return "calm"
}
