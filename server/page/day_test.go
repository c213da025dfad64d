package page

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/performance"
	"github.com/chromedp/chromedp"

	"github.com/diskcast/diskcast/internal/image/imagetest"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/access"
	"github.com/diskcast/diskcast/server/doc"
)

// chrome is a tab of a real browser.
type chrome struct {
	t   *testing.T
	ctx context.Context
	url string
	// out is where screenshots go, axe the script that judges pages.
	out, axe string
}

// patience is how long the browser waits for what a page is to show.
const patience = time.Minute

func (r *rig) chrome(t *testing.T) *chrome {
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
	return &chrome{t, ctx, r.srv.URL, os.Getenv("DISKCAST_SCREENS"), string(axe)}
}

func (c *chrome) do(steps ...chromedp.Action[chromedp.Void]) {
	c.t.Helper()
	if err := chromedp.Do(c.ctx, steps...); err != nil {
		c.t.Fatal(err)
	}
}

func (c *chrome) open(path string) { c.t.Helper(); c.do(chromedp.Navigate(c.url + path)) }

// js returns what an expression is in the page, as text.
func (c *chrome) js(expression string) string {
	c.t.Helper()
	s, err := chromedp.Run(c.ctx, chromedp.Evaluate[string](`String(`+expression+`)`))
	if err != nil {
		c.t.Fatalf("%s: %v", expression, err)
	}
	return s
}

// wait waits until an expression is true in the page, whichever page that is by then.
func (c *chrome) wait(what, expression string) {
	c.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		// A page that is being left has no answer.
		s, err := chromedp.Run(c.ctx, chromedp.Evaluate[string](`String(`+expression+`)`))
		if err == nil && s == "true" {
			return
		}
		c.do(chromedp.Sleep(50 * time.Millisecond)) // between two looks at it
	}
	c.t.Fatalf("%s: not in %v, at %s:\n%s", what, patience, c.js("location.href"), c.js("document.body.innerText"))
}

func (c *chrome) see(text string) {
	c.t.Helper()
	b, _ := json.Marshal(text) // a string has JSON
	c.wait("see "+text, `document.body && document.body.innerText.includes(`+string(b)+`)`)
}

// click follows a link or presses a button, by a selector.
func (c *chrome) click(selector string) {
	c.t.Helper()
	b, _ := json.Marshal(selector) // a string has JSON
	c.wait("find "+selector, `document.querySelector(`+string(b)+`) !== null`)
	c.js(`document.querySelector(` + string(b) + `).click()`)
}

func (c *chrome) set(selector, value string) {
	c.t.Helper()
	b, _ := json.Marshal([]string{selector, value}) // strings have JSON
	c.js(`(([s, v]) => { document.querySelector(s).value = v; })(` + string(b) + `)`)
}

// looks are what screenshots are taken in.
var looks = []struct {
	name, scheme  string
	width, height int64
}{{"light", "light", 1360, 900}, {"dark", "dark", 1360, 900}, {"phone", "light", 390, 844}}

// shoot takes the page's screenshots, and has axe-core judge it in each look.
func (c *chrome) shoot(name string) {
	c.t.Helper()
	for _, l := range looks {
		c.do(chromedp.EmulateViewport(l.width, l.height))
		_, err := chromedp.Call(c.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: l.scheme}}})
		if err != nil {
			c.t.Fatal(err)
		}
		c.judge(name + ", " + l.name)
		if wide := c.js("document.documentElement.scrollWidth > window.innerWidth + 1"); wide == "true" {
			c.t.Errorf("%s, %s: the page is wider than its window", name, l.name)
		}
		png, err := chromedp.Run(c.ctx, chromedp.FullScreenshot(100))
		if err != nil {
			c.t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(c.out, name+"-"+l.name+".png"), png, 0o644); err != nil {
			c.t.Fatal(err)
		}
	}
	c.do(chromedp.EmulateViewport(1360, 900))
}

// judge fails when axe-core finds something serious.
func (c *chrome) judge(where string) {
	c.t.Helper()
	if _, err := chromedp.Run(c.ctx, chromedp.Evaluate[string](c.axe+`;"loaded"`)); err != nil {
		c.t.Fatal(err)
	}
	c.js(`(window.found = null, axe.run(document, {resultTypes: ["violations"]}).then(r => { window.found = r.violations
		.filter(v => v.impact === "serious" || v.impact === "critical")
		.map(v => v.id + ": " + v.help + ": " + v.nodes.slice(0, 3).map(n => n.html).join(" | ")).join("\n"); }), "")`)
	c.wait("axe-core at "+where, `typeof window.found === "string"`)
	if found := c.js("window.found"); found != "" {
		c.t.Errorf("axe-core at %s finds\n%s", where, found)
	}
}

// script is how long scripts have run in the tab: CPU time, whatever else the machine does.
func (c *chrome) script() time.Duration {
	c.t.Helper()
	r, err := chromedp.Call(c.ctx, performance.GetMetrics, cdp.Empty{})
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

func (c *chrome) login(token string) {
	c.t.Helper()
	c.open("/login")
	c.set("#token", token)
	c.click("form button.main")
	c.see("Overview")
}

// worker is a machine of software that works for sessions.
type worker struct {
	r   *rig
	id  string
	seq uint64
}

func (w *worker) say(t *testing.T, id string, evs ...session.Event) {
	t.Helper()
	for i := range evs {
		w.seq++
		evs[i].Seq, evs[i].Session, evs[i].Since = w.seq, id, float64(w.seq)
		if evs[i].Level == "" {
			evs[i].Level = session.Info
		}
	}
	if err := w.r.e.Events(t.Context(), w.id, &session.Events{V: 1, Boot: "b", Events: evs}); err != nil {
		t.Fatal(err)
	}
}

func (w *worker) begin(t *testing.T, id string, disk session.Disk) {
	t.Helper()
	choice := session.DiskChoice{V: 1, Session: id, Disk: disk.ID()}
	if _, err := w.r.e.ChooseDisk(t.Context(), w.id, &choice); err != nil {
		t.Fatal(err)
	}
	w.say(t, id, session.Event{Step: session.StepPlan}, session.Event{Step: session.StepTable},
		session.Event{Step: session.StepFirstByte})
}

func (w *worker) progress(t *testing.T, id string, share float64) {
	t.Helper()
	n := int64(share * 4e9)
	w.say(t, id, session.Event{Step: session.StepProgress, Progress: &session.Progress{Received: n / 2, Needed: 2e9,
		Multicast: n / 2, Written: n, ToWrite: 4e9, Loss: 0.001}})
}

// TestDay is an operator's day in a browser: log in, see machines come, approve them, plan, start, see 40 bars move,
// see why one fails, retry, look at an image's map; a viewer is refused. It takes screenshots of every page and has
// axe-core judge them. Machines are of software, and their casts send nothing.
func TestDay(t *testing.T) {
	if os.Getenv("DISKCAST_WEB") == "" {
		t.Skip("`make test-web` runs it")
	}
	began := time.Now()
	r := newRig(t, options{approve: doc.ApproveHand})
	r.store(t, "debian-12", 2)
	r.store(t, "debian-12-old", 3)
	file := filepath.Join(t.TempDir(), "lab-11.img")
	raw := make([]byte, 8<<20)
	imagetest.Random(raw[:1<<20], 8)
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	c := r.chrome(t)
	c.open("/")
	c.see("Token")
	c.shoot("login")
	c.set("#token", "wrong")
	c.click("form button.main")
	c.see("the token is missing or wrong")
	c.login(r.tokens[access.Operator])
	c.open("/machines")
	c.see("No machine has come yet")

	disk := session.Disk{Path: "/dev/nvme0n1", Size: 256 << 30, Model: "Samsung SSD 980", Serial: "S64DNX0R",
		Bus: "nvme"}
	var workers []*worker
	for n := range 40 {
		r.e.Saw(mac(n+1), netip.MustParseAddr("10.0.0.9"), doc.StepDHCP, "test")
		h := r.hello(t, n+1, session.Inventory{Vendor: "Dell Inc.", Product: "OptiPlex 7090", CPUs: 8, Memory: 16 << 30,
			Firmware: "UEFI", Kernel: "6.12.0", Serial: fmt.Sprintf("7XK%03d", n), Disks: []session.Disk{disk},
			Survey: &session.Survey{Disks: []session.Content{{Disk: disk.ID(), Table: "gpt", Partitions: []session.
				PartitionContent{{Number: 1, Size: 512 << 20, FS: "vfat", Name: "EFI"},
				{Number: 2, Size: 255 << 30, FS: "ntfs", Label: "Windows"}}}}}})
		name, room := fmt.Sprintf("pc-%02d", n+1), []string{"210", "211"}[n%2]
		if _, err := r.e.EditMachine(t.Context(), h.Node, doc.MachineChange{V: 1, Name: &name,
			Labels: map[string]*string{"room": &room}}); err != nil {
			t.Fatal(err)
		}
		workers = append(workers, &worker{r: r, id: h.Node})
	}
	c.see("pc-40") // by itself
	c.open("/machines?show=approve")
	c.click("#approve")
	c.see("40 machines are approved")
	c.open("/machines")
	c.shoot("machines")

	c.open("/start")
	c.shoot("start")
	c.set("#what", "image:debian-12")
	c.set("#on", "pc-*")
	c.click("main form button.main")
	c.see("40 goes")
	c.shoot("plan")
	c.click("main form button.main")
	c.see("s1 is made")

	s, err := r.e.Session("s1")
	if err != nil || len(s.Parts) != 40 {
		t.Fatalf("%+v, %v", s, err)
	}
	for n, w := range workers {
		w.begin(t, "s1", disk)
		w.progress(t, "s1", 0.1+float64(n%7)/50)
	}
	bars := `[...document.querySelectorAll("table.parts progress")]`
	c.wait("40 bars", bars+`.length === 40 && `+bars+`.every(b => b.value > 0)`)
	before := c.js(bars + `.reduce((n, b) => n + b.value, 0)`)
	for n, w := range workers {
		w.progress(t, "s1", 0.3+float64(n%9)/20)
	}
	c.wait("the bars move", bars+`.every(b => b.value >= 30)`)
	t.Logf("the sum of 40 bars went from %s to %s by itself", before, c.js(bars+`.reduce((n, b) => n + b.value, 0)`))
	workers[6].say(t, "s1", session.Event{Step: session.StepFailed, Level: session.Error,
		Message: "write /dev/nvme0n1 at 1.2 GiB: input/output error: look at the disk (smartctl -a)"})
	c.see("input/output error")
	if first := c.js(`document.querySelector("table.parts tbody tr td").innerText`); !strings.Contains(first, "pc-07") {
		t.Errorf("the first line is of %q, want the machine that failed", first)
	}
	c.shoot("session")
	c.open("/")
	c.see("restore debian-12")
	c.shoot("overview")
	c.open("/casts")
	c.see("s1")
	c.shoot("casts")
	c.open("/machines/pc-07")
	c.see("Samsung SSD 980")
	c.shoot("machine")
	for n, w := range workers {
		if n != 6 {
			w.say(t, "s1", session.Event{Step: session.StepLastByte}, session.Event{Step: session.StepWritten},
				session.Event{Step: session.StepBoot})
		}
	}
	c.open("/sessions/s1")
	c.click("#do-retry")
	c.see("Do again what is not done of s1?")
	c.shoot("confirm")
	c.click("main form button.main")
	c.see("s2 does again what was not done")
	if s, err = r.e.Session("s2"); err != nil || len(s.Parts) != 1 {
		t.Errorf("the retry: %+v, %v", s, err)
	}
	c.open("/sessions")
	c.shoot("sessions")
	c.open("/machines/pc-07/capture")
	c.see("Name of the image")
	c.shoot("capture")
	c.open("/images")
	c.see("debian-12-old")
	c.shoot("images")
	c.click("main .actions a.main")
	c.wait("the form", `document.querySelector("#upload") !== null`)
	c.set("#name", "debian-12")
	c.do(chromedp.SetUploadFiles("#file", []string{file}))
	c.click("#upload button.main")
	c.see("another image has the name debian-12") // before the file is sent
	c.shoot("upload")
	c.set("#name", "lab-11")
	c.click("#upload button.main")
	c.see("A restore sends")
	if at := c.js("location.pathname"); !strings.HasPrefix(at, "/jobs/") {
		t.Errorf("a file that was sent leads to %s", at)
	}
	c.shoot("job")
	c.open("/images/debian-12")
	if n := c.js(`document.querySelectorAll("svg.map rect.used, svg.map rect.shared").length`); n == "0" {
		t.Error("the map is empty")
	}
	c.shoot("image")
	c.open("/sessions/s1/receipts")
	c.see("good")
	c.shoot("receipts")
	c.open("/settings")
	c.shoot("settings")
	r.withConsoles(t)
	c.open("/machines/m1")
	c.click(`a[href="/machines/m1/console"]`)
	c.see("Open the console")
	c.click("main form button.main")
	c.see("login: <b>&") // by itself
	c.set("#line", "root")
	c.click("#keys button.main")
	c.see("typed root")
	c.click(`#key-buttons button[value="up"]`)
	c.see("typed ESC[A")
	c.shoot("console")
	c.click("main .actions form button")
	c.see("The console is closed.")
	c.open("/doctor")
	c.see("has not looked at itself")
	c.click("main form button.main")
	c.see("another DHCP server gives addresses") // by itself
	c.shoot("doctor")
	c.open("/nothing")
	c.shoot("error")

	c.login(r.tokens[access.Viewer])
	c.open("/sessions/s2")
	c.see("pc-07")
	if n := c.js(`document.querySelectorAll("main .actions a, main form").length`); n != "0" {
		t.Errorf("a viewer has %s buttons", n)
	}
	c.open("/sessions/s2/cancel")
	c.see("this wants operator")
	c.js(`(window.code = 0, fetch("/sessions/s2/cancel", {method: "POST", body: new URLSearchParams({csrf:
		document.querySelector("[name=csrf]").value})}).then(r => { window.code = r.status; }), "")`)
	c.wait("the refusal", `window.code !== 0`)
	if code := c.js("window.code"); code != strconv.Itoa(http.StatusForbidden) {
		t.Errorf("a viewer's cancel: %s", code)
	}
	t.Logf("an operator's day: %v", time.Since(began).Round(time.Second))
}

// TestManyMachines: 5,000 machines are listed and searched, and each key costs the browser less than 100 ms of script.
func TestManyMachines(t *testing.T) {
	if os.Getenv("DISKCAST_WEB") == "" {
		t.Skip("`make test-web` runs it")
	}
	r := newRig(t, options{})
	change := doc.LabChange{V: 1}
	for n := range 5000 {
		room := strconv.Itoa(100 + n/20)
		change.Machines = append(change.Machines, doc.MachineEntry{Name: fmt.Sprintf("lab%04d", n),
			MACs: []string{mac(n + 1)}, Labels: map[string]*string{"room": &room}})
	}
	if _, err := r.e.ChangeLab(t.Context(), change); err != nil {
		t.Fatal(err)
	}
	c := r.chrome(t)
	if _, err := chromedp.Call(c.ctx, performance.Enable, performance.EnableParams{
		TimeDomain: performance.EnableTimeDomainThreadTicks}); err != nil {
		t.Fatal(err)
	}
	c.login(r.tokens[access.Viewer])
	began := time.Now()
	c.open("/machines")
	c.see("1–100 of 5000")
	t.Logf("5,000 machines: the first 100 are shown after %v", time.Since(began).Round(time.Millisecond))
	c.shoot("many")
	// What looks again by itself comes between a search and its answer.
	for _, q := range []string{"lab0001", "lab0002", "lab0003"} {
		c.set("#q", q)
		c.js(`(htmx.ajax("GET", "/machines", {source: "#live", target: "#live", swap: "outerHTML"}),
			document.querySelector("#q").dispatchEvent(new Event("search", {bubbles: true})), "")`)
		c.wait("the list of "+q+" beside a look", `document.querySelector("#live").getAttribute("hx-get").endsWith("`+
			q+`")`)
	}
	c.open("/machines")
	c.js(`document.querySelector("#q").focus()`)
	const word = "lab4321"
	var worst, all time.Duration
	for i, key := range word {
		was, at := c.script(), time.Now()
		c.do(chromedp.KeyEvent(string(key)))
		q := word[:i+1]
		c.wait("the list of "+q, `document.querySelector("#live").getAttribute("hx-get").endsWith("q=`+q+`")`)
		took := c.script() - was
		worst, all = max(worst, took), all+time.Since(at)
	}
	c.see("lab4321")
	if n := c.js(`document.querySelectorAll("table.machines tbody tr").length`); n != "1" {
		t.Errorf("%s machines are found, want 1", n)
	}
	t.Logf("search: at most %v of script a key, %v from key to list on average", worst.Round(time.Millisecond/10),
		(all / time.Duration(len(word))).Round(time.Millisecond))
	if worst > 100*time.Millisecond {
		t.Errorf("a key takes %v of script, want at most 100 ms", worst)
	}
	c.set("#q", "room=240,!spare")
	c.js(`document.querySelector("#q").dispatchEvent(new Event("input", {bubbles: true}))`)
	c.see("lab2805")
}
