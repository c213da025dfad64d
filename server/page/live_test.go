package page

import (
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/internal/testenv/browser"
	"github.com/diskcast/diskcast/server/access"
)

var (
	tmplAction = regexp.MustCompile(`\{\{[^}]*\}\}`)
	focusable  = regexp.MustCompile(`<(?:a|button|select|textarea|summary|input)\b[^>]*>|` +
		`<[a-z]+\b[^>]*\btabindex="0"[^>]*>`)
)

// TestIdsOfWhatIsFocused: focus and scroll positions are found again by their id in a part of a page that is made anew,
// so that whatever in it can have the focus has one.
func TestIdsOfWhatIsFocused(t *testing.T) {
	all, err := fs.Glob(files, "html/*.html")
	if err != nil {
		t.Fatal(err)
	}
	looked := 0
	for _, name := range all {
		b, err := files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		_, live, ok := strings.Cut(string(b), `{{define "live"}}`)
		if !ok {
			continue
		}
		seen := map[string]bool{}
		for _, tag := range focusable.FindAllString(tmplAction.ReplaceAllString(live, "x"), -1) {
			if strings.Contains(tag, `type="hidden"`) {
				continue
			}
			looked++
			if !strings.Contains(tag, ` id="`) {
				t.Errorf("%s: without an id: %s", name, tag)
			}
			if strings.Contains(tag, ` id="in-`) {
				if seen[tag] {
					t.Errorf("%s: twice: %s", name, tag)
				}
				seen[tag] = true
			}
		}
	}
	if looked < 30 {
		t.Errorf("%d were looked at: the templates are not understood", looked)
	}
}

// swaps has a page count how often its changing part was made anew (window.swaps) and was to be (window.answers).
const swaps = `(window.swaps = 0, window.answers = 0,
	document.body.addEventListener("htmx:afterSettle", () => { window.swaps++; }),
	document.body.addEventListener("htmx:afterRequest", () => { window.answers++; }), "")`

// TestTabKeepsPlace: when a page looks again by itself, who reads it stays where they are: the scroll position and the
// focus are kept, and nothing is made anew while text of it is selected, which the page says.
func TestTabKeepsPlace(t *testing.T) {
	browser.Wanted(t)
	r := newRig(t, options{})
	h := r.hello(t, 1, session.Inventory{})
	for n := range 200 {
		ev := session.Event{Seq: uint64(n + 1), Since: float64(n), Level: session.Info, Step: "test",
			Message: fmt.Sprintf("line %d of a log that is long", n)}
		if err := r.e.Events(t.Context(), h.Node, &session.Events{V: 1, Boot: "b",
			Events: []session.Event{ev}}); err != nil {
			t.Fatal(err)
		}
	}
	c := r.tab(t)
	c.Login(r.tokens[access.Viewer])
	c.Open("/machines/m1")
	c.See("line 199 of a log")
	c.JS(swaps)
	c.JS(`(document.querySelector(".log").scrollTop = 150, document.querySelector(".log").focus(), "")`)
	c.Wait("two looks", `window.swaps >= 2`)
	if at := c.JS(`document.querySelector(".log").scrollTop`); at != "150" {
		t.Errorf("the log is at %s after two looks, want 150", at)
	}
	if on := c.JS(`document.activeElement.getAttribute("aria-label")`); on != "Log" {
		t.Errorf("the focus is on %q after two looks, want the log", on)
	}
	c.JS(`(window.was = document.querySelector("#live"), getSelection().selectAllChildren(
		document.querySelector(".log td.words")), window.words = String(getSelection()), window.answers = 0, "")`)
	c.Wait("two answers", `window.answers >= 2`)
	if c.JS(`document.querySelector("#live") === window.was && String(getSelection()) === window.words`) != "true" {
		t.Error("what was selected was made anew")
	}
	c.See("Text is selected here, so this is how it was at")
	c.JS(`(getSelection().removeAllRanges(), window.swaps = 0, "")`)
	c.Wait("a look after it", `window.swaps >= 1`)
	c.Wait("the line is gone", `!document.body.innerText.includes("Text is selected here")`)
	c.JS(`(document.querySelector("#live").insertAdjacentHTML("beforeend", "<a id=gone href=/>x</a>"),
		document.querySelector("#gone").focus(), window.swaps = 0, "")`)
	c.Wait("a look without it", `window.swaps >= 1`)
	if on := c.JS(`document.activeElement.id`); on != "main" {
		t.Errorf("what had the focus is gone, and the focus is on %q, want the content", on)
	}
}

// TestTabUnheard: a page whose server answers no more, or only with errors, says since when, with and without a
// console, and takes that back; a console that breaks off is opened again; after a restart the login says what
// happened, and leads back.
func TestTabUnheard(t *testing.T) {
	browser.Wanted(t)
	r := newRig(t, options{})
	r.withConsoles(t)
	r.hello(t, 1, session.Inventory{})
	var answer atomic.Int64 // 0: as ever; 1: none; else that status
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		switch code := int(answer.Load()); code {
		case 0:
			r.page.ServeHTTP(w, q)
		case 1:
			panic(http.ErrAbortHandler)
		default:
			w.WriteHeader(code)
		}
	}))
	t.Cleanup(srv.Close)
	c := browser.New(t, srv.URL)
	c.Login(r.tokens[access.Operator])
	const silent, gray = "The server has not answered since", `document.body.matches(".unheard")`
	gone := func() {
		t.Helper()
		c.Wait("the line is gone", `!document.querySelector("#aside").innerText && !`+gray)
	}
	c.Open("/machines/m1")
	for code, words := range map[int64]string{1: silent, 500: "The server answers with an error (500) since"} {
		answer.Store(code)
		c.See(words)
		if c.JS(gray) != "true" {
			t.Errorf("%d: what was then has its colours", code)
		}
		if code == 1 {
			c.Shoot("unheard")
		}
		answer.Store(0)
		gone()
	}
	c.Open("/machines/m1/console")
	c.Click("main form button.main")
	c.See("login: <b>&")
	c.Set("#line", "break")
	c.Click("#keys button.main")
	c.See("the console broke off; what was typed last may not have come]")
	c.Set("#line", "kept")
	c.See("[diskcast: it is open again after ")
	c.Wait("it is open, and what is being typed is there", `document.querySelector("#line").value === "kept" &&
		document.querySelector("#console-state").innerText.trim() === "open"`)
	answer.Store(1)
	srv.CloseClientConnections()
	c.See(silent)
	answer.Store(0)
	gone()

	c.Open("/machines?q=m1")
	r.page.visits.mu.Lock()
	clear(r.page.visits.byID) // as by a restart
	r.page.visits.mu.Unlock()
	c.See("This login is over")
	c.Wait("after a restart the login leads back", `location.pathname === "/login" &&
		document.querySelector("[name=next]") && document.querySelector("[name=next]").value === "/machines?q=m1"`)
}
