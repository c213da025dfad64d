// Package browser has tests look at pages as people do: in headless Chromium, with screenshots, judged by axe-core.
//
// `make test-web` sets what it wants of the environment: DISKCAST_WEB, DISKCAST_AXE (axe-core's script) and
// DISKCAST_SCREENS (where screenshots go).
package browser

import (
	"context"
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/performance"
	"github.com/chromedp/chromedp"
)

// patience is how long the browser waits for what a page is to show.
const patience = time.Minute

// Tab is a tab of a real browser.
type Tab struct {
	Context context.Context
	t       *testing.T
	url     string
	// out is where screenshots go, axe the script that judges pages.
	out, axe string
}

// Wanted skips a test that `make test-web` runs, where that is not what runs.
func Wanted(t *testing.T) {
	t.Helper()
	if os.Getenv("DISKCAST_WEB") == "" {
		t.Skip("`make test-web` runs it")
	}
}

// New opens a tab for the pages of a server at url. Certificates are not looked at.
func New(t *testing.T, url string) *Tab {
	t.Helper()
	axe, err := os.ReadFile(os.Getenv("DISKCAST_AXE"))
	if err != nil {
		t.Fatalf("axe-core: %v (`make test-web` fetches it)", err)
	}
	opts := []chromedp.ExecAllocatorOption{chromedp.ExecPath("/usr/bin/chromium"), chromedp.Headless,
		chromedp.NoSandbox, chromedp.Flag("ignore-certificate-errors", true), chromedp.Flag("disable-gpu", true),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("no-first-run", true)}
	alloc, done := chromedp.NewExecAllocator(context.Background(), opts...)
	ctx, end := chromedp.NewContext(alloc)
	t.Cleanup(func() { end(); done() })
	return &Tab{ctx, t, url, os.Getenv("DISKCAST_SCREENS"), string(axe)}
}

// Do does what chromedp can do and this package has no word for.
func (c *Tab) Do(steps ...chromedp.Action[chromedp.Void]) {
	c.t.Helper()
	if err := chromedp.Do(c.Context, steps...); err != nil {
		c.t.Fatal(err)
	}
}

// Open goes to a path of the server.
func (c *Tab) Open(path string) { c.t.Helper(); c.Do(chromedp.Navigate(c.url + path)) }

// JS returns what an expression is in the page, as text.
func (c *Tab) JS(expression string) string {
	c.t.Helper()
	s, err := chromedp.Run(c.Context, chromedp.Evaluate[string](`String(`+expression+`)`))
	if err != nil {
		c.t.Fatalf("%s: %v", expression, err)
	}
	return s
}

// Wait waits until an expression is true in the page, whichever page that is by then.
func (c *Tab) Wait(what, expression string) { c.t.Helper(); c.WaitFor(what, expression, patience) }

// WaitFor is Wait for what takes longer than a page does.
func (c *Tab) WaitFor(what, expression string, limit time.Duration) {
	c.t.Helper()
	for end := time.Now().Add(limit); time.Now().Before(end); {
		// A page that is being left has no answer.
		s, err := chromedp.Run(c.Context, chromedp.Evaluate[string](`String(`+expression+`)`))
		if err == nil && s == "true" {
			return
		}
		c.Do(chromedp.Sleep(50 * time.Millisecond)) // between two looks at it
	}
	c.t.Fatalf("%s: not in %v, at %s:\n%s", what, limit, c.JS("location.href"), c.JS("document.body.innerText"))
}

// See waits until the page has a text.
func (c *Tab) See(text string) { c.t.Helper(); c.SeeFor(text, patience) }

// SeeFor is See for what takes longer than a page does.
func (c *Tab) SeeFor(text string, limit time.Duration) {
	c.t.Helper()
	b, _ := json.Marshal(text) // a string has JSON
	c.WaitFor("see "+text, `document.body && document.body.innerText.includes(`+string(b)+`)`, limit)
}

// Click follows a link or presses a button, by a selector.
func (c *Tab) Click(selector string) {
	c.t.Helper()
	b, _ := json.Marshal(selector) // a string has JSON
	c.Wait("find "+selector, `document.querySelector(`+string(b)+`) !== null`)
	c.JS(`document.querySelector(` + string(b) + `).click()`)
}

// Set gives a field its value.
func (c *Tab) Set(selector, value string) {
	c.t.Helper()
	b, _ := json.Marshal([]string{selector, value}) // strings have JSON
	c.JS(`(([s, v]) => { document.querySelector(s).value = v; })(` + string(b) + `)`)
}

// Login logs in at the server's page with a token.
func (c *Tab) Login(token string) {
	c.t.Helper()
	c.Open("/login")
	c.Set("#token", token)
	c.Click("form button.main")
	c.See("Overview")
}

// Script is how long scripts have run in the tab: CPU time, whatever else the machine does.
func (c *Tab) Script() time.Duration {
	c.t.Helper()
	r, err := chromedp.Call(c.Context, performance.GetMetrics, cdp.Empty{})
	if err != nil {
		c.t.Fatal(err)
	}
	for _, m := range r.Metrics {
		if m.Name == "ScriptDuration" {
			return time.Duration(m.Value * float64(time.Second))
		}
	}
	c.t.Fatal("the browser does not tell its scripts' time")
	return 0
}
