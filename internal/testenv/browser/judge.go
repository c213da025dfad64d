package browser

import (
	"os"
	"path/filepath"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// looks are what screenshots are taken in.
var looks = []struct {
	name, scheme  string
	width, height int64
}{{"light", "light", 1360, 900}, {"dark", "dark", 1360, 900}, {"phone", "light", 390, 844}}

// Shoot takes the page's screenshots, and has axe-core judge it in each look. A page must fit its window.
func (c *Tab) Shoot(name string) {
	c.t.Helper()
	for _, l := range looks {
		c.Do(chromedp.EmulateViewport(l.width, l.height))
		_, err := chromedp.Call(c.Context, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: l.scheme}}})
		if err != nil {
			c.t.Fatal(err)
		}
		c.judge(name + ", " + l.name)
		if wide := c.JS("document.documentElement.scrollWidth > window.innerWidth + 1"); wide == "true" {
			c.t.Errorf("%s, %s: the page is wider than its window", name, l.name)
		}
		png, err := chromedp.Run(c.Context, chromedp.FullScreenshot(100))
		if err != nil {
			c.t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(c.out, name+"-"+l.name+".png"), png, 0o644); err != nil {
			c.t.Fatal(err)
		}
	}
	c.Do(chromedp.EmulateViewport(looks[0].width, looks[0].height))
}

// judge fails when axe-core finds something serious.
func (c *Tab) judge(where string) {
	c.t.Helper()
	if _, err := chromedp.Run(c.Context, chromedp.Evaluate[string](c.axe+`;"loaded"`)); err != nil {
		c.t.Fatal(err)
	}
	c.JS(`(window.found = null, axe.run(document, {resultTypes: ["violations"]}).then(r => { window.found = r.violations
		.filter(v => v.impact === "serious" || v.impact === "critical")
		.map(v => v.id + ": " + v.help + ": " + v.nodes.slice(0, 3).map(n => n.html).join(" | ")).join("\n"); }), "")`)
	c.Wait("axe-core at "+where, `typeof window.found === "string"`)
	if found := c.JS("window.found"); found != "" {
		c.t.Errorf("axe-core at %s finds\n%s", where, found)
	}
}
